"""Has the level of a daily series changed, since when and by how much? At any look."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.evidence import Evidence
from experiments.statistics.inputs import Floats, Ints, alike, finite, level
from experiments.statistics.moments import Interval

BASE_DAYS = 14  # with data, before the first day on which a change can be said to begin
AFTER_DAYS = 3  # with data, from that day on, before it can count
PRIOR = 16.0  # variance of the shift that is bet on, in variances of a day
BIAS = 4.0  # over the days: by about so much too low is the correlation of residuals
WEEK = 7


@dataclass(frozen=True, slots=True, eq=False)
class Daily:
    """A series by days with data, in order: the day's number, its value, the standard
    error that sampling alone gives it, and how many it is the value of.
    """

    days: Ints
    values: Floats
    errors: Floats
    counts: Floats

    def __post_init__(self) -> None:
        columns = {name: getattr(self, name) for name in ("days", "values", "errors", "counts")}
        alike({name: len(column) for name, column in columns.items()})
        for name in ("values", "errors", "counts"):
            finite(columns[name], name)
        if len(self.days) and (np.diff(self.days) <= 0).any():
            raise ExperimentError("days must rise: give one value a day, in order")
        if (self.errors < 0.0).any() or (self.counts <= 0.0).any():
            raise ExperimentError("errors must be at least 0 and counts above 0")


@dataclass(frozen=True, slots=True, eq=False)
class StepScan:
    """The evidence for a step of the level on each day on which it may have begun.

    The model: value = weekday + level + shift from the onset on + noise, the noise independent and
    normal with a variance that is proportional to 1 + (median count) / count and unknown. For each
    onset the Bayes factor of a normal prior on the shift, right Haar on the weekdays' levels and
    the scale, is a test martingale at any look (Lindon, Ham, Tingley and Bojinov, arXiv
    2210.08589); their mixture over onsets, each with the same weight fixed beforehand, is the
    evidence. Three remedies only take evidence away, so that none can raise a false alarm under
    the model: a variance below that of sampling alone is held at it; where neighbouring days are
    alike, t^2 is scaled by (1 - r) / (1 + r) for their correlation r; and an onset with fewer than
    ``AFTER_DAYS`` days may count against, never for.
    """

    onsets: Ints  # days
    log_factors: Floats
    shifts: Floats
    errors: Floats
    ratios: Floats  # 1 + PRIOR s: prior to posterior variance
    degrees: int
    weight: float  # of each onset
    base: float  # the mean before the likeliest onset, at its weekdays' mix
    correlation: float

    @property
    def evidence(self) -> Evidence:
        """Against the hypothesis that nothing has changed."""
        left = max(0.0, 1.0 - self.weight * len(self.onsets))
        told = np.append(self.log_factors + math.log(self.weight), math.log(left or 1e-300))
        return Evidence(float(np.logaddexp.reduce(told)))

    @property
    def likeliest(self) -> int:
        """Which of the onsets has the most evidence."""
        return int(np.argmax(self.log_factors))

    def interval(self, alpha: float) -> Interval:
        """The shift at the likeliest onset: the shifts that are not refuted at ``alpha``, which
        is shared over the onsets; unbounded where the data are too few for that.
        """
        at = self.likeliest
        ratio, half = float(self.ratios[at]), math.inf
        log_bound = math.log(1.0 / (level(alpha) * self.weight)) + 0.5 * math.log(ratio)
        grown = math.exp(min(700.0, 2.0 * log_bound / (self.degrees + 1)))
        if grown < ratio:
            reach = self.degrees * (grown - 1.0) / (1.0 - grown / ratio)
            half = float(self.errors[at]) * math.sqrt(reach)
        shift = float(self.shifts[at])
        return Interval(shift, shift - half, shift + half)


def scan(daily: Daily, onsets: int) -> StepScan | CannotSay:
    """Look at a series. ``onsets``: on how many days of the window at most a change may begin,
    fixed beforehand. Cannot say with fewer than ``BASE_DAYS`` + ``AFTER_DAYS`` days with data.
    """
    number = len(daily.days)
    if onsets < 1:
        raise ExperimentError(f"onsets is {onsets}: give the window's days less {BASE_DAYS}")
    if number < BASE_DAYS + AFTER_DAYS:
        return CannotSay(
            f"{BASE_DAYS + AFTER_DAYS} days with data are needed, there are {number}"
        )  # fmt: skip
    weights = 1.0 / (1.0 + float(np.median(daily.counts)) / daily.counts)
    weekdays = daily.days % WEEK
    first = np.arange(BASE_DAYS, number)[-onsets:]
    steps = (np.arange(number)[:, None] >= first[None, :]).astype(np.float64)
    root = np.sqrt(weights)
    left = root * _within_weekday(daily.values[:, None], weights, weekdays)[:, 0]
    moved = root[:, None] * _within_weekday(steps, weights, weekdays)
    degrees = number - len(np.unique(weekdays)) - 1
    leverage = (moved**2).sum(0)
    known = leverage > 1e-9
    if degrees < 2 or not known.any():
        return CannotSay("too few weekdays have come twice")
    first, moved, leverage = first[known], moved[:, known], leverage[known]
    shifts = moved.T @ left / leverage
    squares = np.maximum((left**2).sum() - shifts**2 * leverage, 0.0)
    floor = float((weights * daily.errors**2).mean())
    variance = np.maximum(squares / degrees, max(floor, 1e-300))
    ratios = 1.0 + PRIOR * leverage
    plain = _log_factors(shifts**2 * leverage / variance, ratios, degrees)
    best = int(np.argmax(plain))
    correlation = _neighbours(left - moved[:, best] * shifts[best], daily.days)
    kept = (1.0 - correlation) / (1.0 + correlation)
    factors = _log_factors(shifts**2 * leverage * kept / variance, ratios, degrees)
    fresh = number - first < AFTER_DAYS
    factors = np.where(fresh, np.minimum(factors, 0.0), factors)
    onset = int(first[int(np.argmax(factors))])
    return StepScan(
        onsets=daily.days[first],
        log_factors=factors,
        shifts=shifts,
        errors=np.sqrt(variance / leverage / kept),
        ratios=ratios,
        degrees=degrees,
        weight=1.0 / onsets,
        base=float(np.average(daily.values[:onset], weights=weights[:onset])),
        correlation=correlation,
    )


def _within_weekday(columns: Floats, weights: Floats, weekdays: Ints) -> Floats:
    """Columns [n, k] less their weighted mean on the same weekday."""
    member = (weekdays[:, None] == np.unique(weekdays)[None, :]).astype(np.float64)
    weighted = member * weights[:, None]
    means = (weighted.T @ columns) / weighted.sum(0)[:, None]
    left: Floats = columns - member @ means
    return left


def _log_factors(squared_t: Floats, ratios: Floats, degrees: int) -> Floats:
    q = squared_t / degrees
    told: Floats = (degrees + 1) / 2.0 * (np.log1p(q) - np.log1p(q / ratios)) - np.log(ratios) / 2.0
    return told


def _neighbours(residuals: Floats, days: Ints) -> float:
    """The correlation of days that follow each other, in [0, 0.9]. Residuals of fitted weekdays
    and a fitted step show too little of it, so ``BIAS`` is added; of independent days that costs
    little.
    """
    beside: NDArray[np.bool_] = np.diff(days) == 1
    whole = float((residuals**2).mean())
    if not beside.any() or whole <= 0.0:
        return 0.0
    found = float((residuals[1:] * residuals[:-1])[beside].mean()) / whole
    return min(0.9, max(0.0, found + BIAS / len(days)))
