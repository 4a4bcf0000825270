"""The contract of PROVIDERS: answers renamed and otherwise untouched, failures in our words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from service.domain.catalog import Deployment, Price
from service.domain.records import ErrorKind
from service.providers.base import Names, Provider, ProviderFailure
from service.providers.registry import PROVIDERS
from tests.upstream import SSE_HEAD, Upstream, answer_json, event, hang, http, reset, say

NAMES = Names("chatcmpl-ours", "deployment-a")
DONE = b"data: [DONE]\n\n"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture(params=sorted(PROVIDERS))
def provider(request: pytest.FixtureRequest) -> Provider:
    return PROVIDERS[request.param]()


def deployment(upstream: Upstream, **more: object) -> Deployment:
    fields = {"name": "a", "dialect": "openai", "base_url": upstream.url, "model": "up-model",
              "prices": (Price(1, 1),), "api_key": "sk-canary-123"}  # fmt: skip
    return Deployment(**(fields | more))  # type: ignore[arg-type]


async def ask(provider: Provider, target: Deployment) -> bytes:
    try:
        return (await provider.complete(target, b'{"x":1}', NAMES)).body
    finally:
        await provider.close()


async def listen(provider: Provider, target: Deployment) -> tuple[bytes, int, object]:
    data, characters, tokens = b"", 0, None
    stream = await provider.stream(target, b"{}", NAMES)
    try:
        async for chunk in stream:
            data += chunk.data
            characters += chunk.content_chars
            tokens = chunk.tokens or tokens
    finally:
        await stream.close()
        await provider.close()
    return data, characters, tokens


async def test_a_whole_answer_is_renamed_and_otherwise_untouched(
    provider: Provider, upstream: Upstream
) -> None:
    sent = answer_json('say "id":"up-1" and "model":"up-model"', system_fingerprint="fp", odd=1.50)
    upstream.act = say(http(200, sent))
    found = json.loads(await ask(provider, deployment(upstream)))
    expected = json.loads(sent) | {"id": "chatcmpl-ours", "model": "deployment-a"}
    assert found == expected
    assert b"authorization: bearer sk-canary-123" in upstream.requests[-1].lower()


@pytest.mark.parametrize("drop", ["id", "model", "usage"])
async def test_what_is_missing_is_put_in_or_estimated(
    provider: Provider, upstream: Upstream, drop: str
) -> None:
    content = json.loads(answer_json())
    del content[drop]
    upstream.act = say(http(200, json.dumps(content, indent=1).encode()))
    answer = await provider.complete(deployment(upstream), b"{}", NAMES)
    await provider.close()
    found = json.loads(answer.body)
    assert (found["id"], found["model"]) == ("chatcmpl-ours", "deployment-a")
    assert (answer.tokens is None) == (drop == "usage")


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": 0, "completion_tokens": 0},
              {"prompt_tokens": -5, "completion_tokens": 3}, {"prompt_tokens": 5}]
)  # fmt: skip
async def test_usage_that_cannot_be_is_no_usage(
    provider: Provider, upstream: Upstream, usage: object
) -> None:
    upstream.act = say(http(200, answer_json(usage=usage)))
    assert (await provider.complete(deployment(upstream), b"{}", NAMES)).tokens is None
    await provider.close()


def _error(code: str, message: str = "sk-canary-123 secret text") -> bytes:
    return json.dumps({"error": {"message": message, "code": code, "param": "x"}}).encode()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(429, b"{}"), ErrorKind.RATE_LIMIT),
        (http(500, b"boom"), ErrorKind.SERVER),
        (http(529, b"{}"), ErrorKind.OVERLOADED),
        (http(408, b""), ErrorKind.SERVER),
        (http(404, b"{}"), ErrorKind.SERVER),
        (http(401, b"{}"), ErrorKind.AUTH),
        (http(400, _error("invalid_value")), ErrorKind.INVALID),
        (http(400, _error("context_length_exceeded")), ErrorKind.CONTEXT_LENGTH),
        (http(400, _error("x", "maximum context length is 8")), ErrorKind.CONTEXT_LENGTH),
        (http(400, _error("content_policy_violation")), ErrorKind.POLICY),
        (http(302, b"", "location: http://169.254.169.254/"), ErrorKind.MALFORMED),
        (http(200, b"<html>busy</html>"), ErrorKind.MALFORMED),
        (http(200, b""), ErrorKind.MALFORMED),
        (http(200, b'{"choices": null}'), ErrorKind.MALFORMED),
        (http(200, b'{"choices": []}'), ErrorKind.MALFORMED),
        (http(200, answer_json()[:-20]), ErrorKind.MALFORMED),
        (http(200, _error("server_error")), ErrorKind.SERVER),
        (http(200, _error("rate_limit_exceeded")), ErrorKind.RATE_LIMIT),
        (http(200, answer_json(), length=5_000), ErrorKind.CUT),
        (b"HTTP/1.1 200 OK\r\n", ErrorKind.CONNECTION),
        (b"\x00\x01\x02", ErrorKind.MALFORMED),
    ],
)
async def test_failures_in_our_words(
    provider: Provider, upstream: Upstream, answer: bytes, kind: ErrorKind
) -> None:
    upstream.act = say(answer)
    with pytest.raises(ProviderFailure) as caught:
        await ask(provider, deployment(upstream))
    assert caught.value.kind is kind
    shown = repr(caught.value) + str(caught.value) + caught.value.code + caught.value.param
    assert "sk-canary" not in shown and "secret" not in shown
    assert len([r for r in upstream.requests if b"169.254" in r]) == 0


async def test_a_reset_and_a_refused_connection(provider: Provider, upstream: Upstream) -> None:
    upstream.act = reset
    with pytest.raises(ProviderFailure) as caught:
        await ask(provider, deployment(upstream))
    assert caught.value.kind is ErrorKind.CONNECTION
    with pytest.raises(ProviderFailure) as caught:
        await ask(provider, deployment(upstream, base_url="http://127.0.0.1:9/v1"))
    assert caught.value.kind is ErrorKind.CONNECTION


async def test_a_stream_is_renamed_counted_and_its_usage_held_apart(
    provider: Provider, upstream: Upstream
) -> None:
    usage = event(None, usage={"prompt_tokens": 7, "completion_tokens": 3})
    upstream.act = say(SSE_HEAD, event("he"), event("llo"), usage, DONE)
    data, characters, tokens = await listen(provider, deployment(upstream))
    events = [json.loads(e[6:]) for e in data.decode().split("\n\n") if e]
    assert [e["choices"][0]["delta"]["content"] for e in events] == ["he", "llo"]
    assert {(e["id"], e["model"]) for e in events} == {("chatcmpl-ours", "deployment-a")}
    assert characters == 5 and tokens is not None and tokens.tokens_out == 3  # type: ignore[attr-defined]


async def test_a_drip_of_single_bytes_gives_the_same(
    provider: Provider, upstream: Upstream
) -> None:
    whole = event("caf\u00e9 ") + b": ping\n\n" + event("x") + DONE
    upstream.act = say(SSE_HEAD, *(bytes([b]) for b in whole))
    data, characters, _ = await listen(provider, deployment(upstream))
    assert characters == 6 and data.count(b"data: ") == 2


async def test_one_malformed_line_is_skipped(provider: Provider, upstream: Upstream) -> None:
    upstream.act = say(SSE_HEAD, event("a"), b'data: {"choices": [tru\n\n', event("b"), DONE)
    data, characters, _ = await listen(provider, deployment(upstream))
    assert characters == 2 and data.count(b"data: ") == 2


@pytest.mark.parametrize("end", [None, reset])
async def test_a_stream_without_its_end_is_cut(
    provider: Provider, upstream: Upstream, end: object
) -> None:
    upstream.act = say(SSE_HEAD, event("a"), then=end, pause_s=0.02)  # type: ignore[arg-type]
    with pytest.raises(ProviderFailure) as caught:
        await listen(provider, deployment(upstream))
    assert caught.value.kind is ErrorKind.CUT


async def test_an_error_inside_a_stream_is_a_failure(
    provider: Provider, upstream: Upstream
) -> None:
    upstream.act = say(SSE_HEAD, event("a"), b"data: " + _error("server_error") + b"\n\n")
    with pytest.raises(ProviderFailure) as caught:
        await listen(provider, deployment(upstream))
    assert caught.value.kind is ErrorKind.SERVER


async def test_closing_a_stream_cancels_the_call(provider: Provider, upstream: Upstream) -> None:
    upstream.act = say(SSE_HEAD, event("a"), then=hang)
    upstream.left.clear()
    stream = await provider.stream(deployment(upstream), b"{}", NAMES)
    async for _ in stream:
        break
    await stream.close()
    assert await asyncio.to_thread(upstream.left.wait, 5)
    await provider.close()
