"""Callers use the official OpenAI SDK for Responses, unmodified."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from service.app import create_app
from tests.conftest import KEY, Server, Service, make_runtime, plan_text
from tests.service.api.test_chat import ended
from tests.service.api.test_messages import PLAN
from tests.upstream import SSE_HEAD, Upstream, event, say

pytestmark = pytest.mark.slow  # the vendors' clients take seconds to be imported

HELLO = "Describe the tide to a child."
SCHEMA: Any = {"type": "object", "properties": {"place": {"type": "string"}}}
TOOLS: Any = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}]


@pytest.fixture(scope="module")
def service(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that is patient: its client shares the process, and takes long to be imported."""
    text = plan_text(providers.url, **{"deadline_s: 75": "deadline_s: 75\n  most_lag_s: 60"})
    runtime = make_runtime(tmp_path_factory.mktemp("state"), text)
    with Server(create_app(runtime)) as server:
        yield Service(runtime, server)


@pytest.fixture
def client(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=service.url + "/v1", api_key=KEY, max_retries=0) as made:
        yield made


def test_a_whole_answer(service: Service, client: openai.OpenAI) -> None:
    raw = client.responses.with_raw_response.create(
        model="auto", input=HELLO, instructions="Be kind.", max_output_tokens=300, temperature=0.2,
        metadata={"feature": "shore"}, user="u-1", store=True,
        extra_body={"headgate": {"exclude": ["fall"]}},
    )  # fmt: skip
    answer, headers = raw.parse(), raw.headers
    assert answer.output_text.startswith("The water finds") and answer.status == "completed"
    assert answer.model == headers["x-headgate-deployment"] != "fall"
    decision_id = headers["x-headgate-decision-id"]
    assert answer.id == "resp_" + decision_id.replace("-", "")
    assert answer.store is False, "nothing is kept, and so it says"  # type: ignore[attr-defined]
    assert answer.instructions == "Be kind." and answer.metadata == {"feature": "shore"}
    case = ended(service, decision_id)
    assert case.outcome is not None and answer.usage is not None
    assert case.outcome.usage.tokens_out == answer.usage.output_tokens
    assert case.decision.tokens_out_limit == 300


def test_a_stream_in_order(client: openai.OpenAI) -> None:
    with client.responses.create(model="auto", input=HELLO, stream=True) as stream:
        events = list(stream)
    assert [each.sequence_number for each in events] == list(range(len(events)))
    kinds = [each.type for each in events]
    assert kinds[:4] == ["response.created", "response.in_progress",
                         "response.output_item.added", "response.content_part.added"]  # fmt: skip
    assert kinds[-4:] == ["response.output_text.done", "response.content_part.done",
                          "response.output_item.done", "response.completed"]  # fmt: skip
    text = "".join(each.delta for each in events if each.type == "response.output_text.delta")
    last = events[-1]
    assert last.type == "response.completed" and last.response.output_text == text
    assert last.response.usage is not None and last.response.usage.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
def test_tools_to_the_end(client: openai.OpenAI, stream: bool) -> None:
    if stream:
        with client.responses.stream(model="auto", input=HELLO, tools=TOOLS) as opened:
            for _ in opened:
                pass
            answer: Any = opened.get_final_response()
    else:
        answer = client.responses.create(model="auto", input=HELLO, tools=TOOLS)
    (call,) = answer.output
    assert call.type == "function_call" and json.loads(call.arguments) == {"place": "Lisbon"}
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    said = call.to_dict()
    said.pop("parsed_arguments", None)  # what the SDK read out of it
    turns: Any = [{"role": "user", "content": HELLO}, said, output]
    then = client.responses.create(model="auto", input=turns, tools=TOOLS)
    assert then.output_text.startswith("The water finds")
    again: Any = [*turns, *then.output, {"role": "user", "content": "Thanks."}]
    assert client.responses.create(model="auto", input=again).output_text


def test_json(client: openai.OpenAI) -> None:
    form: Any = {"format": {"type": "json_schema", "name": "tide", "schema": SCHEMA}}
    answer = client.responses.create(model="auto", input=HELLO, text=form)
    assert list(json.loads(answer.output_text)) == ["place"], "of the schema that was asked for"
    assert answer.text is not None and answer.text.format is not None
    assert answer.text.format.type == "json_schema"


IMAGE: Any = {"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "file_search", "vector_store_ids": []}]}, "tools[0].type"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["reasoning.encrypted_content"]}, "include[0]"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"max_tool_calls": 3}, "max_tool_calls"),
        ({"reasoning": {"summary": "auto"}}, "reasoning.summary"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": [{"type": "reasoning", "id": "x", "summary": []}]}, "input[0].type"),
        ({"input": [IMAGE]}, "input[0].content[0]"),
        ({"input": 5}, "input"),
        ({"tool_choice": {"type": "web_search_preview"}}, "tool_choice.type"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(
    client: openai.OpenAI, more: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="auto", input=HELLO, extra_body=more)
    assert caught.value.param == param, caught.value.message


def test_other_errors(client: openai.OpenAI, service: Service) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.create(model="rivr", input=HELLO)
    assert missing.value.code == "model_not_found"
    with (
        openai.OpenAI(base_url=service.url + "/v1", api_key="no", max_retries=0) as wrong,
        pytest.raises(openai.AuthenticationError),
    ):
        wrong.responses.create(model="auto", input=HELLO)


def test_a_broken_stream_ends_in_an_error_event(tmp_path: Path) -> None:
    with Upstream() as upstream:
        runtime = make_runtime(tmp_path / "state", PLAN.format(url=upstream.url))
        with (
            Server(create_app(runtime)) as server,
            openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0) as client,
        ):
            upstream.act = say(SSE_HEAD, event("half a"))
            events = list(client.responses.create(model="auto", input=HELLO, stream=True))
    last = events[-1]
    assert last.type == "error" and last.code == "stream_interrupted"
    assert "broke off" in last.message
    assert last.sequence_number == len(events) - 1
    assert not any(each.type == "response.completed" for each in events)
