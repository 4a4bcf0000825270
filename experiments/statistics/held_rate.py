"""Is a rate still below what is allowed? A bound at any look, and a test for its having risen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.bounded_means import betting_interval
from experiments.statistics.inputs import Floats, finite, level, within
from experiments.statistics.moments import Interval

MULTIPLES = (1.5, 2.0, 3.0, 5.0)  # of what is allowed: to these it may have risen
FALSE_ALARMS = 1_000.0  # values between false alarms, at the least, on average
UNKNOWN = Interval(math.nan, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class HeldRate:
    """``interval``: of the rate, at any look; ``held``: it is surely at most what is allowed;
    ``rose``: the last values say that it no longer is; ``broken``: why it is not held, in words.
    """

    count: int
    events: int
    interval: Interval
    held: bool
    rose: bool
    broken: str


def held_rate(events: ArrayLike, allowed: float, alpha: float = 0.05) -> HeldRate:
    """Of values 0 or 1 in order [t], whose mean given the past is the rate.

    The bound is the confidence sequence by betting, one side at ``alpha``; it takes the rate as one
    number, so after a long good time it gives way late. Hence a second test of the last values
    alone: the sum over all starts of likelihood ratios against ``MULTIPLES`` of the rate allowed
    (Shiryaev and Roberts; as e-detector Shin, Ramdas, Rinaldo 2022, arXiv 2203.03532), with at
    least ``FALSE_ALARMS`` values between false alarms.
    """
    x = within(finite(events, "events"), "events", 0.0, 1.0)
    if not 0.0 < allowed < 1.0:
        raise ExperimentError(f"allowed is {allowed!r}: give a rate above 0 and below 1")
    level(alpha)
    if not len(x):
        return HeldRate(0, 0, UNKNOWN, False, False, "nothing was looked at yet")
    found = betting_interval(x, min(2.0 * alpha, 0.5))
    rose = bool(risen(x, allowed).max() >= math.log(FALSE_ALARMS))
    count, bad = len(x), int(x.sum())
    if isinstance(found, CannotSay):
        return HeldRate(count, bad, UNKNOWN, False, rose, str(found))
    held = found.high <= allowed
    broken = "" if held else f"the rate may be {found.high:.3f}, above {allowed:g}"
    if rose:
        broken = f"the last of {count} values say that the rate rose above {allowed:g}"
    return HeldRate(count, bad, found, held and not rose, rose, broken)


def risen(events: ArrayLike, allowed: float) -> Floats:
    """The logarithm of the evidence that the rate is above what is allowed since some time, at
    each value [t]: over starts summed, over multiples averaged.
    """
    x = finite(events, "events")
    told: Floats = np.full(len(x), -np.inf)
    rates = [min(each * allowed, (1.0 + allowed) / 2.0) for each in MULTIPLES]
    for rate in rates:
        good, bad = math.log((1.0 - rate) / (1.0 - allowed)), math.log(rate / allowed)
        sums = np.cumsum(np.where(x > 0.5, bad, good))
        before = np.concatenate([[0.0], sums[:-1]])
        told = np.logaddexp(told, sums + np.logaddexp.accumulate(-before))
    return told - math.log(len(rates))
