"""The contract of PROVIDERS: answers in OpenAI's form and renamed, failures in our words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from service.domain.catalog import Deployment, Price
from service.domain.records import ErrorKind
from service.providers.base import Names, Provider, ProviderFailure
from service.providers.registry import PROVIDERS
from tests.service.providers.wires import BODY, WIRES, Wire
from tests.upstream import SSE_HEAD, Upstream, hang, http, reset, say

NAMES = Names("chatcmpl-ours", "deployment-a")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture(params=sorted(PROVIDERS))
def dialect(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def provider(dialect: str) -> Provider:
    return PROVIDERS[dialect]()


@pytest.fixture
def wire(dialect: str) -> Wire:
    return WIRES[dialect]


def deployment(upstream: Upstream, wire: Wire, **more: object) -> Deployment:
    fields = {"name": "a", "dialect": wire.dialect, "base_url": upstream.url, "model": "up-model",
              "prices": (Price(1, 1),), "api_key": "sk-canary-123"}  # fmt: skip
    return Deployment(**(fields | more))  # type: ignore[arg-type]


async def ask(provider: Provider, target: Deployment) -> bytes:
    try:
        return (await provider.complete(target, BODY, NAMES)).body
    finally:
        await provider.close()


async def listen(provider: Provider, target: Deployment) -> tuple[bytes, int, object]:
    data, characters, tokens = b"", 0, None
    asked = json.dumps(json.loads(BODY) | {"stream": True}).encode()
    stream = await provider.stream(target, asked, NAMES)
    try:
        async for chunk in stream:
            data += chunk.data
            characters += chunk.content_chars
            tokens = chunk.tokens or tokens
    finally:
        await stream.close()
        await provider.close()
    return data, characters, tokens


def chunks(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(each[6:]) for each in data.decode().split("\n\n") if each]


def texts(data: bytes) -> list[str]:
    deltas = [each["choices"][0]["delta"] for each in chunks(data)]
    return [each["content"] for each in deltas if each.get("content")]


async def test_a_whole_answer_is_in_openais_form_and_renamed(
    provider: Provider, wire: Wire, upstream: Upstream
) -> None:
    text = 'say "id":"up-1" and "model":"up-model"'
    upstream.act = say(http(200, wire.answer(text)))
    found = json.loads(await ask(provider, deployment(upstream, wire)))
    assert (found["id"], found["model"]) == ("chatcmpl-ours", "deployment-a")
    (choice,) = found["choices"]
    assert choice["message"]["content"] == text and choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "stop"
    assert {"prompt_tokens": 12, "completion_tokens": 34}.items() <= found["usage"].items()
    asked = upstream.requests[-1]
    assert wire.authorization in asked.lower()
    assert asked.startswith(b"POST " + wire.paths[0] + b" ")


@pytest.mark.parametrize("given", [0, -5])
async def test_usage_that_cannot_be_is_no_usage(
    provider: Provider, wire: Wire, upstream: Upstream, given: int
) -> None:
    upstream.act = say(http(200, wire.answer(usage=wire.usage(given, 3))))
    answer = await provider.complete(deployment(upstream, wire), BODY, NAMES)
    assert answer.tokens is None
    await provider.close()


async def test_a_refusal_is_ours(provider: Provider, wire: Wire, upstream: Upstream) -> None:
    upstream.act = say(http(200, wire.refusal()))
    with pytest.raises(ProviderFailure) as caught:
        await ask(provider, deployment(upstream, wire))
    assert caught.value.kind is ErrorKind.POLICY and caught.value.code == "content_filter"
    assert caught.value.status == 200


SECRET = "sk-canary-123 secret text"


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (400, "invalid_value", SECRET, ErrorKind.INVALID),
        (400, "context_length_exceeded", SECRET, ErrorKind.CONTEXT_LENGTH),
        (400, "x", "prompt is too long: 9 tokens > 8 maximum", ErrorKind.CONTEXT_LENGTH),
        (400, "x", "the input token count (9) exceeds the maximum", ErrorKind.CONTEXT_LENGTH),
        (200, "server_error", SECRET, ErrorKind.SERVER),
        (503, "overloaded_error", SECRET, ErrorKind.OVERLOADED),
    ],
)
async def test_errors_in_the_dialects_own_words(
    upstream: Upstream, dialect: str, status: int, code: str, message: str, kind: ErrorKind
) -> None:
    wire = WIRES[dialect]
    if status == 200 and dialect == "gemini":
        kind = ErrorKind.INVALID  # it puts the status into the error
    upstream.act = say(http(status, wire.error(code, message)))
    with pytest.raises(ProviderFailure) as caught:
        await ask(PROVIDERS[dialect](), deployment(upstream, wire))
    assert caught.value.kind is kind
    shown = repr(caught.value) + str(caught.value) + caught.value.code + caught.value.param
    assert "sk-canary" not in shown and "secret" not in shown


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(429, b"{}"), ErrorKind.RATE_LIMIT),
        (http(500, b"boom"), ErrorKind.SERVER),
        (http(529, b"{}"), ErrorKind.OVERLOADED),
        (http(408, b""), ErrorKind.SERVER),
        (http(404, b"{}"), ErrorKind.SERVER),
        (http(401, b"{}"), ErrorKind.AUTH),
        (http(302, b"", "location: http://169.254.169.254/"), ErrorKind.MALFORMED),
        (http(200, b"<html>busy</html>"), ErrorKind.MALFORMED),
        (http(200, b""), ErrorKind.MALFORMED),
        (http(200, b'{"choices": null}'), ErrorKind.MALFORMED),
        (http(200, b'{"choices": [], "content": [], "candidates": []}'), ErrorKind.MALFORMED),
        (b"HTTP/1.1 200 OK\r\n", ErrorKind.CONNECTION),
        (b"\x00\x01\x02", ErrorKind.MALFORMED),
    ],
)
async def test_failures_in_our_words(
    provider: Provider, wire: Wire, upstream: Upstream, answer: bytes, kind: ErrorKind
) -> None:
    upstream.act = say(answer)
    with pytest.raises(ProviderFailure) as caught:
        await ask(provider, deployment(upstream, wire))
    assert caught.value.kind is kind
    assert len([r for r in upstream.requests if b"169.254" in r]) == 0


async def test_when_to_come_back(provider: Provider, wire: Wire, upstream: Upstream) -> None:
    upstream.act = say(http(429, b"{}", "retry-after: 17"))
    with pytest.raises(ProviderFailure) as caught:
        await ask(provider, deployment(upstream, wire))
    assert caught.value.retry_after_s == 17.0


async def test_half_an_answer_and_one_that_lies_about_its_length(
    provider: Provider, wire: Wire, upstream: Upstream
) -> None:
    upstream.act = say(http(200, wire.answer()[:-20]))
    with pytest.raises(ProviderFailure) as caught:
        await provider.complete(deployment(upstream, wire), BODY, NAMES)
    assert caught.value.kind is ErrorKind.MALFORMED
    upstream.act = say(http(200, wire.answer(), length=5_000))
    with pytest.raises(ProviderFailure) as caught:
        await ask(provider, deployment(upstream, wire))
    assert caught.value.kind is ErrorKind.CUT


async def test_a_reset_and_a_refused_connection(
    provider: Provider, wire: Wire, upstream: Upstream
) -> None:
    upstream.act = reset
    with pytest.raises(ProviderFailure) as caught:
        await provider.complete(deployment(upstream, wire), BODY, NAMES)
    assert caught.value.kind is ErrorKind.CONNECTION
    with pytest.raises(ProviderFailure) as caught:
        await ask(provider, deployment(upstream, wire, base_url="http://127.0.0.1:9/v1"))
    assert caught.value.kind is ErrorKind.CONNECTION


async def test_a_stream_is_renamed_counted_and_its_usage_held_apart(
    provider: Provider, wire: Wire, upstream: Upstream
) -> None:
    upstream.act = say(SSE_HEAD, wire.head, wire.event("he"), wire.event("llo"), wire.end())
    data, characters, tokens = await listen(provider, deployment(upstream, wire))
    assert texts(data) == ["he", "llo"] and b"secret thought" not in data
    assert {(e["id"], e["model"]) for e in chunks(data)} == {("chatcmpl-ours", "deployment-a")}
    assert characters == 5 and tokens is not None and tokens.tokens_out == 3  # type: ignore[attr-defined]
    assert upstream.requests[-1].startswith(b"POST " + wire.paths[1] + b" ")


async def test_a_drip_of_single_bytes_gives_the_same(
    provider: Provider, wire: Wire, upstream: Upstream
) -> None:
    whole = wire.head + wire.event("caf\u00e9 ") + b": ping\n\n" + wire.event("x") + wire.end()
    upstream.act = say(SSE_HEAD, *(bytes([b]) for b in whole))
    data, characters, _ = await listen(provider, deployment(upstream, wire))
    assert characters == 6 and texts(data) == ["caf\u00e9 ", "x"]


async def test_one_malformed_line_is_skipped(
    provider: Provider, wire: Wire, upstream: Upstream
) -> None:
    bad = b'data: {"choices": [tru\n\n'
    upstream.act = say(SSE_HEAD, wire.head, wire.event("a"), bad, wire.event("b"), wire.end())
    counted: list[tuple[str, str, int]] = []
    provider.incidents.tell = lambda *told: counted.append(told)
    data, characters, _ = await listen(provider, deployment(upstream, wire))
    assert characters == 2 and texts(data) == ["a", "b"]
    assert counted == [("a", "malformed_lines", 1)]


@pytest.mark.parametrize("end", [None, reset])
async def test_a_stream_without_its_end_is_cut(
    provider: Provider, wire: Wire, upstream: Upstream, end: object
) -> None:
    upstream.act = say(SSE_HEAD, wire.head, wire.event("a"), then=end, pause_s=0.02)  # type: ignore[arg-type]
    with pytest.raises(ProviderFailure) as caught:
        await listen(provider, deployment(upstream, wire))
    assert caught.value.kind is ErrorKind.CUT


async def test_an_error_inside_a_stream_is_a_failure(
    provider: Provider, wire: Wire, upstream: Upstream
) -> None:
    error = wire.error_event("server_error", SECRET)
    upstream.act = say(SSE_HEAD, wire.head, wire.event("a"), error)
    with pytest.raises(ProviderFailure) as caught:
        await listen(provider, deployment(upstream, wire))
    assert caught.value.kind is ErrorKind.SERVER


async def test_closing_a_stream_cancels_the_call(
    provider: Provider, wire: Wire, upstream: Upstream
) -> None:
    upstream.act = say(SSE_HEAD, wire.head, wire.event("a"), then=hang)
    upstream.left.clear()
    stream = await provider.stream(deployment(upstream, wire), BODY, NAMES)
    async for _ in stream:
        break
    await stream.close()
    assert await asyncio.to_thread(upstream.left.wait, 5)
    await provider.close()
