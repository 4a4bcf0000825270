"""Intervals of a part of spend, from sums by day: blocks of days taken again."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from experiments.errors import CannotSay
from experiments.statistics.inputs import Floats, Ints
from experiments.statistics.moments import Interval

LEAST_DAYS = 7
ALPHA = 0.05


def by_day(day: Ints, amounts: Floats, first: int, days: int) -> Floats:
    """Sums of amounts [n] over each of the ``days`` from ``first`` on."""
    sums = np.bincount(day - first, weights=amounts, minlength=days)
    return sums.astype(np.float64)[:days]


def part_of(
    part: Floats, whole: Floats, alpha: float = ALPHA, least_error: float = 0.0
) -> Interval | CannotSay:
    """The sum of ``part`` over days, with the interval of what days like these with the same sum of
    ``whole`` would show.

    A ratio times a known total: its residuals part - ratio * whole, by day, in circular blocks of
    D^(1/3) days (Politis and Romano 1992), whose resampling variance is taken in closed form;
    Student's quantile for the number of blocks. ``least_error``: an error of the sum from within
    the days (of what was drawn), for many draws; the wider of both holds.
    """
    days = int((whole > 0.0).sum())
    if days < LEAST_DAYS:
        return CannotSay(f"{LEAST_DAYS} days with traffic are needed, there are {days}")
    total = float(part.sum())
    rest = part - total / float(whole.sum()) * whole
    count = len(rest)
    length = max(1, round(days ** (1.0 / 3.0)))
    around = np.concatenate([rest, rest[: length - 1]])
    blocks = np.convolve(around, np.ones(length), "valid")
    error = math.sqrt(count / length * float((blocks**2).mean()))
    number = days / length
    reach = float(stats.t.ppf(1.0 - alpha / 2.0, number - 1.0)) * error
    reach *= math.sqrt(number / (number - 1.0))
    reach = max(reach, float(stats.norm.ppf(1.0 - alpha / 2.0)) * least_error)
    return Interval(total, total - reach, total + reach)
