"""Treatments of the same units: paired differences with intervals, and the sizes they need."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.inputs import alike, finite, level, positive, within
from experiments.statistics.moments import Interval, Moments
from experiments.statistics.power import Comparison


@dataclass(frozen=True, slots=True)
class Paired:
    """A mean difference over units that had both treatments, for one look at a fixed size."""

    difference: Interval
    standard_error: float
    degrees: float
    p_value: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Foretold:
    """A paired difference less what a covariate of the units foretold, beside the plain one.

    ``explained``: the part of the plain one's variance that is gone; below 0 it did not help.
    """

    adjusted: Paired
    plain: Paired
    theta: float
    explained: float

    @property
    def best(self) -> Paired:
        """The adjusted one where the covariate took more away than its slope costs to learn."""
        worth = 2.0 / max(1, self.plain.pairs)
        return self.adjusted if self.explained > worth else self.plain


def paired(
    differences: ArrayLike, alpha: float = 0.05, span: float | None = None
) -> Paired | CannotSay:
    """The mean of differences [n], one a unit: Student's interval.

    ``span``: the differences are of scores that lie ``span`` apart at most, such as 1 for shares.
    Then half a unit is added to each of the four corners (both low, both high, and either way
    round), which moves the interval towards 0 and keeps it honest where few units differ or none
    does (Agresti and Min, Statistics in Medicine 24, 2005, for matched proportions). The estimate
    stays the plain mean.
    """
    level(alpha)
    values = finite(differences, "differences")
    if len(values) < 2:
        return CannotSay(f"a paired difference needs two pairs, there are {len(values)}")
    mean = float(values.mean())
    if span is None:
        moments = Moments.of(values)
        return _student(mean, mean, moments.variance / moments.count, len(values), alpha)
    within(values, "differences", -positive(span, "span"), span)
    count = len(values) + 2
    centre = float(values.sum()) / count
    square = (float((values**2).sum()) + span * span) / count - centre * centre
    found = _student(mean, centre, square / count, len(values), alpha)
    gap = found.difference
    return replace(found, difference=Interval(mean, max(-span, gap.low), min(span, gap.high)))


def foretold(
    differences: ArrayLike,
    covariate: ArrayLike,
    known: Moments,
    alpha: float = 0.05,
) -> Foretold | CannotSay:
    """Paired differences [n] adjusted by a covariate [n] whose mean over more units is known.

    CUPED in a paired design (Deng, Xu, Kohavi and Walker, WSDM 2013): a unit's own level cancels in
    its difference, so a covariate helps only where it foretells the difference (one treatment
    loses more on hard units) and where its mean over the ``known`` units, of which these are a
    sample, is another than here. The variance is that of the regression estimator in two phases
    (Cochran, Sampling Techniques, 1977, 12.6): what is left over n, and what the slope explains
    over the count of the known ones. With no more known than seen nothing is gained.
    """
    values, given = finite(differences, "differences"), finite(covariate, "covariate")
    alike({"differences": len(values), "covariate": len(given)})
    plain = paired(values, alpha)
    if isinstance(plain, CannotSay):
        return plain
    count = len(values)
    if count < 4:
        return CannotSay(f"an adjustment needs four pairs, there are {count}")
    if known.count < count:
        raise ExperimentError(f"known has {known.count} units, fewer than the {count} pairs")
    apart = given - given.mean()
    square = float((apart**2).sum())
    theta = float((apart * (values - values.mean())).sum()) / square if square > 0.0 else 0.0
    left = values - values.mean() - theta * apart
    residual = float((left**2).sum()) / (count - 2)
    variance = residual / count + theta * theta * known.variance / known.count
    mean = plain.difference.estimate - theta * (float(given.mean()) - known.mean)
    adjusted = _student(mean, mean, variance, count - 1, alpha, count)
    before = plain.standard_error**2
    return Foretold(adjusted, plain, theta, 1.0 - variance / before if before > 0.0 else 0.0)


def bounded_mean(values: ArrayLike, alpha: float = 0.05) -> Interval | CannotSay:
    """The mean of scores in [0, 1], one a unit, within [0, 1] whatever they are.

    Two units at either end are added (Agresti and Coull, The American Statistician 52, 1998, for
    shares), so that all right or all wrong has an interval as well.
    """
    level(alpha)
    scores = within(finite(values, "values"), "values", 0.0, 1.0)
    if len(scores) < 2:
        return CannotSay(f"a mean needs two values, there are {len(scores)}")
    count = len(scores) + 4
    centre = (float(scores.sum()) + 2.0) / count
    square = (float((scores**2).sum()) + 2.0) / count - centre * centre
    reach = float(stats.t.ppf(1.0 - alpha / 2.0, len(scores) - 1)) * math.sqrt(square / count)
    mean = float(scores.mean())
    low, high = max(0.0, centre - reach), min(1.0, centre + reach)
    return Interval(mean, min(low, mean), max(high, mean))


def smallest_shown(sd: float, pairs: int, asked: Comparison) -> float | CannotSay:
    """The smallest mean difference that ``pairs`` show with ``asked.power``; ``sd`` of one pair's
    difference.
    """
    positive(sd, "sd")
    if pairs < 2:
        return CannotSay(f"a paired difference needs two pairs, there are {pairs}")
    return asked.reach * sd / math.sqrt(pairs)


def pairs_for(effect: float, sd: float, asked: Comparison) -> int:
    """Pairs that show a mean difference with ``asked.power``; ``sd`` of one pair's difference."""
    positive(abs(effect), "effect")
    return math.ceil((asked.reach * positive(sd, "sd") / effect) ** 2)


def sd_of_difference(sd: float, correlation: float) -> float:
    """Of two scores with one ``sd`` whose correlation over the units is ``correlation``."""
    if not -1.0 <= correlation < 1.0:
        raise ExperimentError(f"correlation is {correlation!r}: give one from -1 to below 1")
    return positive(sd, "sd") * math.sqrt(2.0 * (1.0 - correlation))


def _student(
    mean: float, centre: float, variance: float, seen: int, alpha: float, pairs: int = 0
) -> Paired:
    error, degrees = math.sqrt(max(0.0, variance)), seen - 1
    reach = float(stats.t.ppf(1.0 - alpha / 2.0, degrees)) * error
    if error > 0.0:
        p_value = 2.0 * float(stats.t.sf(abs(centre) / error, degrees))
    else:
        p_value = 0.0 if centre else 1.0
    low, high = min(centre - reach, mean), max(centre + reach, mean)
    return Paired(Interval(mean, low, high), error, float(degrees), p_value, pairs or seen)


def pair_difference(one: ArrayLike, other: ArrayLike) -> np.ndarray:
    """Differences of the units [n] that have both; NaN stands for a unit that lacks one."""
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    alike({"one": len(first), "other": len(second)})
    gap = first - second
    found: np.ndarray = gap[np.isfinite(gap)]
    return found
