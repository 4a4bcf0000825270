"""Every shipped test of two arms at every look of many streams at once, and the naive ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from experiments.metrics import Direction, Kind, Metric, Values
from experiments.offline.distributions import BOUNDED
from experiments.statistics.bounded_means import Betting, log_mixture
from experiments.statistics.mean_sequences import (
    BURN_IN,
    LEAST_EVENTS,
    AsymptoticSequence,
    deviation_of_difference,
)
from experiments.statistics.quantiles import QuantileSequence
from experiments.statistics.rates import log_evidence

Flags = NDArray[np.bool_]
TINY = 1e-300
CANDIDATES = 257  # values at which quantiles are compared before they are compared exactly
HALVINGS = 40


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """What one arm brings: values [paths, looks, block], of a ratio the denominators as well."""

    values: Values
    per: Values | None = None

    @property
    def count(self) -> Values:
        """Units so far at each look, [looks]."""
        _, looks, block = self.values.shape
        count: Values = block * np.arange(1, looks + 1, dtype=np.float64)
        return count

    def sums(self) -> tuple[Values, Values]:
        """Means (or ratios) and unbiased variances so far, [paths, looks]; a ratio's variance is
        that of its linearised terms (the delta method).
        """
        count, x = self.count, self.values
        total, squares = _so_far(x), _so_far(x * x)
        if self.per is None:
            mean = total / count
            return mean, np.maximum(squares - count * mean**2, 0.0) / np.maximum(count - 1, 1)
        below, crossed, square = _so_far(self.per), _so_far(x * self.per), _so_far(self.per**2)
        ratio = total / np.maximum(below, TINY)
        spread = np.maximum(squares - 2.0 * ratio * crossed + ratio**2 * square, 0.0)
        level = np.maximum(below, TINY) / count
        return ratio, spread / level**2 / np.maximum(count - 1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Streams:
    """Two arms seen in blocks; ``best_at``: units of both at which a sequence is tuned."""

    metric: Metric
    treatment: Arm
    control: Arm
    alpha: float

    @property
    def best_at(self) -> float:
        """Where the sequence of means is narrowest: at the last look."""
        return float(self.treatment.count[-1] + self.control.count[-1])

    @property
    def share(self) -> float:
        """The treatment's part of the units."""
        ours, theirs = float(self.treatment.count[0]), float(self.control.count[0])
        return ours / (ours + theirs)

    @property
    def burnt_in(self) -> Flags:
        """Looks at which both arms have their first values, [looks]."""
        fewest: Flags = np.minimum(self.treatment.count, self.control.count) >= BURN_IN
        return fewest


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """Of every path and look whether the test rejected, and whether it could speak, both
    [paths, looks].
    """

    rejected: Flags
    spoke: Flags


def asymptotic_sequence(streams: Streams) -> Verdicts:
    """The asymptotic confidence sequence of the difference, of ratios by linearised terms."""
    (m, v), (k, u) = streams.treatment.sums(), streams.control.sums()
    n, c = streams.treatment.count, streams.control.count
    spoke = streams.burnt_in & (v / n + u / c > 0.0)
    if streams.metric.unit in BOUNDED and _binary(streams):
        for mean, count in ((m, n), (k, c)):
            spoke &= np.minimum(mean, 1.0 - mean) * count > LEAST_EVENTS - 0.5
    deviation = deviation_of_difference((n, v), (c, u))
    shift = np.where(spoke, m - k, 0.0) / np.maximum(deviation, TINY)
    told = AsymptoticSequence(streams.alpha, streams.best_at).log_e(n + c, shift)
    return Verdicts(spoke & (told >= -math.log(streams.alpha)), spoke)


def betting(streams: Streams) -> Verdicts:
    """Bets on pairs: (1 + treatment - control) / 2 has the mean 1/2 if the arms do."""
    shape = streams.treatment.values.shape
    pairs = (1.0 + streams.treatment.values - streams.control.values).reshape(shape[0], -1) / 2.0
    told = Betting.of(pairs, streams.alpha).log_e(0.5)[:, shape[2] - 1 :: shape[2]]
    return Verdicts(told >= -math.log(streams.alpha), np.ones(shape[:2], dtype=np.bool_))


