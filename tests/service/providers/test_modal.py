"""Images, speech and embeddings from a provider: what is an answer, what is billed, what is not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from service.domain.catalog import Deployment, Price
from service.domain.records import ErrorKind
from service.providers.base import Answer, Names, ProviderFailure, Tokens
from service.providers.modal import Embeddings, Images, Speech
from service.routing.billing import Seen, usage_of
from tests.upstream import Upstream, http, say

NAMES = Names("r", "ours")
FREE, BY_TOKEN = Price(0, 0, image_micro_usd=7), Price(5, 40)
SPOKEN = Price(0, 0, mchar_micro_usd=15_000_000)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as made:
        yield made


def called(upstream: Upstream, kind: Any, body: bytes, price: Price = FREE) -> Answer:
    """One whole answer of a provider that says ``body``."""
    upstream.act = say(http(200, body))
    target = Deployment("d", "openai", upstream.url, "m", (price,))

    async def ask() -> Answer:
        provider = kind()
        try:
            found: Answer = await provider.complete(target, b'{"input":"hello"}', NAMES)
            return found
        finally:
            await provider.close()

    return asyncio.run(ask())


def test_pictures_are_counted_and_billed_by_what_came(upstream: Upstream) -> None:
    body = json.dumps({"data": [{"b64_json": "aGk="}, {"url": "https://x/y"}]}).encode()
    answer = called(upstream, Images, body)
    assert (answer.body, answer.images, answer.tokens) == (body, 2, Tokens(0, 0))
    target = Deployment("d", "openai", "http://x", "m", (FREE,))
    usage = usage_of(target, 1_000, Seen(True, 0, answer.tokens, images=2), None, 0)
    assert usage.cost_micro_usd == 14 and not usage.estimated
    told = json.dumps({"data": [{"b64_json": "aGk="}], "usage": {"input_tokens": 3,
                       "output_tokens": 40}}).encode()  # fmt: skip
    assert called(upstream, Images, told, BY_TOKEN).tokens == Tokens(3, 40)
    assert called(upstream, Images, body, BY_TOKEN).tokens is None, "to be estimated"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Images, b'{"data": []}'), (Images, b'{"data": [{"b64_json": ""}]}'), (Images, b"<html>"),
        (Images, b'{"data": [{"b64_json": null, "url": null}]}'), (Images, b'{"created": 1}'),
        (Embeddings, b'{"data": [{"embedding": []}, {"embedding": null}]}'),
        (Embeddings, b'{"data": "x"}'), (Speech, b'{"strange": 1}'),
    ],
)  # fmt: skip
def test_what_is_no_answer_fails(upstream: Upstream, kind: Any, body: bytes) -> None:
    with pytest.raises(ProviderFailure) as found:
        called(upstream, kind, body)
    assert found.value.kind is ErrorKind.MALFORMED


@pytest.mark.parametrize("kind", [Images, Speech, Embeddings])
def test_an_error_under_a_200_is_one(upstream: Upstream, kind: Any) -> None:
    said = b'{"error": {"code": "content_policy_violation", "message": "no"}}'
    with pytest.raises(ProviderFailure) as found:
        called(upstream, kind, said)
    assert found.value.kind is ErrorKind.POLICY


@pytest.mark.parametrize("space", ["", " "])
def test_vectors_stand_under_the_deployments_name(upstream: Upstream, space: str) -> None:
    vector = '"' + "A" * 3_000 + '"'
    usage = '"usage":{"prompt_tokens":4,"total_tokens":4}'
    data = f'[{{"embedding":{space}{vector}}}]'
    body = f'{{"object":"list","data":{data},"model":{space}"theirs",{usage}}}'
    answer = called(upstream, Embeddings, body.encode(), BY_TOKEN)
    assert json.loads(answer.body)["model"] == "ours" and answer.made == 1
    assert json.loads(answer.body)["data"] == [{"embedding": "A" * 3_000}]
    assert answer.tokens == Tokens(4, 0)


def test_speech_is_billed_by_its_characters_whole_or_cut(upstream: Upstream) -> None:
    head = b"HTTP/1.1 200 X\r\ncontent-type: audio/wav\r\ncontent-length: 99\r\n\r\n"
    upstream.act = say(head, b"RIFF")  # and then no more
    target = Deployment("d", "openai", upstream.url, "m", (SPOKEN,))

    async def heard() -> tuple[list[Any], ErrorKind]:
        provider, chunks = Speech(), []
        stream = await provider.stream(target, b'{"input":"hello"}', NAMES)
        try:
            async for chunk in stream:
                chunks.append(chunk)
        except ProviderFailure as failure:
            return chunks, failure.kind
        finally:
            await stream.close()
            await provider.close()
        raise AssertionError("it is not whole")

    chunks, kind = asyncio.run(heard())
    assert kind is ErrorKind.CUT and b"".join(each.data for each in chunks) == b"RIFF"
    seen = Seen(True, 0, chunks[0].tokens)
    usage = usage_of(target, 99, seen, kind, 0)
    assert usage.cost_micro_usd == 75 and not usage.estimated, "five characters"
    assert usage_of(target, 2, Seen(True), ErrorKind.TIMEOUT, 0).estimated
