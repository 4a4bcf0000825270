"""Draws read back from the history: what they cost, whose they are; the estimates are SQL's too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from experiments.offline.savings import ALL, Baseline, savings
from experiments.statistics.moments import Interval
from service.domain.records import Caller, Candidates, Mode, PolicyMark, Usage, Version
from service.storage.drawn import Asked, drawn_requests
from service.storage.errors import StorageError
from service.storage.history import connect, query
from tests.service.storage.test_history import Kept
from tests.service.storage.test_tables import decision, feedback, outcome

S = 1_000_000
START = int(time.time()) * S - 7_200 * S
SCALE = '{"scale": {"worth_usd": 0.05, "patience_s": 60.0}}'
NAMES = ("x", "y", "z")
COST = {"x": 100, "y": 400, "z": 2_000}
EVER = Asked(0, START * 2)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """900 draws of two tenants, of every fifth a held turn; every seventh forced; some rated."""
    state: Path = tmp_path_factory.mktemp("state")
    kept, rng = Kept(state), np.random.default_rng(3)
    records: list[object] = [Version("v1", START, "default", "linear", SCALE, None, "plan", "")]
    for number in range(900):
        e = rng.dirichlet(np.full(3, 4.0))
        arm = NAMES[int(rng.choice(3, p=e))]
        tenant = ("acme", "other")[number % 2]
        more: dict[str, Any] = {
            "at_us": START + number * S, "deployment": arm, "propensity": float(max(e)),
            "candidates": Candidates(NAMES, tuple(e.tolist())),
            "task": ("code", "chat")[number % 3 == 0],
            "caller": Caller("key", tenant, "", "", (), f"u{number}", f"s{number}"),
            "policy": PolicyMark("default", "v1", "", 0),
        }  # fmt: skip
        made = decision(**more, mode=Mode.OVERRIDE if number % 7 == 0 else Mode.RANDOMISED)
        turns = [made]
        if number % 5 == 0 and number % 7:
            turns.append(decision(**more, mode=Mode.STICKY, session_decision_id=made.id))
        for turn in turns:
            cost = int(COST[arm] * rng.lognormal(0.0, 0.4))
            records += [turn, replace(outcome(turn), deployment=arm, mode=turn.mode,
                                      usage=Usage(1, 1, 0, cost), latency_s=0.5)]  # fmt: skip
        if rng.random() < 0.5:
            records.append(feedback(made, quality=float(rng.random() < 0.7), deployment=arm))
    kept.add(*records)
    kept.publish()
    kept.log.stop()
    kept.database.close()
    with connect(state) as connection:
        yield connection


def test_draws_carry_what_their_sessions_held(history: duckdb.DuckDBPyConnection) -> None:
    log = drawn_requests(history, EVER)
    sql = "SELECT count(*), sum(cost_micro_usd) / 1e6 FROM rounds WHERE decided "
    ((draws, _),) = query(history, sql + "= 'randomised'")[1]
    ((requests, spent),) = query(history, sql + "IN ('randomised', 'sticky')")[1]
    assert len(log) == draws == 900 - 129 and log.requests.sum() == requests > draws
    assert log.cost_usd.sum() == pytest.approx(spent, rel=1e-9)
    assert set(log.names) == set(NAMES) and set(log.task) == {"code", "chat"}
    at = np.arange(len(log))
    assert (log.propensities[at, log.drawn] > 0).all() and np.isnan(log.expected_quality).all()
    rated, = query(history, "SELECT count(*), sum(reward) FROM rounds WHERE reward IS NOT NULL "
                            "AND decided = 'randomised'")[1]  # fmt: skip
    assert np.isfinite(log.reward).sum() == rated[0]
    assert np.nansum(log.reward) == pytest.approx(rated[1], rel=1e-9)


def test_a_tenant_sees_its_own_draws_alone(history: duckdb.DuckDBPyConnection) -> None:
    whole = drawn_requests(history, EVER)
    parts = [drawn_requests(history, replace(EVER, tenant=name)) for name in ("acme", "other")]
    assert [len(part) for part in parts] == [
        query(history, f"SELECT count(*) FROM rounds WHERE tenant = '{name}' "
                       "AND decided = 'randomised'")[1][0][0] for name in ("acme", "other")
    ]  # fmt: skip
    assert sum(map(len, parts)) == len(whole)
    assert len(drawn_requests(history, replace(EVER, tenant="nobody"))) == 0
    with pytest.raises(StorageError):
        drawn_requests(duckdb.connect(":memory:"), EVER)


def test_the_newest_draws_of_a_span(history: duckdb.DuckDBPyConnection) -> None:
    assert len(drawn_requests(history, replace(EVER, most=10))) == 10
    some = drawn_requests(history, Asked(START + 100 * S, START + 200 * S))
    assert 80 < len(some) < 100
    newest = drawn_requests(history, replace(EVER, most=10)).cost_usd
    np.testing.assert_array_equal(newest, drawn_requests(history, EVER).cost_usd[-10:])


# The doubly robust estimate written once more: of a figure of each draw (`value`), routing's mean
# less that of one deployment; predictions are each deployment's mean so far in the task.
AGAINST = """
    WITH held AS (
        SELECT session_decision_id AS id, sum(cost_micro_usd) AS cost FROM rounds
        WHERE decided = 'sticky' GROUP BY 1),
    draws AS (
        SELECT r.id, r.task, r.drawn, r.eligible, r.propensities, d.log_seq,
               {value} AS value
        FROM rounds r JOIN decisions d ON d.id = r.id LEFT JOIN held h ON h.id = r.id
        WHERE r.decided = 'randomised' AND {value} IS NOT NULL),
    cells AS (
        SELECT id, task, drawn, log_seq, value, unnest(eligible) AS arm, unnest(propensities) AS e
        FROM draws),
    predicted AS (
        SELECT *, coalesce(sum(value) FILTER (arm = drawn) OVER before, 0.0)
                  / (1 + count(*) FILTER (arm = drawn) OVER before) AS q
        FROM cells
        WINDOW before AS (PARTITION BY task, arm ORDER BY log_seq
                          ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)),
    terms AS (
        SELECT id, sum((e - (arm = '{arm}')::INT) * q)
               + sum(CASE WHEN arm = drawn THEN (e - (arm = '{arm}')::INT) / e * (value - q)
                     ELSE 0 END) AS term
        FROM predicted GROUP BY id)
    SELECT avg(term), count(*) FROM terms"""


def test_the_estimates_are_those_of_sql(history: duckdb.DuckDBPyConnection) -> None:
    found = {each.baseline: each for each in savings(drawn_requests(history, EVER))
             if each.task == ALL}  # fmt: skip
    cost = "(r.cost_micro_usd + coalesce(h.cost, 0)) / 1e6"
    for baseline, value, of in (
        (Baseline.CHEAPEST, cost, "saved_usd"),
        (Baseline.STRONGEST, cost, "saved_usd"),
        (Baseline.STRONGEST, "r.quality", "quality_gained"),
        (Baseline.BEST_FIXED, "r.reward", "reward_gained"),
    ):
        ours = found[baseline]
        sql = AGAINST.format(value=value, arm=ours.deployment)
        ((mean, count),) = query(history, sql)[1]
        said = getattr(ours, of)
        assert isinstance(said, Interval)
        told = -mean * count if of == "saved_usd" else mean
        assert said.estimate == pytest.approx(told, rel=1e-9)
    assert found[Baseline.CHEAPEST].deployment == "x"
