"""How far the asymptotic sequence carries where values have heavy tails, and what a cap does."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy import stats

from experiments.offline.peeking import Arm
from experiments.statistics.mean_sequences import (
    BURN_IN,
    AsymptoticSequence,
    deviation_of_difference,
)

LOOKS, BLOCK, AT_ONCE = 100, 20, 100
SHARES = (0.5, 0.1, 0.02)
CAPPED = 0.99  # the percentile of the control at which values are cut


def capped_mean(sigma: float, factor: float, cap: float) -> float:
    """The mean of a lognormal of that sigma times ``factor``, cut at ``cap``."""
    edge = math.log(cap / factor) / sigma
    whole = factor * math.exp(sigma**2 / 2.0)
    return float(whole * stats.norm.cdf(edge - sigma) + cap * stats.norm.sf(edge))


def single(sigma: float, cap: bool, sims: int, rng: np.random.Generator) -> int:
    """Runs of 10,000 values in which a mean's sequence leaves the truth out at one of 100 looks."""
    edge = math.exp(sigma * stats.norm.ppf(CAPPED)) if cap else math.inf
    truth = capped_mean(sigma, 1.0, edge) if cap else math.exp(sigma**2 / 2.0)
    missed = 0
    for _ in range(0, sims, AT_ONCE):
        values = np.exp(sigma * rng.standard_normal((AT_ONCE, LOOKS, 5 * BLOCK)))
        arm = Arm(np.minimum(values, edge))
        mean, variance = arm.sums()
        reach = AsymptoticSequence(best_at=float(arm.count[-1])).reach(arm.count, np.sqrt(variance))
        missed += int((np.abs(mean - truth) > reach).any(1).sum())
    return missed


def differences(
    sigma: float, asked: tuple[float, float, bool], sims: int, rng: np.random.Generator
) -> Iterator[int]:
    """Runs in which a difference is left out at a look, as shipped and with each arm's own
    variance; ``asked``: what the treatment multiplies by, its share, whether values are cut.
    """
    factor, share, cap = asked
    edge = math.exp(sigma * stats.norm.ppf(CAPPED)) if cap else math.inf
    truth = (factor - 1.0) * math.exp(sigma**2 / 2.0)
    if cap:
        truth = capped_mean(sigma, factor, edge) - capped_mean(sigma, 1.0, edge)
    more = round(BLOCK * (1.0 - share) / share)
    missed = [0, 0]
    for _ in range(0, sims, AT_ONCE):
        arms = [
            Arm(np.minimum(np.exp(sigma * rng.standard_normal((AT_ONCE, LOOKS, b))) * by, edge))
            for b, by in ((BLOCK, factor), (more, 1.0))
        ]
        (m, v), (k, u) = arms[0].sums(), arms[1].sums()
        n, c = arms[0].count, arms[1].count
        sequence = AsymptoticSequence(best_at=float(n[-1] + c[-1]))
        seen = np.minimum(n, c) >= BURN_IN
        held, own = deviation_of_difference((n, v), (c, u)), np.sqrt((n + c) * (v / n + u / c))
        for place, deviation in enumerate((held, own)):
            out = np.abs(m - k - truth) > sequence.reach(n + c, deviation)
            missed[place] += int((out & seen).any(1).sum())
    yield from missed
