"""A key's limits a minute: told on every answer, refused with when to come back, exact in sum."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from service.api.admission import admit
from service.domain.errors import RateLimited
from service.domain.records import Key
from service.plan.inbound import ServicePlan
from tests.service.api.test_auth import make_key
from tests.service.faults.inbound import ANSWER, GOOD, PATH, Rig, running
from tests.upstream import SSE_HEAD, USAGE, event, http, say

RESET = re.compile(r"^\d+\.\d{3}s$")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    bounds = {"key_requests_per_minute": 6, "key_tokens_per_minute": 5_000}
    with running(tmp_path_factory.mktemp("admission"), **bounds) as made:
        made.upstream.act = say(ANSWER)
        yield made


def bounded(rig: Rig, requests: int, tokens: int) -> None:
    """Other limits from now on."""
    rig.runtime.load.bounds = ServicePlan(
        key_requests_per_minute=requests, key_tokens_per_minute=tokens
    )


def caller(rig: Rig) -> dict[str, str]:
    """A key of its own."""
    return {"Authorization": f"Bearer {make_key(rig, 'caller')}"}  # type: ignore[arg-type]


def limits(answer: httpx.Response, name: str) -> tuple[int, int, str]:
    head = answer.headers
    return (
        int(head[f"x-ratelimit-limit-{name}"]), int(head[f"x-ratelimit-remaining-{name}"]),
        head[f"x-ratelimit-reset-{name}"],
    )  # fmt: skip


def test_requests_are_counted_told_and_refused(rig: Rig) -> None:
    bounded(rig, 6, 0)
    before, key = rig.refused("key_requests"), caller(rig)
    for left in range(5, -1, -1):
        answer = rig.client.post(PATH, json=GOOD, headers=key)
        assert answer.status_code == 200
        limit, remaining, reset = limits(answer, "requests")
        assert (limit, remaining) == (6, left) and RESET.match(reset)
        assert "x-ratelimit-limit-tokens" not in answer.headers
    refused = rig.client.post(PATH, json=GOOD, headers=key)
    assert refused.status_code == 429 and limits(refused, "requests")[:2] == (6, 0)
    error = refused.json()["error"]
    assert error["code"] == "rate_limit_exceeded" and "6 requests a minute" in error["message"]
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    assert rig.refused("key_requests") == before + 1
    assert rig.client.post(PATH, json=GOOD, headers=caller(rig)).status_code == 200, "another key"


def test_never_more_than_the_limit_however_many_ask_at_once(rig: Rig) -> None:
    bounded(rig, 6, 0)
    key, asked = caller(rig), len(rig.upstream.requests)
    with ThreadPoolExecutor(20) as callers:
        told = list(callers.map(lambda _: rig.client.post(PATH, json=GOOD, headers=key), range(40)))
    assert sorted(each.status_code for each in told) == [200] * 6 + [429] * 34
    assert len(rig.upstream.requests) == asked + 6


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_are_foreseen_then_booked_as_used(rig: Rig, stream: bool) -> None:
    bounded(rig, 0, 5_000)
    used = USAGE["total_tokens"]
    rig.upstream.act = say(ANSWER)
    if stream:
        last = b"data: " + json.dumps({"choices": [], "usage": USAGE}).encode() + b"\n\n"
        rig.upstream.act = say(SSE_HEAD, event("hello"), last, b"data: [DONE]\n\n")
    key = caller(rig)
    for turn in range(1, 4):
        body = GOOD | {"stream": stream, "max_tokens": 1_000}
        answer = rig.client.post(PATH, json=body, headers=key)
        assert answer.status_code == 200
        limit, remaining, reset = limits(answer, "tokens")
        foreseen = 1_000 if stream else 0  # a stream's headers go before its usage is known
        assert limit == 5_000 and RESET.match(reset)
        assert abs(remaining - (5_000 - used * turn - foreseen)) < used
    rig.upstream.act = say(ANSWER)


def test_tokens_beyond_the_limit_are_refused(rig: Rig) -> None:
    bounded(rig, 0, 5_000)
    big = {"prompt_tokens": 3_000, "completion_tokens": 3_000, "total_tokens": 6_000}
    whole = json.loads(ANSWER.partition(b"\r\n\r\n")[2]) | {"usage": big}
    rig.upstream.act = say(http(200, json.dumps(whole).encode(), "connection: close"))
    key, before = caller(rig), rig.refused("key_tokens")
    answer = rig.client.post(PATH, json=GOOD, headers=key)
    assert answer.status_code == 200 and limits(answer, "tokens")[1] == 0
    refused = rig.client.post(PATH, json=GOOD, headers=key)
    assert refused.status_code == 429 and "tokens a minute" in refused.json()["error"]["message"]
    assert rig.refused("key_tokens") == before + 1
    rig.upstream.act = say(ANSWER)


def test_what_can_never_pass_is_not_told_to_come_back(rig: Rig) -> None:
    bounded(rig, 0, 500)
    body = GOOD | {"max_tokens": 600}
    refused = rig.client.post(PATH, json=body, headers=caller(rig))
    assert refused.status_code == 400 and "retry-after" not in refused.headers
    assert refused.json()["error"]["code"] == "tokens_over_limit"


def test_without_limits_nothing_is_told_and_nothing_kept(rig: Rig) -> None:
    bounded(rig, 0, 0)
    kept = len(rig.runtime.key_limits)
    answer = rig.client.post(PATH, json=GOOD, headers=caller(rig))
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
    assert len(rig.runtime.key_limits) == kept


def test_feedback_and_status_are_not_counted(rig: Rig) -> None:
    bounded(rig, 1, 0)
    decision = rig.client.post(PATH, json=GOOD).headers["x-headgate-decision-id"]
    assert rig.client.post(PATH, json=GOOD).status_code == 429
    assert rig.client.post("/v1/feedback", json={"id": decision, "value": 1}).status_code == 202
    assert rig.client.get("/admin/status").status_code == 200


def test_a_grant_is_refused_before_the_body_is_read(rig: Rig) -> None:
    bounded(rig, 2, 0)
    key = Key("k", 0, "k", "caller", "", "", "d")
    admit(rig.runtime, key)
    admit(rig.runtime, key)
    with pytest.raises(RateLimited, match="2 requests"):
        admit(rig.runtime, key)
