"""What one deployment for all draws of a task would have cost and earned, from the draws alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from experiments.errors import CannotSay
from experiments.offline.rules import always
from experiments.offline.savings import DrawnRequests, foretold, paired
from experiments.opportunities.changes import Tier
from experiments.opportunities.traffic import Traffic
from experiments.statistics.adaptive import doubly_robust_terms, variance_terms
from experiments.statistics.comparison import footing
from experiments.statistics.inputs import Floats, Ints
from experiments.statistics.moments import Interval
from experiments.statistics.off_policy import REPORTED, Limits

LEAST_RATED = 30


@dataclass(frozen=True, slots=True, eq=False)
class Tiered:
    """``draws`` [m]: places; ``saved`` [m]: micro-dollars a draw with all that it held (doubly
    robust, so single ones mean nothing); ``error``: of their sum; ``quality``: the change of a
    rated answer; ``requests`` that it decided; ``ess``: the effective sample.
    """

    draws: Ints
    saved: Ints
    error: float
    quality: Interval | CannotSay
    requests: int
    ess: float


def tiered(
    traffic: Traffic, cost: Ints, change: Tier, alpha: float, limits: Limits = REPORTED
) -> Tiered | CannotSay:
    """``cost`` [n]: what is left of each request's bill. Refused where the history cannot carry it:
    no chance, a small effective sample, a weight beyond the limit.
    """
    all_draws = traffic.draws
    rows = all_draws.task == change.task
    if not rows.any():
        return CannotSay(f"nothing of {change.task} was drawn")
    if change.deployment not in all_draws.names:
        return CannotSay(f"{change.deployment} had no chance in any draw")
    drawn = all_draws.of(rows)
    if change.deployment not in drawn.names:
        return CannotSay(f"{change.deployment} had no chance in any draw of {change.task}")
    target = always(drawn, change.deployment)
    had = drawn.propensities[:, drawn.names.index(change.deployment)] > 0.0
    if had.mean() < 0.5:
        return CannotSay(f"{change.deployment} had a chance in {had.mean():.1%} of the draws only")
    base = footing(drawn.drawn, drawn.propensities, target)
    thin = base.refusal(limits)
    if thin is not None:
        return thin
    known = traffic.draw >= 0
    sums = np.bincount(
        traffic.draw[known], weights=cost[known].astype(np.float64), minlength=len(all_draws)
    )[rows]
    every = np.ones(len(drawn), dtype=np.bool_)
    log = foretold(drawn, every, (sums, drawn.expected_cost_usd * 1e6 * traffic.one_in))
    shift = log.propensities - target  # what was, less what would have been
    terms = doubly_robust_terms(log, shift)
    held = float(variance_terms(log, shift).mean())
    error = math.sqrt(max(float(terms.var(ddof=1)), held) * len(terms))
    places = np.flatnonzero(rows)
    requests = int(np.isin(traffic.draw[known], places).sum()) * traffic.one_in
    saved = np.rint(terms).astype(np.int64)
    return Tiered(places, saved, error, _quality(drawn, target, alpha, limits), requests, base.ess)


def _quality(
    drawn: DrawnRequests, target: Floats, alpha: float, limits: Limits
) -> Interval | CannotSay:
    rated = np.isfinite(drawn.quality)
    if int(rated.sum()) < LEAST_RATED:
        return CannotSay(f"{LEAST_RATED} rated answers are needed, there are {int(rated.sum())}")
    asked = target[rated]
    thin = footing(drawn.drawn[rated], drawn.propensities[rated], asked).refusal(limits)
    if thin is not None:
        return thin
    log = foretold(drawn, rated, (drawn.quality, drawn.expected_quality))
    return paired(log, asked - log.propensities, alpha)