def empirical_bernstein(streams: Streams) -> Verdicts:
    """Each arm's mean by the sequence for weighted rewards, every weight 1, at half of alpha:
    refuted where the two intervals lie apart.
    """
    arms = [_Gained.of(arm.values) for arm in (streams.treatment, streams.control)]
    refuted = math.log(4.0 / streams.alpha)
    apart = _above(arms[0], arms[1], refuted) | _above(arms[1], arms[0], refuted)
    return Verdicts(apart, np.ones(apart.shape, dtype=np.bool_))


def rate_e_process(streams: Streams) -> Verdicts:
    """The one-sided guardrail on the worse outcome: the treatment has too much of it."""
    arms = [_so_far(arm.values) for arm in (streams.treatment, streams.control)]
    if streams.metric.direction is Direction.UP:
        counts = (streams.treatment.count, streams.control.count)
        arms = [count - arm for count, arm in zip(counts, arms, strict=True)]
    told = log_evidence(np.rint(arms[0]), np.rint(arms[1]), streams.share)
    return Verdicts(told >= -math.log(streams.alpha), np.ones(told.shape, dtype=np.bool_))


def quantile_sequence(streams: Streams) -> Verdicts:
    """The exact test of two arms' quantiles, at the looks that cheap bounds do not rule out.

    The evidence is the least over all candidates, so no more than at the pooled quantile, and no
    more than over a grid: only where both are enough the shipped test is asked, up to the first
    look at which it rejects.
    """
    sequence = QuantileSequence(streams.metric.level or 0.5, streams.alpha)
    enough = -math.log(streams.alpha)
    n, c = streams.treatment.count, streams.control.count
    one, two = _below(streams)
    ours, theirs = _at_pooled(streams, one, two)
    possible = sequence.log_e(ours, n) + sequence.log_e(theirs, c) >= enough
    at = np.nonzero(possible)
    told = sequence.log_e(one[at], n[at[1], None]) + sequence.log_e(two[at], c[at[1], None])
    possible[at] = told.min(1) >= enough
    rejected = np.zeros_like(possible)
    for path in np.flatnonzero(possible.any(1)):
        for look in np.flatnonzero(possible[path]):
            seen = [arm.values[path, : look + 1].ravel()
                    for arm in (streams.treatment, streams.control)]  # fmt: skip
            if sequence.evidence_of_difference(*seen).log_e >= enough:
                rejected[path, look:] = True
                break
    return Verdicts(rejected, np.ones_like(rejected))


def naive_z(streams: Streams) -> Verdicts:
    """The control that must fail: the two-sided z-test for one look, at every look."""
    (m, v), (k, u) = streams.treatment.sums(), streams.control.sums()
    error = np.sqrt(v / streams.treatment.count + u / streams.control.count)
    return _naive(m - k, error, streams)


def naive_quantile(streams: Streams) -> Verdicts:
    """The same for quantiles: the shares above the pooled quantile compared by a z-test."""
    n, c = streams.treatment.count, streams.control.count
    ours, theirs = _at_pooled(streams, *_below(streams))
    share = (ours + theirs) / (n + c)
    error = np.sqrt(share * (1.0 - share) * (1.0 / n + 1.0 / c))
    return _naive(ours / n - theirs / c, error, streams)


def applicable(metric: Metric, share: float) -> Mapping[str, Callable[[Streams], Verdicts]]:
    """The tests that apply to a metric, by name, the naive one last."""
    if metric.kind is Kind.QUANTILE:
        return {"quantile_sequence": quantile_sequence, "naive_z": naive_quantile}
    found: dict[str, Callable[[Streams], Verdicts]] = {"asymptotic_sequence": asymptotic_sequence}
    if metric.unit in BOUNDED and metric.kind is not Kind.RATIO:
        if share == 0.5:
            found["betting"] = betting
        found["empirical_bernstein"] = empirical_bernstein
    if metric.kind is Kind.RATE:
        found["rate_e_process"] = rate_e_process
    return found | {"naive_z": naive_z}


