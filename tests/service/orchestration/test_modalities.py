"""Images, speech and embeddings as a program asks for them; and what their way keeps in bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.domain.errors import (
    BudgetExceeded,
    CapabilityMissing,
    HeadgateError,
    InvalidRequest,
    UpstreamExhausted,
)
from service.domain.records import ErrorKind, Key, Mode
from service.runtime import Runtime
from service.storage.keys import digest
from tests.conftest import KEY, Server, Service, make_runtime
from tests.upstream import Upstream, http, say

PLAN = """
deployments:
  - {name: talker, base_url: FIRST, model: t, price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}
  - {name: brush, provider: p1, modality: image, base_url: FIRST, model: b, price: {usd_per_image: 0.04}}
  - {name: pen, provider: p2, modality: image, base_url: SECOND, model: p, price: {usd_per_image: 0.01}}
  - {name: voice, provider: p1, modality: speech, base_url: FIRST, model: v, price: {usd_per_mchar: 15}}
  - {name: east, provider: p1, modality: embedding, base_url: FIRST, model: e, price: {input_usd_per_mtok: 1}}
  - {name: west, provider: p2, modality: embedding, base_url: SECOND, model: e, price: {input_usd_per_mtok: 1}}
  - {name: north, provider: p2, modality: embedding, base_url: SECOND, model: n, price: {input_usd_per_mtok: 1}}
safe_deployment: talker
fallbacks:
  - {task: image, tiers: [{use: [brush], timeout_s: 5}, {use: [pen], timeout_s: 5}]}
  - {task: embedding, tiers: [{use: [east], timeout_s: 5}, {use: [west, north], timeout_s: 5}]}
budgets:
  named: [{name: pictures, scope: task, of: image, period: day, hard_usd: 0.4}]
