"""What is true of the OpenAI dialect alone: the answer's bytes are otherwise untouched."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from service.domain.records import ErrorKind
from service.providers.base import ProviderFailure
from service.providers.openai import OpenAI
from tests.service.providers.test_contract import NAMES, ask, deployment
from tests.service.providers.wires import WIRES
from tests.upstream import Upstream, answer_json, http, say

WIRE = WIRES["openai"]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


async def test_a_whole_answer_is_renamed_and_otherwise_untouched(upstream: Upstream) -> None:
    sent = answer_json('say "id":"up-1" and "model":"up-model"', system_fingerprint="fp", odd=1.50)
    upstream.act = say(http(200, sent))
    found = json.loads(await ask(OpenAI(), deployment(upstream, WIRE)))
    expected = json.loads(sent) | {"id": "chatcmpl-ours", "model": "deployment-a"}
    assert found == expected


@pytest.mark.parametrize("drop", ["id", "model", "usage"])
async def test_what_is_missing_is_put_in_or_estimated(upstream: Upstream, drop: str) -> None:
    content = json.loads(answer_json())
    del content[drop]
    upstream.act = say(http(200, json.dumps(content, indent=1).encode()))
    provider = OpenAI()
    answer = await provider.complete(deployment(upstream, WIRE), b"{}", NAMES)
    await provider.close()
    found = json.loads(answer.body)
    assert (found["id"], found["model"]) == ("chatcmpl-ours", "deployment-a")
    assert (answer.tokens is None) == (drop == "usage")


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 5}])
async def test_usage_that_is_not_whole_is_no_usage(upstream: Upstream, usage: object) -> None:
    upstream.act = say(http(200, answer_json(usage=usage)))
    provider = OpenAI()
    answer = await provider.complete(deployment(upstream, WIRE), b"{}", NAMES)
    assert answer.tokens is None
    await provider.close()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"code": "content_policy_violation"}, ErrorKind.POLICY),
        ({"code": "x", "message": "maximum context length is 8"}, ErrorKind.CONTEXT_LENGTH),
    ],
)
async def test_errors_that_only_openai_tells_so(
    upstream: Upstream, body: dict[str, str], kind: ErrorKind
) -> None:
    upstream.act = say(http(400, json.dumps({"error": body}).encode()))
    with pytest.raises(ProviderFailure) as caught:
        await ask(OpenAI(), deployment(upstream, WIRE))
    assert caught.value.kind is kind


async def test_a_limit_told_under_a_200(upstream: Upstream) -> None:
    upstream.act = say(http(200, b'{"error": {"code": "rate_limit_exceeded"}}'))
    with pytest.raises(ProviderFailure) as caught:
        await ask(OpenAI(), deployment(upstream, WIRE))
    assert caught.value.kind is ErrorKind.RATE_LIMIT
