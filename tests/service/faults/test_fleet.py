"""Faults over many calls: waiting as told, flapping, refused keys, correlated outages."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.domain.records import ErrorKind
from tests.chaos import Step, fault
from tests.conftest import KEY, HandClock
from tests.service.faults.rig import PLAN, Rig, rigged


@pytest.fixture
def turned(tmp_path: Path) -> Iterator[tuple[Rig, HandClock]]:
    """A rig whose monotonic clock moves when told."""
    clock = HandClock(int(time.time() * 1e6))
    with rigged(tmp_path / "state", clock=clock) as running:
        yield running, clock


IN_TEN_MINUTES = "in ten minutes"


def limited(count: int | None, headers: dict[str, str]) -> Step:
    told = {k: date_in(600) if v == IN_TEN_MINUTES else v for k, v in headers.items()}
    lines = [f"{name}: {value}" for name, value in told.items()]
    return fault("status", count, code=429, headers=lines)


def date_in(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "least_s", "most_s"),
    [
        ({"retry-after": "17"}, 17.0, 17.0),
        ({"retry-after": "0.5"}, 0.5, 0.5),
        ({"retry-after": IN_TEN_MINUTES}, 560.0, 600.0),
        ({"retry-after": "-5"}, 0.0, 1.0),
        ({"retry-after": "1e9"}, 86_400.0, 86_400.0),
        ({"retry-after": "soon"}, 1.0, 1.0),
        ({}, 1.0, 1.0),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0, 360.0),
        ({"retry-after-ms": "2500"}, 2.5, 2.5),
    ],
    ids=str,
)
def test_F16_a_rate_limit_is_waited_for_as_told(
    turned: tuple[Rig, HandClock], headers: dict[str, str], least_s: float, most_s: float
) -> None:
    rig, clock = turned
    rig.play(limited(1, headers))
    rig.falls_back(ErrorKind.RATE_LIMIT)
    health = {h.deployment: h for h in rig.runtime.fleet.standings(clock.monotonic_s())}
    waits_s = health["faulty"].free_in_s
    assert least_s <= waits_s <= most_s
    if waits_s > 0:
        clock.advance(waits_s - 0.01)
        rig.ask().served_by("steady")
        assert len(rig.faulty.requests) == 1
        clock.advance(0.02)
    rig.ask().served_by("faulty")


def test_F17_the_latest_wait_counts_and_no_earlier_one(turned: tuple[Rig, HandClock]) -> None:
    rig, clock = turned
    rig.play(*(limited(1, {"retry-after": str(s)}) for s in (2, 40, 5)))
    for seconds in (2.0, 40.0, 5.0):
        rig.falls_back(ErrorKind.RATE_LIMIT)
        before = len(rig.faulty.requests)
        clock.advance(seconds - 0.1)
        rig.ask(stream=True).served_by("steady")
        assert len(rig.faulty.requests) == before  # never earlier than it said
        clock.advance(0.2)
    rig.ask().served_by("faulty")


def test_F17_when_all_cool_the_caller_is_told_how_long(turned: tuple[Rig, HandClock]) -> None:
    rig, _ = turned
    for seconds, each in zip((30, 20, 25), rig.upstreams.values(), strict=True):
        each.play(limited(None, {"retry-after": str(seconds)}))
    first = rig.post()
    assert first.status_code == 503 and first.headers["retry-after"] == "20"
    sent = rig.sent()
    second = rig.post()
    assert second.status_code == 503 and second.headers["retry-after"] == "20"
    assert second.json()["error"]["code"] == "deployments_unavailable" and rig.sent() == sent


def test_F22_a_refused_key_is_left_alone_for_long_and_told(turned: tuple[Rig, HandClock]) -> None:
    rig, clock = turned
    rig.play(fault("status", code=401))
    rig.falls_back(ErrorKind.AUTH)
    clock.advance(299.0)
    rig.ask().served_by("steady")
    assert len(rig.faulty.requests) == 1
    headers = {"Authorization": f"Bearer {KEY}"}
    health = httpx.get(rig.url + "/admin/status", headers=headers).json()["health"]
    told = next(each for each in health if each["deployment"] == "faulty")
    assert (told["bar"], told["why"]) == ("cooling", "auth") and told["free_in_s"] <= 1.0
    rig.runtime.kept.log.flush().result(10)
    acts = rig.runtime.kept.database.cursor().execute("SELECT act, subject FROM acts").fetchall()
    assert ("breaker.cooling", "faulty") in acts


@pytest.mark.parametrize("stream", [False, True])
def test_F31_one_that_flaps_costs_few_calls_and_nobody_an_answer(rig: Rig, stream: bool) -> None:
    rig.play(Step("status", probability=0.5, parameters={"code": 500}))
    for _ in range(120):
        assert rig.post(stream).status_code == 200
    assert rig.sent() <= 120 + 20 + 12  # the reserve, and a tenth
    assert rig.runtime.fleet.bar("faulty", rig.runtime.clock.monotonic_s()) == "ejected"


def test_F32_two_tiers_of_one_provider_fail_together(tmp_path: Path) -> None:
    text = PLAN.replace("provider: p2", "provider: p1")
    with rigged(tmp_path / "state", text) as rig:
        for each in (rig.faulty, rig.steady):
            each.play(fault("status", code=503))
        for _ in range(60):
            got = rig.ask()
            got.served_by("roomy")
            tried = [attempt.deployment for attempt in got.attempts]
            assert tried[-1] == "roomy" and len(tried) <= 2  # never the same provider twice
        assert rig.sent() <= 60 + 10


def test_a_breaker_counts_every_attempt_whatever_is_logged(rig: Rig) -> None:
    """Neither equal errors nor a log that takes nothing keeps a deployment from being ejected."""
    rig.play(fault("status", code=500))
    log = rig.runtime.kept.log
    log.healthy = False
    for _ in range(5):
        rig.post()
    log.healthy = True
    assert rig.runtime.fleet.bar("faulty", rig.runtime.clock.monotonic_s()) == "ejected"


@pytest.mark.parametrize("stream", [False, True])
def test_whom_the_caller_excludes_is_no_fallback_either(rig: Rig, stream: bool) -> None:
    rig.play(fault("status", code=500))
    got = rig.ask(stream, headgate={"exclude": ["steady"]})
    got.served_by("roomy")
    assert not rig.steady.requests


KEYED = """
deployments:
  - {name: faulty, provider: p1, base_url: FAULTY, model: m, context_window: 32000,
     price: {input_usd_per_mtok: 100, output_usd_per_mtok: 200},
     endpoints: [{api_key_env: FIRST_KEY, limits: {requests_per_minute: 7}},
                 {api_key_env: SECOND_KEY, limits: {requests_per_minute: 11}}]}
  - {name: steady, provider: p2, base_url: STEADY, model: m, context_window: 32000,
     limits: {requests_per_minute: 5}, price: {input_usd_per_mtok: 100, output_usd_per_mtok: 200}}
  - {name: roomy, provider: p3, base_url: ROOMY, model: m, context_window: 200000,
     price: {input_usd_per_mtok: 100, output_usd_per_mtok: 200}}
