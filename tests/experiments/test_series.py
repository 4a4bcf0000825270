"""A day's value on its scale, and the days that are left out."""

from __future__ import annotations

import math

import pytest

from experiments.series import METRICS, Cell, series, share

CELL = Cell(
    3, "x", "code", requests=100, cost_usd=2.0, cost_squares=0.05, tokens_in=1e4, tokens_out=2e4,
    out_squares=5e6, answered=200, p95_s=3.0, p95_error=0.1, calls=100, failed=7, rateable=100,
    rated=50, quality=30.0, quality_squares=20.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "back"),
    [("quality", 0.6), ("error_rate", 0.07), ("latency_p95", 3.0), ("cost_per_request", 0.02),
     ("tokens_out", 100.0), ("spend", 2.0), ("response_rate", 0.5)],
)  # fmt: skip
def test_a_value_comes_back_from_its_scale(metric: str, back: float) -> None:
    found = METRICS[metric]
    point = found.point(CELL)
    assert point is not None and point[1] > 0.0
    assert found.back(point[0]) == pytest.approx(back, rel=0.06)  # shares are drawn in a little
    assert found.point(Cell(3, "x", "code", requests=5, cost_usd=1.0)) is None


def test_errors_are_those_of_sampling() -> None:
    cost = METRICS["cost_per_request"].point(CELL)
    assert cost is not None
    assert cost[1] == pytest.approx(math.sqrt((0.05 / 100 - 0.02**2) / 100) / 0.02)
    rate = METRICS["error_rate"].point(CELL)
    assert rate is not None and rate[1] == pytest.approx(0.5 / math.sqrt(100.5))


def test_ratings_of_the_last_day_are_waited_for() -> None:
    assert list(series(METRICS["quality"], [CELL], 3).days) == []
    assert list(series(METRICS["quality"], [CELL], 4).days) == [3]
    assert list(series(METRICS["spend"], [CELL], 3).days) == [3]


def test_the_part_of_a_mean() -> None:
    found = share(METRICS["tokens_out"], CELL)
    assert (found.count, found.total, found.task) == (200, 2e4, "code")
