"""Evidence from an estimate over its own error: e-values of t and z ratios for a single look."""

from __future__ import annotations

import math

from scipy import stats

from experiments.errors import ExperimentError
from experiments.statistics.mean_sequences import tuned

SPREAD = tuned(0.05)  # the alternative's variance in squared standard errors, fixed beforehand


def two_sided(ratio: float, degrees: float = math.inf) -> float:
    """The logarithm of an e-value against a mean of 0, from a Student ratio.

    The likelihood ratio of the ratio itself, between an effect drawn as N(0, SPREAD) standard
    errors and none: exactly of mean 1 under the null where the ratio is Student's (Pérez-Ortiz,
    Lardy, de Heide, Grünwald, Ann. Stat. 2024, with the right Haar prior on the scale).
    """
    _check(ratio, degrees)
    grown, square = 1.0 + SPREAD, ratio**2
    if math.isinf(degrees):
        return square * SPREAD / (2.0 * grown) - math.log(grown) / 2.0
    lifted = math.log1p(square / degrees) - math.log1p(square / (degrees * grown))
    return (degrees + 1.0) / 2.0 * lifted - math.log(grown) / 2.0


def above(ratio: float) -> float:
    """The logarithm of an e-value against a mean of at most 0, from a normal ratio.

    The effect is drawn as a half normal; the likelihood ratio grows with the ratio, so its mean is
    at most 1 under every mean below 0 too.
    """
    _check(ratio, math.inf)
    reach = ratio * math.sqrt(SPREAD / (1.0 + SPREAD))
    return two_sided(ratio) + math.log(2.0) + float(stats.norm.logcdf(reach))


def _check(ratio: float, degrees: float) -> None:
    if not math.isfinite(ratio):
        raise ExperimentError(f"ratio is {ratio!r}: give a finite estimate over its error")
    if not degrees > 0.0:
        raise ExperimentError(f"degrees is {degrees!r}: give more than 0")
