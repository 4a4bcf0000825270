"""Callers use the official Anthropic SDK, unmodified: whole answers, streams, tools, errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest

from service.api.messages import _usage
from service.api.reading import answered, counts
from service.app import create_app
from service.domain.chat import parse
from tests.conftest import KEY, Server, Service, make_runtime, plan_text
from tests.service.api.test_chat import ended
from tests.upstream import SSE_HEAD, Upstream, event, http, say

pytestmark = pytest.mark.slow  # the vendors' clients take seconds to be imported

HELLO: Any = [{"role": "user", "content": "Describe the tide to a child."}]
SCHEMA: Any = {"type": "object", "properties": {"place": {"type": "string"}}}
TOOLS: Any = [{"name": "weather", "description": "The weather.", "input_schema": SCHEMA}]


@pytest.fixture(scope="module")
def service(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that is patient: its client shares the process, and takes long to be imported."""
    text = plan_text(providers.url, **{"deadline_s: 75": "deadline_s: 75\n  most_lag_s: 60"})
    runtime = make_runtime(tmp_path_factory.mktemp("state"), text)
    with Server(create_app(runtime)) as server:
        yield Service(runtime, server)


@pytest.fixture
def client(service: Service) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=service.url, api_key=KEY, max_retries=0) as made:
        yield made


def test_a_whole_answer_with_every_header(service: Service, client: anthropic.Anthropic) -> None:
    raw = client.messages.with_raw_response.create(
        model="auto", max_tokens=300, messages=HELLO, system="Be kind.",
        metadata={"user_id": "u-7"}, stop_sequences=["never"],
        extra_body={"temperature": 0.3, "headgate": {"exclude": ["fall"], "session_id": "s-1"}},
    )  # fmt: skip
    answer, headers = raw.parse(), raw.headers
    names = [each.name for each in service.runtime.catalog]
    assert answer.model in names and answer.model != "fall" and answer.role == "assistant"
    (block,) = answer.content
    assert block.type == "text" and block.text.startswith("The water finds")
    assert answer.stop_reason == "end_turn"
    decision_id = headers["x-headgate-decision-id"]
    assert answer.id == "msg_" + decision_id.replace("-", "")
    assert headers["x-headgate-deployment"] == answer.model
    assert float(headers["x-headgate-cost"]) > 0.0
    case = ended(service, decision_id)
    assert case.outcome is not None
    assert case.outcome.usage.tokens_out == answer.usage.output_tokens
    assert case.outcome.usage.tokens_in == answer.usage.input_tokens
    assert case.decision.tokens_out_limit == 300
    rated = httpx.post(service.url + "/v1/feedback", json={"id": answer.id, "value": 1.0},
                       headers={"Authorization": f"Bearer {KEY}"})  # fmt: skip
    assert rated.status_code == 202


def test_a_stream(service: Service, client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="auto", max_tokens=300, messages=HELLO) as stream:
        events = list(stream)
        message, headers = stream.get_final_message(), stream.response.headers
    kinds = [each.type for each in events]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert kinds.index("content_block_start") < kinds.index("content_block_delta")
    assert message.content[0].text.startswith("The water finds")  # type: ignore[union-attr]
    assert message.stop_reason == "end_turn" and message.model == headers["x-headgate-deployment"]
    case = ended(service, headers["x-headgate-decision-id"])
    assert case.outcome is not None and not case.outcome.usage.estimated
    assert case.outcome.usage.tokens_out == message.usage.output_tokens
    assert case.outcome.usage.tokens_in == message.usage.input_tokens
    (last,) = (each for each in events if each.type == "message_delta")
    assert last.usage.cost_usd > 0.0  # type: ignore[attr-defined]


@pytest.mark.parametrize("stream", [False, True])
def test_tools_to_the_end(client: anthropic.Anthropic, stream: bool) -> None:
    if stream:
        with client.messages.stream(
            model="auto", max_tokens=99, messages=HELLO, tools=TOOLS
        ) as opened:
            called = opened.get_final_message()
    else:
        called = client.messages.create(model="auto", max_tokens=99, messages=HELLO, tools=TOOLS)
    assert called.stop_reason == "tool_use"
    (use,) = called.content
    assert use.type == "tool_use" and use.name == "weather" and use.input == {"place": "Lisbon"}
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "rain", "is_error": False}
    turns: Any = [*HELLO, {"role": "assistant", "content": called.content},
                  {"role": "user", "content": [result]}]  # fmt: skip
    then = client.messages.create(model="auto", max_tokens=99, messages=turns, tools=TOOLS)
    assert then.content[0].type == "text" and then.stop_reason == "end_turn"


