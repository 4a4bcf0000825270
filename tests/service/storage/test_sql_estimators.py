"""The estimators written once more in SQL, over a published history, give the same numbers."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest

from experiments.metrics import METRICS
from experiments.statistics.fixed_horizon import (
    Effect,
    Successes,
    Sums,
    ratio,
    two_proportions,
    welch,
)
from experiments.statistics.moments import Moments
from service.storage.history import connect, query
from tests.service.storage.published import publish

UNITS = """
    WITH units AS (
        SELECT coalesce(nullif(unit, ''), id::VARCHAR) AS unit,
               any_value(drawn = 'y')::INT AS arm, count(*)::DOUBLE AS requests,
               sum(cost_micro_usd)::DOUBLE AS cost, avg(latency_s) AS latency,
               count(*) FILTER (status = 200)::DOUBLE AS answered
        FROM rounds GROUP BY 1)"""
WELCH = f"""{UNITS}, arms AS (
        SELECT arm, count(*)::DOUBLE AS n, avg(latency) AS mean, var_samp(latency) AS variance
        FROM units GROUP BY arm)
    SELECT c.mean, t.mean, t.mean - c.mean, sqrt(c.variance / c.n + t.variance / t.n),
           pow(c.variance / c.n + t.variance / t.n, 2)
           / (pow(c.variance / c.n, 2) / (c.n - 1) + pow(t.variance / t.n, 2) / (t.n - 1))
    FROM arms c JOIN arms t ON c.arm = 0 AND t.arm = 1"""
RATIO = f"""{UNITS}, arms AS (
        SELECT arm, count(*)::DOUBLE AS n, sum(cost) / sum(requests) AS r,
               (var_samp(cost) - 2 * r * covar_samp(cost, requests)
                + r * r * var_samp(requests)) / (n * pow(avg(requests), 2)) AS square
        FROM units GROUP BY arm)
    SELECT c.r, t.r, t.r - c.r, sqrt(c.square + t.square)
    FROM arms c JOIN arms t ON c.arm = 0 AND t.arm = 1"""
SHARES = """
    WITH arms AS (SELECT drawn = 'y' AS arm, count(*)::DOUBLE AS n,
                         (count(*) FILTER (status = 200))::DOUBLE AS k FROM rounds GROUP BY ALL)
    SELECT c.k / c.n, t.k / t.n, t.k / t.n - c.k / c.n,
           sqrt(c.k / c.n * (1 - c.k / c.n) / c.n + t.k / t.n * (1 - t.k / t.n) / t.n)
    FROM arms c JOIN arms t ON NOT c.arm AND t.arm"""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    state: Path = tmp_path_factory.mktemp("state")
    publish(state)
    return connect(state)


def rows(history: duckdb.DuckDBPyConnection, slug: str) -> tuple[np.ndarray, ...]:
    """Values, denominators, units, and whether it is the treatment, as the metric measures."""
    metric = METRICS[slug]
    unit = "coalesce(nullif(unit, ''), id::VARCHAR)"
    _, found = query(history, f"SELECT {unit}, drawn, {', '.join(metric.columns)} FROM rounds")
    units, drawn, *columns = zip(*found, strict=True)
    made = {name: np.array(c, dtype=np.float64)
            for name, c in zip(metric.columns, columns, strict=True)}  # fmt: skip
    told = metric.measure(made)
    return told.values, told.per, np.array(units)[told.rows], np.array(drawn)[told.rows] == "y"


def agree(found: object, told: tuple[float, ...]) -> Effect:
    assert isinstance(found, Effect)
    ours = (found.control, found.treatment, found.difference.estimate, found.standard_error)
    assert ours == pytest.approx(told[:4], rel=1e-9)
    return found


def test_means_of_units(history: duckdb.DuckDBPyConnection) -> None:
    values, per, units, treated = rows(history, "latency_mean")
    arms = []
    for arm in (~treated, treated):
        sums = Sums.by_unit(units[arm], values[arm], per[arm])
        arms.append(Moments.of(sums.numerator / sums.denominator))
    told = query(history, WELCH)[1][0]
    assert agree(welch(*arms), told).degrees == pytest.approx(told[4], rel=1e-9)


def test_clustered_ratios(history: duckdb.DuckDBPyConnection) -> None:
    values, per, units, treated = rows(history, "cost_per_request")
    arms = [Sums.by_unit(units[arm], values[arm], per[arm]) for arm in (~treated, treated)]
    agree(ratio(*arms), query(history, RATIO)[1][0])


def test_costs_of_successes(history: duckdb.DuckDBPyConnection) -> None:
    """The same with another denominator, one that some units have none of."""
    values, per, units, treated = rows(history, "cost_per_success")
    arms = [Sums.by_unit(units[arm], values[arm], per[arm]) for arm in (~treated, treated)]
    assert min(arm.denominator.min() for arm in arms) == 0.0
    agree(ratio(*arms), query(history, RATIO.replace("requests)", "answered)"))[1][0])


def test_shares(history: duckdb.DuckDBPyConnection) -> None:
    values, _, _, treated = rows(history, "success_rate")
    arms = [Successes(int(values[arm].sum()), int(arm.sum())) for arm in (~treated, treated)]
    agree(two_proportions(*arms), query(history, SHARES)[1][0])
