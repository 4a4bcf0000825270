"""Daily series: what is counted of a day, and the metrics that are followed over days."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from experiments.mix import Bill, Share
from experiments.statistics.step_change import Daily

ALL = ""  # in place of a deployment or task: the sum over all
LEAST_A_DAY = 30  # of what is averaged: a day with fewer is left out
SETTLED_DAYS = 1  # ratings come up to a day after their answer

Where = tuple[str, str]  # deployment, task


@dataclass(frozen=True, slots=True)
class Cell:
    """A day (since 1970, UTC) of a task at a deployment, or of all of them: counts and sums.

    ``requests`` by the deployment that answered, with their cost and tokens; ``answered`` those
    with an answer; ``calls`` and ``failed``: first calls to the deployment, and those that failed
    by its blame; ``rateable`` answers that were drawn or held by a session, and of them ``rated``
    within a day, with the sums of their quality. ``p95_s`` of answers, ``p95_error`` the standard
    error of its logarithm; 0 where there is none.
    """

    day: int
    deployment: str
    task: str
    requests: float = 0.0
    cost_usd: float = 0.0
    cost_squares: float = 0.0
    tokens_in: float = 0.0
    tokens_out: float = 0.0
    out_squares: float = 0.0
    answered: float = 0.0
    p95_s: float = 0.0
    p95_error: float = 0.0
    calls: float = 0.0
    failed: float = 0.0
    rateable: float = 0.0
    rated: float = 0.0
    quality: float = 0.0
    quality_squares: float = 0.0
    bill: Bill = field(default_factory=Bill)


_Sum = Callable[[Cell], float]


@dataclass(frozen=True, slots=True)
class Metric:
    """What is followed. ``point``: a day's value on the scale on which it is compared, its
    standard error and count, None where the day has too little; ``back``: from that scale.
    ``better``: 1 where more is. ``severe``: a change that matters at once, relative or absolute.
    ``counts`` and ``sums``: of a mean, what it is divided by and the sum.
    """

    name: str
    title: str
    unit: str
    better: int
    severe: float
    relative: bool
    point: Callable[[Cell], tuple[float, float, float] | None]
    back: Callable[[float], float]
    counts: _Sum | None = None
    sums: _Sum | None = None
    settles: bool = False
    sums_only: bool = False


def series(metric: Metric, days: Sequence[Cell], last_day: int) -> Daily:
    """The days of one place that can be used, in order."""
    last = last_day - SETTLED_DAYS if metric.settles else last_day
    points = [(each.day, metric.point(each)) for each in days if each.day <= last]
    kept = [(day, point) for day, point in points if point is not None]
    values = np.array([point for _, point in kept], dtype=np.float64).reshape(-1, 3)
    return Daily(
        np.array([day for day, _ in kept], dtype=np.int64), values[:, 0], values[:, 1],
        values[:, 2],
    )  # fmt: skip


def share(metric: Metric, cell: Cell) -> Share:
    """A day's part of a mean."""
    assert metric.counts is not None and metric.sums is not None
    return Share(
        cell.task, cell.deployment, metric.counts(cell), metric.sums(cell), cell.tokens_in,
        cell.tokens_out, cell.bill,
    )  # fmt: skip


_Point = tuple[float, float, float]


def _log_mean(count: _Sum, total: _Sum, squares: _Sum) -> Callable[[Cell], _Point | None]:
    """Of positive values, so that a weekday's shape multiplies."""

    def point(cell: Cell) -> _Point | None:
        n, s = count(cell), total(cell)
        if n < LEAST_A_DAY or s <= 0.0:
            return None
        spread = max(0.0, squares(cell) / n - (s / n) ** 2)
        return math.log(s / n), math.sqrt(spread / n) / (s / n), n

    return point


def _angle(count: _Sum, total: _Sum) -> Callable[[Cell], _Point | None]:
    """Of shares, so that their variance is that of the count alone (Anscombe, Biometrika 1948)."""

    def point(cell: Cell) -> _Point | None:
        n = count(cell)
        if n < LEAST_A_DAY:
            return None
        shown = math.asin(math.sqrt((min(total(cell), n) + 0.375) / (n + 0.75)))
        return shown, 0.5 / math.sqrt(n + 0.5), n

    return point


def _from_angle(value: float) -> float:
    return math.sin(min(math.pi / 2.0, max(0.0, value))) ** 2


def _from_log(value: float) -> float:
    return math.exp(min(700.0, value))


def _quality(cell: Cell) -> _Point | None:
    n = cell.rated
    if n < LEAST_A_DAY:
        return None
    mean = cell.quality / n
    return mean, math.sqrt(max(0.0, cell.quality_squares / n - mean**2) / n), n


def _p95(cell: Cell) -> _Point | None:
    if cell.answered < 4 * LEAST_A_DAY or cell.p95_s <= 0.0:  # fewer show no twentieth
        return None
    return math.log(cell.p95_s), cell.p95_error, cell.answered


def _spend(cell: Cell) -> _Point | None:
    if cell.requests < LEAST_A_DAY or cell.cost_usd <= 0.0:
        return None
    return math.log(cell.cost_usd), math.sqrt(cell.cost_squares) / cell.cost_usd, cell.requests


_COST = (lambda c: c.requests, lambda c: c.cost_usd, lambda c: c.cost_squares)
_OUT = (lambda c: c.answered, lambda c: c.tokens_out, lambda c: c.out_squares)
_FAILED = (lambda c: c.calls, lambda c: c.failed)
_RATED = (lambda c: c.rateable, lambda c: c.rated)

METRICS: Mapping[str, Metric] = {
    each.name: each
    for each in (
        Metric("quality", "quality", "", 1, 0.03, False, _quality, float,
               lambda c: c.rated, lambda c: c.quality, settles=True),
        Metric("error_rate", "error rate", "", -1, 0.01, False, _angle(*_FAILED), _from_angle,
               *_FAILED),
        Metric("latency_p95", "95th percentile of latency", "s", -1, 0.25, True, _p95, _from_log),
        Metric("cost_per_request", "cost per request", "USD", -1, 0.15, True, _log_mean(*_COST),
               _from_log, *_COST[:2]),
        Metric("tokens_out", "tokens of an answer", "", -1, 0.25, True, _log_mean(*_OUT),
               _from_log, *_OUT[:2]),
        Metric("spend", "spend a day", "USD", -1, 0.25, True, _spend, _from_log, sums_only=True),
        Metric("response_rate", "share of answers that are rated", "", 1, 0.05, False,
               _angle(*_RATED), _from_angle, *_RATED, settles=True),
    )
}  # fmt: skip