service: {most_lag_s: 60}
resilience: {breaker: {failures_in_a_row: 50, failures_in_window: 50, window: 50}}
"""  # noqa: E501
PICTURE = http(200, json.dumps({"data": [{"b64_json": "aGk="}]}).encode())


def vectors(count: int) -> bytes:
    data = [{"index": i, "embedding": [1.0]} for i in range(count)]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    return http(200, json.dumps({"data": data, "model": "e", "usage": usage}).encode())


class Rig:
    """A service on two upstreams that do what a test says."""

    def __init__(self, service: Service, first: Upstream, second: Upstream) -> None:
        self.service, self.first, self.second = service, first, second
        self.runtime: Runtime = service.runtime
        self.key: Key = service.runtime.kept.keys.by_digest(digest(KEY))  # type: ignore[assignment]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Upstream() as first, Upstream() as second:
        text = PLAN.replace("FIRST", first.url).replace("SECOND", second.url)
        runtime = make_runtime(tmp_path_factory.mktemp("rig"), text)
        with Server(create_app(runtime)) as server:
            yield Rig(Service(runtime, server), first, second)


def made(rig: Rig, way: str, **fields: Any) -> Any:
    """What a program gets, in a loop of its own as a workflow's step would in the service's."""

    async def ask() -> Any:
        ask_for = getattr(rig.runtime.modalities, way)
        try:
            return await ask_for({"model": "auto"} | fields, rig.key)
        finally:
            for provider in rig.runtime.providers.values():
                await provider.close()

    return asyncio.run(ask())


def posted(rig: Rig, path: str, **fields: Any) -> httpx.Response:
    return httpx.post(
        f"{rig.service.url}/v1/{path}", headers={"authorization": f"Bearer {KEY}"},
        json={"model": "auto"} | fields, timeout=30,
    )  # fmt: skip


def test_a_program_gets_what_a_caller_gets(rig: Rig) -> None:
    rig.first.act = say(PICTURE)
    found = made(rig, "image", prompt="a mug")
    assert (found.deployment, found.cost_micro_usd, found.media) == (
        "brush", 40_000, "application/json",
    )  # fmt: skip
    case = rig.runtime.kept.cases.recent(found.decision_id)
    assert case is not None and case.outcome is not None and case.decision.task == "image"
    rig.first.act = say(b"HTTP/1.1 200 X\r\ncontent-type: audio/mpeg\r\n"
                        b"content-length: 3\r\n\r\nabc")  # fmt: skip
    spoken = made(rig, "speech", input="hello", voice="v")
    assert (spoken.body, spoken.media, spoken.cost_micro_usd) == (b"abc", "audio/mpeg", 75)
    rig.first.act = say(vectors(2))
    found = made(rig, "embed", input=["a", "b"])
    assert found.usage.tokens_in == 7 and json.loads(found.body)["model"] == "east"
    with pytest.raises(InvalidRequest):
        made(rig, "speech", input="hello")


def test_vectors_stay_in_their_space_and_are_counted(rig: Rig) -> None:
    """East answers too few, so west is asked, and north, of another space, never."""
    rig.first.act, rig.second.act = say(vectors(1)), say(vectors(2))
    found = made(rig, "embed", input=["a", "b"])
    assert found.deployment == "west" and found.served.mode is Mode.FALLBACK
    assert {*found.decision.candidates.names} == {"east"}
    assert "north" not in {each.deployment for each in found.decision.disqualified}
    case = rig.runtime.kept.cases.recent(found.decision_id)
    assert case is not None and case.attempts[0].error_kind is ErrorKind.MALFORMED
    assert case.attempts[0].usage.tokens_in == 7, "what the provider told is billed all the same"
    rig.second.act = say(vectors(1))
    with pytest.raises(UpstreamExhausted):
        made(rig, "embed", input=["a", "b"])
    assert not [each for each in rig.second.requests if b'"model":"n"' in each]
    assert made(rig, "embed", model="north", input="a").deployment == "north"
    named = made(rig, "embed", input="a", headgate={"deployments": ["north"]})
    assert named.deployment == "north"


def test_a_kill_to_one_that_chats_ends_pictures_and_says_so(rig: Rig) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    body = {"action": "kill", "deployment": "talker", "reason": "all to one, for a test",
            "author": "me"}  # fmt: skip
    laid = httpx.post(rig.service.url + "/admin/overrides", headers=headers, json=body)
    assert laid.status_code == 201, laid.text
    try:
        answer = posted(rig, "images/generations", prompt="a mug")
        assert answer.status_code == 400 and "sends all of this to talker" in answer.text
        assert "lacks image" in answer.text
    finally:
        end = f"{rig.service.url}/admin/overrides/{laid.json()['id']}/lift"
        httpx.post(end, headers=headers, json={"reason": "it is over now", "author": "me"})


def test_budgets_and_caps_count_pictures(rig: Rig) -> None:
    rig.first.act = rig.second.act = say(PICTURE)
    with pytest.raises(BudgetExceeded):
        made(rig, "image", prompt="a mug", n=10, model="brush")
    with pytest.raises(CapabilityMissing):
        made(rig, "image", prompt="a mug", headgate={"max_cost_usd": 0.001})
    cheap = made(rig, "image", prompt="a mug", headgate={"max_cost_usd": 0.02})
    assert cheap.deployment == "pen" and cheap.cost_micro_usd == 10_000


def test_sound_that_breaks_off_is_seen_to_be_broken(rig: Rig) -> None:
    head = b"HTTP/1.1 200 X\r\ncontent-type: audio/wav\r\ncontent-length: 999\r\n\r\n"
    rig.first.act = say(head + b"RIFF" * 20)
    with pytest.raises(httpx.RemoteProtocolError):
        posted(rig, "audio/speech", input="hello", voice="v", response_format="wav")


def test_a_plan_without_them_says_so(rig: Rig) -> None:
    ways = rig.runtime.modalities.ways
    rig.runtime.modalities.ways = replace(ways, ways={}, kinds={})
    try:
        with pytest.raises(HeadgateError, match="modality: speech"):
            made(rig, "speech", input="x", voice="v")
    finally:
        rig.runtime.modalities.ways = ways
