"""Callers use the official OpenAI SDK, unmodified: whole answers, streams, tools, errors."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from service.api.chat import hundredths
from service.app import create_app
from service.storage.cases import Case
from tests.conftest import KEY, Server, Service, make_runtime
from tests.upstream import SSE_HEAD, Upstream, answer_json, event, hang, http, say

HELLO: Any = [{"role": "user", "content": "Describe the tide to a child."}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]


@pytest.fixture
def client(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=service.url + "/v1", api_key=KEY, max_retries=0) as made:
        yield made


def ended(service: Service, decision_id: str) -> Case:
    case = service.runtime.kept.cases.recent(decision_id)
    assert case is not None
    deadline = time.monotonic() + 5
    while case.outcome is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return case


def test_a_confidence_below_a_threshold_is_not_shown_as_at_it() -> None:
    shown = [hundredths(each) for each in (0.7499, 0.75, 1.0, 0.0)]
    assert shown == [b"0.74", b"0.75", b"1.00", b"0.00"]


def test_a_whole_answer_with_every_header(service: Service, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=HELLO)
    answer, headers = raw.parse(), raw.headers
    names = [each.name for each in service.runtime.catalog]
    assert answer.model in names and answer.choices[0].message.content
    assert headers["x-headgate-deployment"] == answer.model
    decision_id = headers["x-headgate-decision-id"]
    assert answer.id == "chatcmpl-" + decision_id.replace("-", "")
    assert headers["x-headgate-mode"] == "randomised"
    assert headers["x-headgate-reason"] in ("policy", "exploration")
    assert headers["x-headgate-task"] == "other" and headers["x-headgate-attempts"] == "1"
    assert float(headers["x-headgate-cost"]) > 0.0
    assert 0.0 <= float(headers["x-headgate-overhead-ms"]) < 1_000.0
    assert headers["x-headgate-policy"].startswith("default@")
    assert len(headers["x-request-id"]) == 36
    case = ended(service, decision_id)
    assert answer.usage is not None
    assert case.outcome is not None
    assert case.outcome.usage.tokens_out == answer.usage.completion_tokens
    assert f"{case.outcome.usage.cost_micro_usd / 1e6:.6f}" == headers["x-headgate-cost"]


def test_a_stream(service: Service, client: openai.OpenAI) -> None:
    with client.chat.completions.create(model="auto", messages=HELLO, stream=True) as stream:
        chunks = list(stream)
        headers = stream.response.headers
    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert text.startswith("The water finds") and chunks[-1].choices[0].finish_reason == "stop"
    assert {c.model for c in chunks} == {headers["x-headgate-deployment"]}
    assert all(c.choices for c in chunks), "usage was not asked for"
    case = ended(service, headers["x-headgate-decision-id"])
    assert case.outcome is not None and not case.outcome.usage.estimated
    assert case.outcome.ttft_s is not None and case.outcome.ttft_s <= case.outcome.latency_s


def test_a_stream_with_usage_tells_its_cost(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="auto", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    last = list(stream)[-1]
    assert last.choices == [] and last.usage is not None and last.usage.completion_tokens > 0
    assert last.usage.cost_usd > 0.0  # type: ignore[attr-defined]


@pytest.mark.parametrize("stream", [False, True])
def test_tools(client: openai.OpenAI, stream: bool) -> None:
    if not stream:
        answer = client.chat.completions.create(model="auto", messages=HELLO, tools=TOOLS)
        (call,) = answer.choices[0].message.tool_calls or ()
        assert call.type == "function" and call.function.name == "weather"
        assert json.loads(call.function.arguments) == {"place": "Lisbon"}
        return
    arguments = ""
    for chunk in client.chat.completions.create(
        model="auto", messages=HELLO, tools=TOOLS, stream=True
    ):
        for delta in chunk.choices[0].delta.tool_calls or ():
            arguments += (delta.function and delta.function.arguments) or ""
    assert json.loads(arguments) == {"place": "Lisbon"}


def test_json_mode_several_answers_and_images(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="auto", messages=HELLO, response_format={"type": "json_object"}, n=3, seed=4,
        stop=["never"],
    )  # fmt: skip
    assert len(answer.choices) == 3
    assert "answer" in json.loads(answer.choices[0].message.content or "")
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    image: Any = [{"role": "user", "content": [{"type": "text", "text": "what is it"}, part]}]
    seen = client.chat.completions.create(model="auto", messages=image)
    assert seen.model in ("river", "fall")


async def test_the_async_client_many_at_once(service: Service) -> None:
    async with openai.AsyncOpenAI(base_url=service.url + "/v1", api_key=KEY) as client:
        answers = await asyncio.gather(
            *(client.chat.completions.create(model="auto", messages=HELLO) for _ in range(30))
        )
    assert len({a.id for a in answers}) == 30


def test_a_pin_and_the_routers_options(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="mill", messages=HELLO)
    assert raw.headers["x-headgate-mode"] == "pinned" and raw.parse().model == "mill"
    raw = client.chat.completions.with_raw_response.create(
        model="auto",
        messages=HELLO,
        extra_body={"headgate": {"task": "maths", "exclude": ["fall"]}},
    )
    assert raw.headers["x-headgate-task"] == "maths" and raw.parse().model != "fall"


def test_a_session_stays(client: openai.OpenAI) -> None:
    seen = set()
    for turn in range(6):
        raw = client.chat.completions.with_raw_response.create(
            model="auto", messages=HELLO, extra_headers={"x-session-id": "one"}
        )
        seen.add(raw.parse().model)
        assert raw.headers["x-headgate-mode"] == ("sticky" if turn else "randomised")
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model": "rivr"}, openai.NotFoundError),
        ({"messages": []}, openai.BadRequestError),
        ({"extra_body": {"headgate": {"queue": True}}}, openai.BadRequestError),
        ({"extra_body": {"headgate": {"max_cost_usd": 1e-12}}}, openai.BadRequestError),
    ],
)
def test_errors_are_the_sdks_own(
    client: openai.OpenAI, change: dict[str, Any], error: type[openai.APIStatusError]
) -> None:
    with pytest.raises(error) as caught:
        client.chat.completions.create(**({"model": "auto", "messages": HELLO} | change))
    assert caught.value.request_id and caught.value.body


def test_a_wrong_key_is_401(service: Service) -> None:
    with (
        openai.OpenAI(base_url=service.url + "/v1", api_key="hg-wrong") as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.chat.completions.create(model="auto", messages=HELLO)


class Rig(Service):
    """A service against upstreams that do what the test says; ``flaky`` comes first."""

    def __init__(self, inner: Service, flaky: Upstream, steady: Upstream) -> None:
        super().__init__(inner.runtime, Server.__new__(Server))
        self.flaky, self.steady = flaky, steady


PLAN = """
deployments:
  - {name: flaky, provider: p1, base_url: FLAKY, model: m, price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}
  - {name: steady, provider: p2, base_url: STEADY, model: m, price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}