@dataclass(frozen=True, slots=True, eq=False)
class _Gained:
    """An arm's sums for the sequence of weighted rewards, at each look, [paths, looks]."""

    count: Values
    gained: Values
    gained_squares: Values
    missed_squares: Values

    @classmethod
    def of(cls, values: Values) -> _Gained:
        paths, looks, block = values.shape
        rows = values.reshape(paths, -1)
        count = block * np.arange(1, looks + 1, dtype=np.float64)
        gained = rows.cumsum(1)
        return cls(
            count, gained[:, block - 1 :: block],
            _squares(rows, gained, block), _squares(1.0 - rows, None, block),
        )  # fmt: skip

    def above(self, mean: Values, at: tuple[NDArray[np.intp], ...]) -> Values:
        """Evidence that the arm's mean is above that, at (paths, looks)."""
        gain = self.gained[at] - self.count[at[1]] * mean
        return log_mixture(gain, self.gained_squares[at])

    def below(self, mean: Values, at: tuple[NDArray[np.intp], ...]) -> Values:
        """Evidence that the arm's mean is below that."""
        count = self.count[at[1]]
        gain = count - self.gained[at] - count * (1.0 - mean)
        return log_mixture(gain, self.missed_squares[at])


def _squares(rows: Values, total: Values | None, block: int) -> Values:
    """Squared distances from the forecasts, added up, at the ends of blocks."""
    sums = rows.cumsum(1) if total is None else total
    time = np.arange(1, rows.shape[1] + 1, dtype=np.float64)
    forecasts = np.minimum((sums - rows + 0.5) / time, 1.0)
    squares: Values = ((rows - forecasts) ** 2).cumsum(1)[:, block - 1 :: block]
    return squares


def _above(high: _Gained, low: _Gained, refuted: float) -> Flags:
    """Where some mean is refuted by both: too little for the one arm, too much for the other."""
    greater, less = high.gained / high.count, low.gained / low.count
    apart = greater > less
    at = np.nonzero(apart)
    held = (high.above(less[at], at) >= refuted) & (low.below(greater[at], at) >= refuted)
    at = (at[0][held], at[1][held])
    bottom, top = less[at], greater[at]
    found = np.zeros(apart.shape, dtype=np.bool_)
    for _ in range(HALVINGS):  # to where both have the same evidence, the most of the lesser
        middle = (bottom + top) / 2.0
        rising = high.above(middle, at) > low.below(middle, at)
        bottom, top = np.where(rising, middle, bottom), np.where(rising, top, middle)
    middle = (bottom + top) / 2.0
    found[at] = np.minimum(high.above(middle, at), low.below(middle, at)) >= refuted
    return found


def _naive(gap: Values, error: Values, streams: Streams) -> Verdicts:
    spoke = streams.burnt_in & (error > 0.0)
    bound = float(stats.norm.ppf(1.0 - streams.alpha / 2.0))
    return Verdicts(spoke & (np.abs(gap) > bound * error), spoke)


def _below(streams: Streams) -> tuple[Values, Values]:
    """Of each arm how many values so far lie at or below each candidate, [paths, looks, G].

    The candidates are order statistics of what all paths drew, around the quantile.
    """
    p = streams.metric.level or 0.5
    arms = (streams.treatment.values, streams.control.values)
    some = np.concatenate([arm.reshape(-1)[:: max(1, arm.size // 100_000)] for arm in arms])
    reach = 0.6 * min(p, 1.0 - p)
    candidates = np.unique(np.quantile(some, np.linspace(p - reach, p + reach, CANDIDATES)))
    return _ranks(arms[0], candidates), _ranks(arms[1], candidates)


def _at_pooled(streams: Streams, one: Values, two: Values) -> tuple[Values, Values]:
    """Of both arms how many lie at or below the candidate nearest to the pooled quantile, [paths,
    looks].
    """
    due = (streams.metric.level or 0.5) * (streams.treatment.count + streams.control.count)
    place = np.abs(one + two - due[:, None]).argmin(2)[..., None]
    ours, theirs = (np.take_along_axis(each, place, 2)[..., 0] for each in (one, two))
    return ours, theirs


def _ranks(values: Values, candidates: Values) -> Values:
    paths, looks, _ = values.shape
    width = len(candidates) + 1
    place = np.searchsorted(candidates, values, "left")  # of the first that is not less
    cell = np.arange(paths * looks).reshape(paths, looks, 1) * width + place
    found = np.bincount(cell.ravel(), minlength=paths * looks * width)
    ranks: Values = found.reshape(paths, looks, width).cumsum(1).cumsum(2)[:, :, :-1]
    return ranks.astype(np.float64)


def _so_far(values: Values) -> Values:
    total: Values = values.sum(2).cumsum(1)
    return total


def _binary(streams: Streams) -> bool:
    return all(
        bool(((arm.values == 0.0) | (arm.values == 1.0)).all())
        for arm in (streams.treatment, streams.control)
    )
