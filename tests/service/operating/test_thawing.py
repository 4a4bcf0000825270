"""A freeze holds learning back, all of it is learned when it is over, and none of it twice."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.providers.simulated import Weather
from tests.service.experimentation.rig import AUTH, Site, site, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("state")) as found:
        yield found


@pytest.fixture(autouse=True)
def clean(one: Site) -> Iterator[None]:
    yield
    for each in one.get("/admin/overrides")["overrides"]:
        one.post(f"/admin/overrides/{each['id']}/lift")


def lay(one: Site, **more: Any) -> str:
    return str(one.post("/admin/overrides", 201, action="freeze", **more)["id"])


def lift(one: Site, override: str, settled: bool = True) -> None:
    one.post(f"/admin/overrides/{override}/lift")
    thawed(one, override)
    if settled:
        until(lambda: one.runtime.learner.waiting == 0)


def thawed(one: Site, override: str) -> None:
    """Wait until what it held back is learned."""
    sql = "SELECT count(*) FROM acts WHERE act = 'override.thawed' AND subject = ?"
    until(lambda: rows(one, sql, override) == [(1,)])


def rows(one: Site, sql: str, *asked: Any) -> list[Any]:
    one.flush()
    return one.runtime.kept.database.cursor().execute(sql, list(asked)).fetchall()


def rate(one: Site, decision: str, value: float) -> None:
    response = one.http.post("/v1/feedback", json={"id": decision, "value": value})
    assert response.status_code == 202, response.text


def asked(one: Site, text: str = "Describe a kite.") -> str:
    return str(one.ask(text=text).headers["x-headgate-decision-id"])


def learned(one: Site, decision: str) -> list[str]:
    """What the policy was told of a decision, in its order."""
    found = rows(one, "SELECT kind FROM updates WHERE decision_id = ? ORDER BY seq", decision)
    return [kind for (kind,) in found]


def settle(one: Site) -> None:
    until(lambda: one.runtime.learner.waiting == 0)
    one.flush()


def test_all_that_came_in_during_a_freeze_is_learned_once_when_it_is_over(one: Site) -> None:
    before = asked(one)
    settle(one)
    freeze = lay(one)
    status = one.get("/admin/status")["learner"]
    assert status["frozen_by_operator"] is True
    during = [asked(one) for _ in range(5)]
    rate(one, before, 1)
    for each in during[:2]:
        rate(one, each, 0.75)
    rate(one, during[0], 0.25)  # revised while nothing is learned
    settle(one)
    assert learned(one, before) == ["outcome"]
    assert [learned(one, each) for each in during] == [[]] * 5
    seq = one.runtime.learner.seq
    settle(one)
    assert one.runtime.learner.seq == seq, "no tick either"
    assert one.get("/admin/status")["learner"]["held_back"] >= 8
    lift(one, freeze)
    assert learned(one, before) == ["outcome", "rating"]
    assert [learned(one, each) for each in during] == [["outcome", "rating"]] * 2 + [
        ["outcome"]
    ] * 3
    (quality,) = rows(one, "SELECT quality FROM updates WHERE decision_id = ? AND kind = 'rating'",
                      during[0])  # fmt: skip
    assert quality == (0.25,), "as it stands now"
    assert one.get("/admin/status")["learner"]["frozen_by_operator"] is False
    after = asked(one)
    until(lambda: learned(one, after) == ["outcome"])


def test_a_freeze_of_a_task_holds_back_that_task_alone(one: Site) -> None:
    freeze = lay(one, task="code")
    held, free = asked(one, "Write python code"), asked(one)
    until(lambda: learned(one, free) == ["outcome"])
    settle(one)
    assert learned(one, held) == []
    whole = lay(one)
    both = asked(one, "Write python code")
    lift(one, whole)  # the narrower one holds still, and what it holds is left to it
    assert learned(one, held) == learned(one, both) == []
    lift(one, freeze)
    assert learned(one, held) == learned(one, both) == ["outcome"]


def test_a_freeze_of_a_deployment_holds_back_what_it_answered_as_a_fallback(one: Site) -> None:
    freeze, held = lay(one, deployment="mill"), ""
    one.world.set_weather("brook", Weather(error_rate=1.0))
    only = {"headgate": {"deployments": ["brook", "mill"]}}
    for turn in range(200):
        answer = one.ask(text=f"Describe kite {turn}.", **only)
        if answer.headers.get("x-headgate-fallback-from") == "brook":
            held = answer.headers["x-headgate-decision-id"]
            break
    one.world.weather.clear()
    assert held, "brook was drawn, and mill answered"
    free = str(one.ask(headgate={"deployments": ["river"]}).headers["x-headgate-decision-id"])
    rate(one, held, 0.75)
    until(lambda: learned(one, free) == ["outcome"])
    settle(one)
    assert learned(one, held) == []
    lift(one, freeze)
    assert learned(one, held) == ["outcome", "outcome", "rating"]
    arms = rows(one, "SELECT arm FROM updates WHERE decision_id = ? ORDER BY seq", held)
    assert [arm for (arm,) in arms] == ["brook", "mill", "mill"]


def test_a_renewed_freeze_goes_on(one: Site) -> None:
    freeze = lay(one, expires_in_s=30)
    first = asked(one)
    new = one.post(f"/admin/overrides/{freeze}/renew", 201, expires_in_s=60)["id"]
    second = asked(one)
    settle(one)
    assert learned(one, first) == learned(one, second) == []
    lift(one, new)
    assert learned(one, first) == learned(one, second) == ["outcome"]


def test_what_a_freeze_holds_back_outlives_restarts(tmp_path: Path) -> None:
    with site(tmp_path) as first:
        freeze = lay(first)
        held = [asked(first) for _ in range(3)]
        rate(first, held[0], 1)
    with site(tmp_path) as second:
        assert second.get("/admin/status")["learner"]["frozen_by_operator"] is True
        settle(second)
        assert [learned(second, each) for each in held] == [[]] * 3
        more = asked(second)
        lift(second, freeze)
        assert learned(second, held[0]) == ["outcome", "rating"]
        assert [learned(second, each) for each in (*held[1:], more)] == [["outcome"]] * 3
    with site(tmp_path) as third:
        settle(third)
        assert learned(third, held[0]) == ["outcome", "rating"]
        assert third.runtime.kept.overrides.thawing == ()


def test_under_traffic_every_outcome_is_learned_exactly_once(one: Site) -> None:
    """Three freezes come and go, one by its time, while four callers ask without a pause."""
    stop, seen = threading.Event(), list[str]()

    def ask(number: int) -> None:
        with httpx.Client(base_url=one.url, headers=AUTH, trust_env=False, timeout=20.0) as http:
            for turn in itertools.count():
                if stop.is_set():
                    return
                text = f"{'Write python code' if turn % 2 else 'Describe a kite'} {number} {turn}"
                body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
                answer = http.post("/v1/chat/completions", json=body)
                assert answer.status_code == 200, answer.text
                seen.append(answer.headers["x-headgate-decision-id"])
                http.post("/v1/feedback", json={"id": seen[-1], "value": 0.5})

    with ThreadPoolExecutor(4) as callers:
        asking = [callers.submit(ask, number) for number in range(4)]
        try:
            for more in ({}, {"task": "code"}, {"expires_in_s": 0.5}):
                before = len(seen)
                freeze = lay(one, **more)
                until(lambda: len(seen) >= before + 20)  # noqa: B023 - it is asked in this turn
                if "expires_in_s" in more:
                    until(lambda: one.get(f"/admin/overrides/{freeze}")["how"])  # noqa: B023
                    thawed(one, freeze)
                else:
                    lift(one, freeze, settled=False)
        finally:
            stop.set()
        for each in asking:
            each.result(30)
    settle(one)
    told = rows(one, "SELECT decision_id::VARCHAR, kind, count(*) FROM updates "
                     "WHERE decision_id IS NOT NULL GROUP BY ALL")  # fmt: skip
    counts = {(decision, kind): count for decision, kind, count in told}
    assert len(seen) >= 60
    # A call that failed is told as well as the one that answered in its place.
    calls = dict(rows(one, "SELECT decision_id::VARCHAR, count(*) FROM attempts GROUP BY ALL"))
    assert all(1 <= counts.get((each, "outcome"), 0) <= calls[each] for each in seen)
    assert {counts.get((each, "rating"), 0) for each in seen} == {1}
    assert not [each for each in seen if (each, "revision") in counts]
