"""What has changed over days and weeks: since when, how much, how surely, and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.errors import CannotSay
from experiments.mix import Parts, decompose
from experiments.plain import plain
from experiments.series import ALL, METRICS, Cell, Metric, Where, series, share
from experiments.statistics.inputs import level
from experiments.statistics.moments import Interval
from experiments.statistics.multiplicity import e_benjamini_hochberg
from experiments.statistics.step_change import BASE_DAYS, StepScan, scan
from experiments.trend_words import in_words

WEEKS = 8  # whole ones before the week of the last day
ONSETS = 7 * (WEEKS + 1) - BASE_DAYS
MONDAY = 4  # 5 January 1970 was one


@dataclass(frozen=True, slots=True)
class Options:
    """``alpha``: the share of false ones expected among the findings is at most that, whatever
    hangs together and whenever within the week one looks; ``sure``: the same for what is severe.
    """

    alpha: float = 0.05
    sure: float = 0.01

    def __post_init__(self) -> None:
        level(self.alpha)
        level(self.sure)


@dataclass(frozen=True, slots=True)
class Trend:
    """A change of a daily series that is no chance.

    ``since``: the likeliest first day (days since 1970), ``days`` with data from then on;
    ``before`` and ``after``: the level then and now; ``change`` and ``relative`` with intervals
    that hold together over all findings, given that day; ``harmful``: the worse way; ``severe``:
    harmful, larger than ``METRICS`` says, and found at the stricter level; ``usd_a_day``: what it
    costs more (less: negative), where it is money; ``parts``: why, in parts that add up, from the
    plain means before and after.
    """

    metric: str
    deployment: str  # "" for all
    task: str
    since: int
    days: int
    before: float
    after: float
    change: Interval
    relative: Interval | None
    log_e: float
    harmful: bool
    severe: bool
    usd_a_day: float | None
    parts: Parts | None
    words: str

    @property
    def key(self) -> tuple[str, str, str, bool]:
        """Which series went which way."""
        return self.metric, self.deployment, self.task, self.change.estimate > 0.0

    def to_dict(self) -> dict[str, Any]:
        """In plain form for JSON: dates as such."""
        told: dict[str, Any] = plain(self)
        told["since"] = date(self.since)
        return told


@dataclass(frozen=True, slots=True)
class Trends:
    """The findings over a window of days, the gravest first. ``tested``: series that could be
    judged; ``silent``: how many could not, by what they lack.
    """

    first_day: int
    last_day: int
    tested: int
    silent: Mapping[str, int]
    alpha: float
    findings: tuple[Trend, ...]

    def to_dict(self) -> dict[str, Any]:
        """In plain form for JSON."""
        return {
            "since": date(self.first_day),
            "through": date(self.last_day),
            "series": self.tested,
            "silent": dict(self.silent),
            "alpha": self.alpha,
            "findings": [each.to_dict() for each in self.findings],
        }


def window(last_day: int) -> int:
    """The first day that is looked at: the Monday ``WEEKS`` weeks before the last day's week."""
    return last_day - (last_day - MONDAY) % 7 - 7 * WEEKS


def find(cells: Iterable[Cell], last_day: int, options: Options | None = None) -> Trends:
    """The changes in the window that ends with ``last_day``, the last whole one.

    Cells: for each day with traffic one for each task and deployment, and the sums of each
    deployment and of all (``ALL`` in place of a name). The window begins on a Monday, so that
    within a week only days are added to it: over a week's looks the evidence of each series is an
    e-process, and e-BH over all series bounds the false discoveries at each of them.
    """
    asked, first_day = options or Options(), window(last_day)
    kept = [each for each in cells if first_day <= each.day <= last_day]
    by_place: dict[Where, list[Cell]] = {}
    for each in sorted(kept, key=lambda each: each.day):
        by_place.setdefault((each.deployment, each.task), []).append(each)
    found: list[tuple[Metric, Where, StepScan]] = []
    silent: dict[str, int] = {}
    for where, days in sorted(by_place.items()):
        for metric in METRICS.values():
            if metric.sums_only and where[1] != ALL:
                continue
            daily = series(metric, days, last_day)
            told = scan(daily, ONSETS)
            if isinstance(told, CannotSay):
                why = str(told).partition(", there are")[0]  # not each with its own number
                silent[why] = silent.get(why, 0) + 1
            else:
                found.append((metric, where, told))
    log_e = np.array([each.evidence.log_e for _, _, each in found])
    flags, sure = (e_benjamini_hochberg(log_e, a) for a in (asked.alpha, asked.sure))
    share_of_level = float(flags.sum()) / max(1, len(found))
    made = [
        _trend(metric, by_place, where, each, (asked.alpha * share_of_level, bool(certain)))
        for (metric, where, each), flag, certain in zip(found, flags, sure, strict=True)
        if flag
    ]
    made.sort(key=lambda t: (not t.severe, not t.harmful, -abs(t.usd_a_day or 0.0), -t.log_e))
    return Trends(first_day, last_day, len(found), silent, asked.alpha, tuple(made))


def _trend(
    metric: Metric,
    by_place: Mapping[Where, Sequence[Cell]],
    where: Where,
    found: StepScan,
    at: tuple[float, bool],
) -> Trend:
    """``at``: the level of the interval, and whether it holds at the stricter one."""
    days = by_place[where]
    onset = int(found.onsets[found.likeliest])
    shift = found.interval(at[0])
    before = metric.back(found.base)
    edges = [metric.back(found.base + s) - before for s in (shift.estimate, shift.low, shift.high)]
    change = Interval(*edges)
    relative = None
    if before > 0.0:
        relative = Interval(*(edge / before for edge in edges))
    later = [each for each in days if each.day >= onset]
    harmful = change.estimate * metric.better < 0.0
    size = relative if metric.relative else change
    severe = harmful and at[1] and size is not None and abs(size.estimate) >= metric.severe
    usd = None
    if metric.name == "spend":
        usd = change.estimate
    elif metric.name == "cost_per_request":
        usd = change.estimate * sum(each.requests for each in later) / max(1, len(later))
    parts = _parts(metric, by_place, where, onset)
    words = in_words(metric, where, date(onset), (before, change, relative), (usd, parts))
    return Trend(
        metric.name, *where, onset, len(later), before, before + change.estimate, change, relative,
        found.evidence.log_e, harmful, severe, usd, parts, words,
    )  # fmt: skip


def _parts(
    metric: Metric, by_place: Mapping[Where, Sequence[Cell]], where: Where, onset: int
) -> Parts | None:
    """Of a mean, over the finest cells of the place; None of what is no mean."""
    if metric.counts is None:
        return None
    cells = [
        each
        for (deployment, task), days in by_place.items()
        if ALL not in (deployment, task) and where[0] in (ALL, deployment)
        and where[1] in (ALL, task)
        for each in days
    ]  # fmt: skip
    early, late = (
        [share(metric, each) for each in cells if (each.day >= onset) == side]
        for side in (False, True)
    )
    parts = decompose(early, late, money=metric.name == "cost_per_request")
    return None if isinstance(parts, CannotSay) or not math.isfinite(parts.change) else parts


def date(day: int) -> str:
    """A day since 1970 as ISO writes it."""
    return str(np.datetime64(day, "D"))
