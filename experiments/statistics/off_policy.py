"""What another policy would have earned on logged decisions, for a single look; or why not said."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.adaptive import (
    LoggedDecisions,
    doubly_robust_terms,
    effective_size,
    no_support,
    variance_terms,
)
from experiments.statistics.inputs import Floats, distributions, level, positive
from experiments.statistics.moments import Interval

THRESHOLDS = 20  # candidates of SWITCH, quantiles of the weights


class Estimator(StrEnum):
    """How rewards of logged decisions are turned into another policy's."""

    IPS = "ips"  # inverse propensity: mean of w R (Horvitz and Thompson, JASA 1952)
    SNIPS = "snips"  # self-normalised: sum w R / sum w (Swaminathan and Joachims, NeurIPS 2015)
    DR = "dr"  # doubly robust (Dudík, Erhan, Langford, Li, Stat. Sci. 2014)
    SWITCH = "switch"  # doubly robust where w is small, the predictions elsewhere


@dataclass(frozen=True, slots=True)
class Limits:
    """Where estimates are refused: a few heavy rows would speak for all."""

    least_ess: float = 100.0
    least_ess_share: float = 0.05
    greatest_weight: float = 1_000.0

    def __post_init__(self) -> None:
        for name in ("least_ess", "greatest_weight"):
            positive(getattr(self, name), name)
        if not 0.0 <= self.least_ess_share <= 1.0:
            raise ExperimentError(f"least_ess_share is {self.least_ess_share!r}: give 0 to 1")


LIMITS = Limits()
# Where an interval is reported and nothing passes a gate, and the effective sample is held below
# what the propensities promise: so many decisions may be few of all of them.
REPORTED = Limits(least_ess=200.0, least_ess_share=0.005)


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """The mean reward of the target policy, and what it rests on.

    ``ess``: the effective sample size; ``greatest_weight``: of any row; ``threshold``: where
    SWITCH turned to the predictions, else None.
    """

    mean: Interval
    estimator: Estimator
    ess: float
    greatest_weight: float
    threshold: float | None = None


def off_policy_value(
    log: LoggedDecisions,
    target: ArrayLike,
    estimator: Estimator = Estimator.DR,
    alpha: float = 0.05,
    limits: Limits = LIMITS,
) -> PolicyValue | CannotSay:
    """The mean reward of ``target`` [n, K] with an interval for one look at a fixed time.

    Refused where the target asks for an arm that had no chance, where the effective sample is
    below the limits, and where a weight is above them (not for SWITCH, which leaves it out). The
    variance of doubly robust terms is held above the mean of ``variance_terms``.
    """
    level(alpha)
    wanted = distributions(target, "target")
    if wanted.shape != log.propensities.shape:
        raise ExperimentError(f"target is {wanted.shape}: give {log.propensities.shape}")
    weights = log.at_drawn(wanted) / log.at_drawn(log.propensities)
    refused = _refused(log, wanted, weights, estimator, limits)
    if refused is not None:
        return refused
    threshold, held = None, 0.0
    if estimator is Estimator.SWITCH:
        threshold = switch_threshold(log, wanted)
        terms = _switch_terms(log, wanted, weights, threshold)
        kept = np.where(_ratios(log, wanted) <= threshold, wanted, 0.0)
        held = float(variance_terms(log, kept).mean())
    elif estimator is Estimator.DR:
        terms = doubly_robust_terms(log, wanted)
        held = float(variance_terms(log, wanted).mean())
    elif estimator is Estimator.IPS:
        terms = weights * log.rewards
    else:
        mean = float((weights * log.rewards).sum() / weights.sum())
        # the ratio's influence (delta method), around the ratio
        terms = mean + weights * (log.rewards - mean) / float(weights.mean())
    mean, count = float(terms.mean()), len(terms)
    error = math.sqrt(max(float(terms.var(ddof=1)), held) / count)
    reach = float(stats.t.ppf(1.0 - alpha / 2.0, count - 1)) * error
    return PolicyValue(
        Interval(mean, mean - reach, mean + reach),
        estimator,
        effective_size(weights),
        float(weights.max()),
        threshold,
    )


def switch_threshold(log: LoggedDecisions, target: Floats, greatest_error: float = 1.0) -> float:
    """The weight beyond which predictions are trusted more than rewards.

    Of quantiles of the weights, and of none being too great, the one with the least bound on the
    mean squared error: variance, plus the square of the greatest bias that the predictions could
    add, ``greatest_error`` times the target's mass beyond it (Wang, Agarwal, Dudík, ICML 2017).
    """
    positive(greatest_error, "greatest_error")
    weights = log.at_drawn(target) / log.at_drawn(log.propensities)
    ratios = _ratios(log, target)
    best, least = math.inf, math.inf
    levels = np.quantile(weights, np.linspace(0.0, 1.0, THRESHOLDS + 1))
    for threshold in [*np.unique(levels).tolist(), math.inf]:
        terms = _switch_terms(log, target, weights, threshold)
        bias = greatest_error * float((target * (ratios > threshold)).sum(1).mean())
        bound = float(terms.var(ddof=1)) / len(log) + bias**2
        if bound <= least:
            best, least = threshold, bound
    return best


def _switch_terms(
    log: LoggedDecisions, target: Floats, weights: Floats, threshold: float
) -> Floats:
    off = log.rewards - log.at_drawn(log.predictions)
    kept = np.where(weights <= threshold, weights, 0.0)
    terms: Floats = (target * log.predictions).sum(1) + kept * off
    return terms


def _ratios(log: LoggedDecisions, target: Floats) -> Floats:
    """Target over propensity, [n, K]; 0 where the target is."""
    e = np.maximum(log.propensities, 1e-300)
    ratios: Floats = np.where(target > 0.0, target / e, 0.0)
    return ratios


def _refused(
    log: LoggedDecisions, target: Floats, weights: Floats, estimator: Estimator, limits: Limits
) -> CannotSay | None:
    if len(log) < 2:
        return CannotSay(f"two rows are needed, there are {len(log)}")
    void = no_support(log, target)
    if void is not None:
        return void
    needed, ess = max(limits.least_ess, limits.least_ess_share * len(log)), effective_size(weights)
    if ess < needed:
        return CannotSay(f"an effective sample of {needed:.0f} is needed, it is {ess:.1f}")
    greatest = float(weights.max())
    if greatest > limits.greatest_weight and estimator is not Estimator.SWITCH:
        return CannotSay(
            f"a row weighs {greatest:.4g}, at most {limits.greatest_weight:g} is allowed: "
            "use SWITCH, or a target nearer to what was logged"
        )
    return None
