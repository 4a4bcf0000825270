"""The difference of two randomised arms whose values are bounded, at every look."""

from __future__ import annotations

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.fading_means import share_interval
from experiments.statistics.inputs import level
from experiments.statistics.mean_sequences import AsymptoticSequence
from experiments.statistics.moments import Interval, Moments


def difference(
    one: Moments, two: Moments, alpha: float = 0.05, best_at: float = 400.0, least: float = 0.0
) -> Interval:
    """Of ``one``'s mean less ``two``'s, values in [least, 1]; it covers at all looks together with
    1 - ``alpha``. Who is drawn to which arm must not depend on what comes of it.

    Exact by each arm's own sequence (a quarter of ``alpha`` each; Robbins' mixture) and, from the
    burn-in on, by the asymptotic sequence of the difference (half of it): the narrower holds, for
    both hold together. Where an arm has no value yet, the whole range.
    """
    level(alpha)
    if not least < 1.0:
        raise ExperimentError(f"least is {least!r}: values lie from it to 1")
    width = 1.0 - least
    a, b = (share_interval(x.count, (x.mean - least) / width, alpha / 4.0) for x in (one, two))
    low, high = width * (a.low - b.high), width * (a.high - b.low)
    estimate = one.mean - two.mean if one.count and two.count else 0.0
    found = AsymptoticSequence(alpha / 2.0, best_at).of_difference(one, two)
    if not isinstance(found, CannotSay):
        low, high = max(low, found.low), min(high, found.high)
    return Interval(estimate, min(low, high), max(low, high))
