"""Intervals of means whose evidence fades, looked at whenever somebody looks."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy import optimize, special

from experiments.errors import CannotSay
from experiments.statistics.inputs import level
from experiments.statistics.mean_sequences import AsymptoticSequence
from experiments.statistics.moments import Interval

LEAST_BY_VARIANCE = 100.0  # values from which the variance is taken for known
LEAST_UNBOUNDED = 10.0
BEST_AT = 200.0
FLOOR = 0.05  # of the mean: the least deviation of a value that has no bounds


def share_interval(n: float, mean: float, alpha: float = 0.05) -> Interval:
    """Of the mean of values in [0, 1] (shares and rates too), exact at every look.

    Robbins' mixture over a uniform prior: {m : alpha Beta(1 + s, 1 + f) <= m^s (1 - m)^f}. The
    likelihood ratio of a coin is convex in the value, so what holds for coins holds for whatever
    lies in [0, 1] (Hoeffding 1963). ``n`` may be a sum of weights; it is then approximate.
    """
    level(alpha)
    if n <= 0.0:
        return Interval(math.nan, 0.0, 1.0)
    mean = min(max(mean, 0.0), 1.0)
    yes, no = n * mean, n * (1.0 - mean)
    mixture = float(special.betaln(1.0 + yes, 1.0 + no)) + math.log(alpha)

    def beyond(at: float) -> float:
        return mixture - float(special.xlogy(yes, at) + special.xlog1py(no, -at))

    low = 0.0 if beyond(0.0) <= 0.0 or mean == 0.0 else _root(beyond, 0.0, mean)
    high = 1.0 if beyond(1.0) <= 0.0 or mean == 1.0 else _root(beyond, mean, 1.0)
    return Interval(mean, low, high)


def _root(beyond: Callable[[float], float], low: float, high: float) -> float:
    edge = 1e-12
    ends = max(low, edge), min(high, 1.0 - edge)
    if beyond(ends[0]) * beyond(ends[1]) > 0.0:
        return low if low == 0.0 else high
    return float(optimize.brentq(beyond, *ends, xtol=1e-9))


def bounded_interval(n: float, mean: float, variance: float, alpha: float = 0.05) -> Interval:
    """Of the mean of values in [0, 1]: exact below ``LEAST_BY_VARIANCE`` values and where little
    lies at one end, else by their variance (asymptotically). Each has half of ``alpha``, so it
    does not matter which one is used when.
    """
    if n < LEAST_BY_VARIANCE or n * min(mean, 1.0 - mean) < LEAST_UNBOUNDED:
        return share_interval(n, mean, alpha / 2.0)
    held = (n * variance + 0.25) / (n + 1.0)  # values that were all alike are not for ever
    reach = float(AsymptoticSequence(alpha / 2.0, BEST_AT).reach(n, math.sqrt(held)))
    return Interval(mean, max(mean - reach, 0.0), min(mean + reach, 1.0))


def positive_interval(
    n: float, mean: float, variance: float, alpha: float = 0.05
) -> Interval | CannotSay:
    """Of the mean of values from 0 up (seconds, money), by their variance: asymptotic, and with
    heavy tails too narrow until the tail has been seen.
    """
    level(alpha)
    if n < LEAST_UNBOUNDED:
        return CannotSay(f"{LEAST_UNBOUNDED:.0f} values are needed, there are {n:.3g}")
    deviation = max(math.sqrt(variance * n / (n - 1.0)), FLOOR * mean)
    reach = float(AsymptoticSequence(alpha, BEST_AT).reach(n, deviation))
    return Interval(mean, max(mean - reach, 0.0), mean + reach)