def test_the_count_is_routings_own_estimate(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model="auto", messages=HELLO, tools=TOOLS)
    function = {"name": "weather", "parameters": SCHEMA, "description": "The weather."}
    body = {"model": "auto", "messages": HELLO,
            "tools": [{"type": "function", "function": function}]}  # fmt: skip
    own = parse(json.dumps(body, separators=(",", ":")).encode())
    assert counted.input_tokens == own.shape.tokens_in


def test_keys_of_either_header_and_none(service: Service) -> None:
    with anthropic.Anthropic(base_url=service.url, auth_token=KEY, max_retries=0) as bearer:
        assert bearer.messages.create(model="auto", max_tokens=9, messages=HELLO).content
    with (
        anthropic.Anthropic(base_url=service.url, api_key="hg-wrong", max_retries=0) as wrong,
        pytest.raises(anthropic.AuthenticationError),
    ):
        wrong.messages.create(model="auto", max_tokens=9, messages=HELLO)
    bare = httpx.post(service.url + "/v1/messages", json={"model": "auto"})
    assert bare.status_code == 401 and bare.json()["error"]["type"] == "authentication_error"
    assert bare.json()["request_id"] == bare.headers["request-id"]


def test_errors_in_the_dialects_shape(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(model="rivr", max_tokens=9, messages=HELLO)
    body: Any = missing.value.body
    assert body["type"] == "error" and body["error"]["type"] == "not_found_error"
    assert "river" in body["error"]["did_you_mean"]
    with pytest.raises(anthropic.BadRequestError) as option:
        client.messages.create(
            model="auto", max_tokens=9, messages=HELLO, extra_body={"headgate": {"nope": 1}}
        )
    assert option.value.body["error"]["code"] == "invalid_option"  # type: ignore[index]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"top_k": 5}, "top_k"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "adaptive"}}, "thinking"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"name": "bare"}]}, "tools[0].input_schema"),
        ({"metadata": {"other": "x"}}, "metadata.other"),
        ({"container": "c"}, "container"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": [*HELLO, {"role": "assistant", "content": "It is"}]}, "messages[1]"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "thinking", "thinking": "x"}]}]},
         "messages[0].content[0].type"),
        ({"messages": "x"}, "messages"),
        ({"output_config": {"effort": "max"}}, "output_config.effort"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused_by_name(
    client: anthropic.Anthropic, more: dict[str, Any], param: str
) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(
            **({"model": "auto", "max_tokens": 9, "messages": HELLO} | {"extra_body": more})  # type: ignore[arg-type]
        )
    assert caught.value.body["error"]["param"] == param  # type: ignore[index]


PLAN = """
deployments:
  - name: only
    base_url: {url}
    model: up-model
    price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}
service: {{attempt_timeouts_s: [5], stream_idle_s: 0.2, most_lag_s: 60}}
"""


def test_a_broken_stream_ends_in_an_error_and_a_limit_is_one(tmp_path: Path) -> None:
    with Upstream() as upstream:
        runtime = make_runtime(tmp_path / "state", PLAN.format(url=upstream.url))
        with Server(create_app(runtime)) as server:
            client = anthropic.Anthropic(base_url=server.url, api_key=KEY, max_retries=0)
            upstream.act = say(SSE_HEAD, event("half a"))
            texts: list[str] = []
            with (
                pytest.raises(anthropic.APIStatusError, match="broke off"),
                client.messages.stream(model="auto", max_tokens=9, messages=HELLO) as stream,
            ):
                texts += stream.text_stream
            assert texts == ["half a"]
            upstream.act = say(http(429, b"{}", "retry-after: 30"))
            with pytest.raises(anthropic.InternalServerError) as full:
                client.messages.create(model="only", max_tokens=9, messages=HELLO)
            assert int(full.value.response.headers["retry-after"]) > 0
            client.close()


async def test_the_async_client_many_at_once(service: Service) -> None:
    async with anthropic.AsyncAnthropic(base_url=service.url, api_key=KEY) as client:
        answers = await asyncio.gather(
            *(
                client.messages.create(model="auto", max_tokens=99, messages=HELLO)
                for _ in range(20)
            )
        )
    assert len({each.id for each in answers}) == 20


def test_a_long_body_is_read_beside_the_loop(client: anthropic.Anthropic) -> None:
    long: Any = [{"role": "user", "content": "tides " * 30_000}]
    assert client.messages.count_tokens(model="auto", messages=long).input_tokens > 40_000


def test_what_was_cached_and_what_was_written_to_a_cache_are_told_apart() -> None:
    parts = {"cached_tokens": 5, "cache_write_tokens": 4}
    usage = {"prompt_tokens": 12, "completion_tokens": 9, "prompt_tokens_details": parts}
    _, read = answered(json.dumps({"choices": [], "usage": usage}).encode())
    told = _usage(counts(read, 1, 1))
    assert told == {"input_tokens": 3, "cache_creation_input_tokens": 4,
                    "cache_read_input_tokens": 5, "output_tokens": 9}  # fmt: skip