policy: {kind: fixed, parameters: {arm: faulty}}
"""


def test_no_key_is_sent_more_than_it_allows_and_the_rest_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST_KEY", "sk-first")
    monkeypatch.setenv("SECOND_KEY", "sk-second")
    with rigged(tmp_path / "state", KEYED) as rig:
        for number in range(40):
            assert rig.post(stream=number % 2 == 0).status_code == 200
        sent = [b"sk-first" in each for each in rig.faulty.requests]
        assert (sent.count(True), sent.count(False)) == (7, 11)
        assert len(rig.steady.requests) <= 5
        assert rig.sent() == 40
        full = rig.post(model="faulty")
        assert full.status_code == 503 and 1 <= int(full.headers["retry-after"]) <= 61
        assert full.json()["error"]["code"] == "deployments_rate_limited" and rig.sent() == 40


def test_a_key_that_is_refused_cools_alone_for_long_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST_KEY", "sk-first")
    monkeypatch.setenv("SECOND_KEY", "sk-second")
    clock = HandClock(int(time.time() * 1e6))
    with rigged(tmp_path / "state", KEYED, clock=clock) as rig:
        rig.play(fault("status", 1, code=401))
        got = rig.ask(model="faulty")  # a pin, too, is answered with the other key
        got.served_by("faulty")
        assert got.kinds == [ErrorKind.AUTH, None]
        for _ in range(4):
            clock.advance(62.0)
            rig.ask().served_by("faulty")
        used = [b"sk-first" in each for each in rig.faulty.requests]
        assert used[0] != used[1] and len(set(used[1:])) == 1
        rig.runtime.kept.log.flush().result(10)
        acts = rig.runtime.kept.database.cursor().execute("SELECT act, reason FROM acts").fetchall()
        assert any(act == "breaker.cooling" and "auth, key" in why for act, why in acts)


def test_a_slow_answer_is_hedged_and_the_loser_is_billed(tmp_path: Path) -> None:
    text = PLAN + "resilience: {hedging: {tasks: [other], spend_share: 1.0}}\n"
    with rigged(tmp_path / "state", text) as rig:
        for _ in range(25):
            rig.ask().served_by("faulty")
        rig.faulty.play(fault("silence"))
        got = rig.ask()
        assert got.status == 200 and got.headers["x-headgate-deployment"] == "steady"
        assert got.headers["x-headgate-mode"] == "fallback"
        lost, won = sorted(got.attempts, key=lambda each: each.number)
        assert (lost.error_kind, won.role.value) == (ErrorKind.CANCELLED, "hedge")
        assert lost.usage.estimated and lost.usage.cost_micro_usd > 0
        assert got.outcome.usage.cost_micro_usd == (
            lost.usage.cost_micro_usd + won.usage.cost_micro_usd
        )
        assert lost.latency_s < 2.0  # not the three seconds of the attempt