policy: {kind: fixed, parameters: {arm: flaky}}
service: {attempt_timeouts_s: [0.5, 0.5], stream_idle_s: 0.3, deadline_s: 5, body_bytes: 20000}
"""  # noqa: E501


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Upstream() as flaky, Upstream() as steady:
        text = PLAN.replace("FLAKY", flaky.url).replace("STEADY", steady.url)
        runtime = make_runtime(tmp_path_factory.mktemp("rig"), text)
        with Server(create_app(runtime)) as server:
            made = Rig.__new__(Rig)
            made.runtime, made.url, made.key = runtime, server.url, KEY
            made.flaky, made.steady = flaky, steady
            yield made


@pytest.fixture(autouse=True)
def _well(request: pytest.FixtureRequest) -> None:
    """No test pays for the failures of the one before it."""
    if "rig" in request.fixturenames:
        rig = request.getfixturevalue("rig")
        for name in ("flaky", "steady"):
            rig.runtime.fleet.forgive(name)


@pytest.fixture
def rigged(rig: Rig) -> Iterator[openai.OpenAI]:
    rig.steady.act = say(http(200, answer_json("steady")))
    with openai.OpenAI(base_url=rig.url + "/v1", api_key=KEY, max_retries=0) as made:
        yield made


def test_a_dead_upstream_falls_back_and_says_so(rig: Rig, rigged: openai.OpenAI) -> None:
    rig.flaky.act = say(http(500, b"boom sk-canary"))
    raw = rigged.chat.completions.with_raw_response.create(model="auto", messages=HELLO)
    assert raw.headers["x-headgate-mode"] == "fallback" and raw.parse().model == "steady"
    assert raw.headers["x-headgate-fallback-from"] == "flaky"
    assert raw.headers["x-headgate-attempts"] == "2"


def test_when_all_are_dead_it_is_503_and_tells_when_to_come_back(
    rig: Rig, rigged: openai.OpenAI
) -> None:
    rig.flaky.act = say(http(429, b"secret vendor text", "retry-after: 30"))
    rig.steady.act = say(http(429, b"{}", "retry-after: 9"))
    with pytest.raises(openai.InternalServerError) as caught:
        rigged.chat.completions.create(model="auto", messages=HELLO)
    assert caught.value.status_code == 503
    assert caught.value.response.headers["retry-after"] == "9"
    assert "vendor" not in str(caught.value) and "incident" in str(caught.value)


def test_a_broken_stream_ends_in_an_error_never_in_a_clean_end(
    rig: Rig, rigged: openai.OpenAI
) -> None:
    rig.flaky.act = say(SSE_HEAD, event("half an answer"), pause_s=0.02)
    text = ""
    with pytest.raises(openai.APIError, match="incomplete"):
        for chunk in rigged.chat.completions.create(model="auto", messages=HELLO, stream=True):
            text += chunk.choices[0].delta.content or ""
    assert text == "half an answer"
    body = {"model": "auto", "messages": HELLO, "stream": True}
    raw = httpx.post(rig.url + "/v1/chat/completions", json=body,
                     headers={"Authorization": f"Bearer {KEY}"}).text  # fmt: skip
    assert "event: error" in raw and "[DONE]" not in raw


def test_a_stalled_stream_is_ended(rig: Rig, rigged: openai.OpenAI) -> None:
    rig.flaky.act = say(SSE_HEAD, event("half"), then=hang)
    with pytest.raises(openai.APIError, match="stalled"):
        list(rigged.chat.completions.create(model="auto", messages=HELLO, stream=True))


def test_a_stream_that_says_nothing_falls_back(rig: Rig, rigged: openai.OpenAI) -> None:
    rig.flaky.act = say(SSE_HEAD, then=hang)
    rig.steady.act = say(SSE_HEAD, event("steady"), b"data: [DONE]\n\n")
    chunks = list(rigged.chat.completions.create(model="auto", messages=HELLO, stream=True))
    assert chunks[0].choices[0].delta.content == "steady" and chunks[0].model == "steady"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_who_leaves_cancels_the_call_and_it_is_logged(
    rig: Rig, stream: bool
) -> None:
    rig.flaky.act = say(SSE_HEAD, event("x" * 40), then=hang) if stream else hang
    rig.flaky.left.clear()
    before = rig.runtime.board.requests
    body = {"model": "flaky", "messages": HELLO, "stream": stream}
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(rig.url + "/v1/chat/completions", json=body, timeout=0.15)
    assert await asyncio.to_thread(rig.flaky.left.wait, 3)
    deadline = time.monotonic() + 3
    while rig.runtime.board.requests == before:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    case = next(reversed(rig.runtime.kept.cases._recent.values()))
    assert case.outcome is not None and case.outcome.status == 499
    assert case.outcome.usage.estimated and case.outcome.usage.cost_micro_usd > 0
    assert rig.runtime.under_way == 0
