"""Each view over a small history of known rows; the answers are worked out by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from service.domain.alerts import AlertEvent, Severity, Step
from service.domain.experiments import (
    Assigned,
    ExperimentRecord,
    ExperimentStep,
    Promotion,
)
from service.domain.records import (
    Act,
    Caller,
    Candidates,
    Decision,
    Disqualified,
    ErrorKind,
    Mode,
    Override,
    OverrideEnd,
    Role,
    Usage,
    Version,
    Weight,
)  # fmt: skip
from service.storage.catalogue import views
from service.storage.history import connect, query
from tests.service.storage.test_history import Kept
from tests.service.storage.test_tables import attempt, decision, feedback, outcome

S = 1_000_000
START = (int(time.time()) // 86_400 - 2) * 86_400 * S  # a midnight, two days ago
HOUR = 3_600 * S
CAUSE = {"metric": "success_rate", "treatment": "b", "e_value": 2_000.0, "log_e": 7.6,
         "threshold": 1_000.0, "n": [40, 41], "query": "SELECT 1"}  # fmt: skip


def at(seconds: int, **more: Any) -> Decision:
    """A drawn decision of tenant acme, so many seconds after the start."""
    caller = Caller("key", "acme", "basic", "search", ("a", "b"), "u1", "")
    made = {"at_us": START + seconds * S, "caller": caller, "disqualified": ()}
    return decision(**(made | more))


def requests() -> list[object]:
    """Four requests: a fallback; a conversation of two turns and a shadow's and judge's call
    beside it; a pinned one of another tenant without tags.
    """
    fallen = at(10)
    talk = Caller("key", "acme", "basic", "search", ("a",), "u2", "talk")
    first = at(
        3_700,
        caller=talk,
        candidates=Candidates(("x", "y"), (0.25, 0.75)),
        propensity=0.75,
        assigned=(Assigned("e@1", "b", 0.5, "u2"), Assigned("f@2", "c", 0.1, "u9")),
    )
    held = at(3_800, caller=talk, mode=Mode.STICKY, session_decision_id=first.id, propensity=1.0,
              candidates=Candidates(("y",), (1.0,)), override_id="o2",
              disqualified=(Disqualified("x", "ejected"),),
              assigned=(Assigned("e@1", "b", 0.5, "u2"),))  # fmt: skip
    other = Caller("key2", "other", "", "", (), "", "")
    pinned = at(3_900, caller=other, mode=Mode.PINNED, deployment="x", propensity=1.0, task="chat",
                candidates=Candidates(("x",), (1.0,)),
                disqualified=(Disqualified("z", "ejected"),))  # fmt: skip
    ok = {"status": 200, "error_kind": None}
    when = {"at_us": START + 3_800 * S}

    def ended(of: Decision, cost: int, **more: object) -> object:
        base = replace(outcome(of), deployment="y", mode=of.mode, attempts=1,
                       at_us=of.at_us, usage=Usage(10, 20, 0, cost))  # fmt: skip
        return replace(base, **more)  # type: ignore[arg-type]

    rated = feedback(first, quality=0.2, deployment="y")
    return [
        fallen, first, held, pinned,
        attempt(fallen, at_us=START + 11 * S, latency_s=0.25, usage=Usage(1, 0, 0, 3)),
        attempt(fallen, number=2, at_us=START + 12 * S, deployment="x", role=Role.FALLBACK,
                usage=Usage(10, 20, 5, 40), **ok),
        attempt(first, at_us=START + 3_701 * S, usage=Usage(10, 20, 0, 100), **ok),
        attempt(held, **when, usage=Usage(10, 20, 0, 200), **ok),
        attempt(held, number=2, **when, deployment="x", role=Role.SHADOW,
                usage=Usage(10, 20, 0, 7), **ok),
        attempt(held, number=3, **when, deployment="z", role=Role.JUDGE,
                usage=Usage(30, 2, 0, 9), **ok),
        attempt(pinned, at_us=START + 3_901 * S, deployment="x", usage=Usage(1, 1, 0, 50), **ok),
        ended(fallen, 43, deployment="x", mode=Mode.FALLBACK, attempts=2),
        ended(first, 100), ended(held, 200), ended(pinned, 50, deployment="x"),
        rated, feedback(first, quality=0.8, revises=rated.id, deployment="y"),
        feedback(held, quality=0.4, deployment="y"),
    ]  # fmt: skip


def alerted() -> list[object]:
    """An alert that was acted upon, paged, seen and ended; one that lasts; a digest."""

    def event(alert: str, step: Step, minute: int, text: str, **more: Any) -> AlertEvent:
        severity, author = more.pop("severity", Severity.TICKET), more.pop("author", "headgate")
        value, threshold = more.pop("value", (50.0, 45.0))
        return AlertEvent(f"{alert}{step}{minute}", START + minute * 60 * S, alert, step,
                          "latency" if alert else "", "x" if alert else "", severity, value,
                          threshold, text, author, "", json.dumps(more))  # fmt: skip

    return [
        event("a1", Step.FIRED, 5, "slow"),
        event("a1", Step.ACTED, 5, "at most 0.3", override_id="o1"),
        event("a1", Step.TOLD, 5, "hook: sent", sent=True),
        event("a1", Step.TOLD, 6, "mail: failed", sent=False),
        event("a1", Step.PAGED, 35, "still", severity=Severity.PAGE),
        event("a1", Step.ACKNOWLEDGED, 36, "slow", author="ann"),
        event("a2", Step.FIRED, 40, "down", value=(None, None)),
        event("a1", Step.REVERTED, 50, "no longer bounded", override_id="o1"),
        event("a1", Step.RESOLVED, 50, "clear"),
        event("", Step.DIGEST, 60, "2 alerts"),
    ]


def deeds() -> list[object]:
    """What people and the service did."""

    def act(name: str, subject: str, hours: float, reason: str = "") -> Act:
        return Act(name + str(hours), START + int(hours * HOUR), "headgate", name, subject, reason,
                   "{}")  # fmt: skip

    def step(name: str, before: str, after: str, hours: int, **more: Any) -> ExperimentStep:
        cause = json.dumps(more.pop("cause", {}))
        return ExperimentStep(name + str(hours), "e@1", START + hours * HOUR, name, before, after,
                              more.get("percent", 10), more.get("variant"),
                              more.get("author", "ann"), name + " it", cause)  # fmt: skip

    def weight(seconds: int, share: float, state: str, why: str, task: str = "code") -> Weight:
        return Weight(START + seconds * S, task, "y", share, 0.7, 1e-4, 0.3, 0.0, 0.6, 32, 1, why,
                      state)  # fmt: skip

    design = json.dumps({"slug": "e", "hypothesis": "b is better"})
    return [
        act("breaker.open", "x", 1.0, "server"), act("breaker.open", "x", 1.1, "timeout"),
        act("breaker.closed", "x", 1.2, "the probe was answered"),
        act("breaker.open", "y", 2.0, "server"), act("service.started", "state", 3.0),
        act("breaker.open", "x", 4.0, "cut"), act("breaker.cooling", "x", 4.0),
        weight(0, 0.5, "steady", ""), weight(0, 0.3, "steady", "", "chat"),
        weight(60, 0.2, "held back", "latency; now held back"),
        weight(60, 0.1, "held back", "others moved; now held back", "chat"),
        weight(120, 0.25, "held back", "quality"),
        weight(180, 0.5, "steady", "no longer held back"),
        Override("o1", START, "force", "x", "", "outage", "ann", START, START + HOUR),
        Override("o2", START, "exclude", "x", "code", "slow", "bob", START, START + 2 * HOUR),
        OverrideEnd("o1", START + 600 * S, "lifted", "ann", "over"),
        ExperimentRecord("e@1", START, "e", 1, "default", 0, 100, design, "ann", "to see"),
        ExperimentRecord("g@1", START, "g", 1, "default", 0, 100, "{not json", "bob", "later"),
        step("start", "draft", "running", 1), step("ramp", "running", "running", 2, percent=50),
        step("roll back", "running", "rolled back", 5, author="headgate", cause=CAUSE),
        Version("v0", START, "default", "linear", "{}", None, "plan", ""),
        Version("v1", START + 1, "default", "linear", "{}", "v0", "ann", ""),
        *alerted(),
        Promotion("p0", START, "v0", None, "c0", None, "plan", "plan", "", "{}"),
        Promotion("p1", START + HOUR, "v1", "v0", "c1", None, "promoted", "ann", "better", "{}"),
        Promotion("p2", START + 5 * HOUR, "v0", "v1", "c2", "c0", "rolled back", "bob", "no", "{}"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    state: Path = tmp_path_factory.mktemp("state")
    kept = Kept(state)
    kept.add(*requests(), *deeds())
    kept.publish()
    kept.log.stop()
    kept.database.close()
    with connect(state) as connection:
        yield connection


def told(history: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    return query(history, sql)[1]


def hours(of: str) -> str:
    """A time as hours since the start."""
    return f"round((epoch_us({of}) - {START}) / {HOUR}, 3)"


def test_ratings_and_response_rates(history: duckdb.DuckDBPyConnection) -> None:
    assert told(history, "SELECT quality FROM ratings ORDER BY 1") == [(0.4,), (0.8,)]
    found = told(history, "SELECT answers, rated, drawn, drawn_rated, round(mean_rating, 9), "
                          "drawn_mean_rating FROM response_rates")  # fmt: skip
    assert found == [(2, 2, 1, 1, 0.6, 0.8)]


def test_rounds(history: duckdb.DuckDBPyConnection) -> None:
    found = told(history, "SELECT decided, drawn, served, served_mode, cost_micro_usd, quality, "
                          "tags FROM rounds ORDER BY ts")  # fmt: skip
    assert found == [
        ("randomised", "y", "x", "fallback", 43, None, ["a", "b"]),
        ("randomised", "y", "y", "randomised", 100, 0.8, ["a"]),
        ("sticky", "y", "y", "sticky", 200, 0.4, ["a"]),
        ("pinned", "x", "x", "pinned", 50, None, []),
    ]


def test_spend(history: duckdb.DuckDBPyConnection) -> None:
    roles = told(history, "SELECT role, sum(calls), sum(failed), sum(cost_micro_usd) FROM spend "
                          "GROUP BY 1 ORDER BY 1")  # fmt: skip
    assert roles == [("fallback", 1, 0, 40), ("first", 4, 1, 353), ("judge", 1, 0, 9),
                     ("shadow", 1, 0, 7)]  # fmt: skip
    by = told(history, f"SELECT {hours('hour')}, tenant, feature, task, sum(cost_micro_usd) "
                       "FROM spend GROUP BY ALL ORDER BY 1, 2")  # fmt: skip
    assert by == [(0.0, "acme", "search", "code", 43), (1.0, "acme", "search", "code", 316),
                  (1.0, "other", "", "chat", 50)]  # fmt: skip
    tags = told(history, "SELECT tag, sum(cost_micro_usd) FROM spend_by_tag GROUP BY 1 ORDER BY 1")
    assert tags == [("", 50), ("a", 359), ("b", 43)]


def test_spend_is_that_of_the_attempts(history: duckdb.DuckDBPyConnection) -> None:
    columns = history.execute("SELECT cost_micro_usd FROM attempts").fetchall()
    ours = sum(cost for (cost,) in columns) / 1e6
    assert told(history, "SELECT sum(usd) FROM spend")[0][0] == pytest.approx(ours, rel=1e-9)


def test_sessions(history: duckdb.DuckDBPyConnection) -> None:
    found = told(
        history,
        "SELECT session, tenant, turns, drawn, deployments, held, fallbacks, "
        "failed, cost_micro_usd, rated, round(quality, 9) FROM sessions",
    )
    assert found == [("talk", "acme", 2, 1, ["y"], True, 0, 0, 300, 2, 0.6)]


def test_fallbacks(history: duckdb.DuckDBPyConnection) -> None:
    found = told(history, "SELECT drawn, failed, error_kind, lost_s, lost_usd, tried, number, "
                          "answered, served, status FROM fallbacks")  # fmt: skip
    assert found == [("y", "y", "server", 0.25, 3e-6, "x", 2, True, "x", 200)]
    assert ErrorKind.SERVER.value == "server"


def test_breaker_episodes(history: duckdb.DuckDBPyConnection) -> None:
    """x opened twice before its probe was answered, y was closed by a start, x is open again;
    the held turn at 1.056 hours could not have x.
    """
    found = told(history, f"SELECT deployment, {hours('opened')}, {hours('closed')}, why, ended, "
                          "openings, calls_lost, round(lasted_s) FROM breaker_episodes "
                          "ORDER BY opened")  # fmt: skip
    assert found == [
        ("x", 1.0, 1.2, "server", "the probe was answered", 2, 1, 720.0),
        ("y", 2.0, 3.0, "server", "the service was started", 1, 0, 3_600.0),
        ("x", 4.0, None, "cut", None, 1, 0, None),
    ]


def test_weights_and_drift(history: duckdb.DuckDBPyConnection) -> None:
    found = told(history, "SELECT share, round(moved, 9), why, epoch(until) - epoch(ts) "
                          "FROM weights_over_time WHERE task = 'code' ORDER BY ts")  # fmt: skip
    assert found == [
        (0.5, None, "", 60.0),
        (0.2, -0.3, "latency; now held back", 60.0),
        (0.25, 0.05, "quality", 60.0),
        (0.5, 0.25, "no longer held back", None),
    ]
    events = told(history, "SELECT deployment, kind, was, now, why, tasks, round(moved, 9) "
                           "FROM drift_events ORDER BY ts")  # fmt: skip
    assert events == [
        ("y", "health", "steady", "held back", "latency; now held back", ["chat", "code"], -0.3),
        ("y", "over", "held back", "steady", "no longer held back", ["code"], 0.25),
    ]


def test_overrides(history: duckdb.DuckDBPyConnection) -> None:
    found = told(history, "SELECT id, action, author, how, ended_by, end_reason, lasted_s, "
                          "decisions "
                          "FROM overrides_in_time ORDER BY id")  # fmt: skip
    assert found == [("o1", "force", "ann", "lifted", "ann", "over", 600.0, 0),
                     ("o2", "exclude", "bob", None, None, None, None, 1)]  # fmt: skip


def test_experiments_and_exposures(history: duckdb.DuckDBPyConnection) -> None:
    found = told(history, f"SELECT experiment, hypothesis, watch, {hours('started')}, "
                          f"{hours('ended')}, state, percent, shipped, steps, last_by "
                          "FROM experiments_in_time ORDER BY 1")  # fmt: skip
    assert found == [
        ("e@1", "b is better", False, 1.0, 5.0, "rolled back", 0, None, 3, "headgate"),
        ("g@1", None, False, None, None, "draft", 0, None, 0, None),
    ]
    exposed = told(history, "SELECT experiment, variant, probability, unit, mode, propensity "
                            "FROM exposures ORDER BY ts, experiment")  # fmt: skip
    assert exposed == [("e@1", "b", 0.5, "u2", "randomised", 0.75),
                       ("f@2", "c", 0.1, "u9", "randomised", 0.75),
                       ("e@1", "b", 0.5, "u2", "sticky", 1.0)]  # fmt: skip


def test_alert_episodes(history: duckdb.DuckDBPyConnection) -> None:
    found = told(history, "SELECT alert_id, rule, scope, severity, lasted_s, value, text, "
                          "epoch(paged - fired), epoch(acknowledged - fired), acknowledged_by, "
                          "override_id, acted, told, untold, ended_by "
                          "FROM alert_episodes ORDER BY fired")  # fmt: skip
    assert found == [
        ("a1", "latency", "x", "page", 2_700.0, 50.0, "slow", 1_800.0, 1_860.0, "ann", "o1",
         "at most 0.3", 1, 1, "clear"),
        ("a2", "latency", "x", "ticket", None, None, "down", None, None, None, None, None, 0, 0,
         None),
    ]  # fmt: skip


def test_rollbacks(history: duckdb.DuckDBPyConnection) -> None:
    found = told(
        history,
        "SELECT kind, subject, returned_to, restored_id, author, automatic, "
        "metric, treatment, e_value, threshold, n FROM rollbacks ORDER BY kind",
    )
    assert found == [
        ("experiment", "e@1", None, None, "headgate", True, "success_rate", "b", 2_000.0, 1_000.0,
         [40, 41]),
        ("version", "v1", "v0", "c0", "bob", False, None, None, None, None, None),
    ]  # fmt: skip


def test_versions(history: duckdb.DuckDBPyConnection) -> None:
    found = told(history, f"SELECT version_id, {hours('live_from')}, {hours('live_until')}, how, "
                          "author, parent FROM versions_in_time ORDER BY live_from")  # fmt: skip
    assert found == [("v0", 0.0, 1.0, "plan", "plan", None),
                     ("v1", 1.0, 5.0, "promoted", "ann", "v0"),
                     ("v0", 5.0, None, "rolled back", "bob", None)]  # fmt: skip


def test_before_promotions_were_kept_every_version_was_live(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.add(Version("v0", START, "default", "linear", "{}", None, "plan", ""),
             Version("v1", START + HOUR, "default", "linear", "{}", None, "plan", ""))  # fmt: skip
    kept.publish()
    with connect(tmp_path) as connection:
        found = told(connection, f"SELECT version_id, {hours('live_until')} FROM versions_in_time")
        assert found == [("v0", 1.0), ("v1", None)]
        for name in views():  # none fails where there is nothing
            told(connection, f"SELECT * FROM {name}")
    kept.log.stop()
    kept.database.close()
