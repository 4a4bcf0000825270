"""Means and differences from data that a learning policy collected: doubly robust terms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.inputs import Floats, alike, arms, distributions, finite, level
from experiments.statistics.mean_sequences import AsymptoticSequence
from experiments.statistics.moments import Interval

LEAST_DRAWS = 30  # of an arm, before it is compared
SHRUNK = 20.0  # draws' worth of the pooled residual variance in each arm's own


@dataclass(frozen=True, slots=True, eq=False)
class LoggedDecisions:
    """Randomised decisions in their order, with what came of them.

    ``drawn`` [n]: the arm; ``propensities`` [n, K]: as logged, 0 where not eligible; ``rewards``
    [n]; ``predictions`` [n, K]: of the reward of each arm, made from what came *before* the
    decision (fitted later, or on the same rows, they void every guarantee). Without predictions
    pass zeros: less precise, as valid.
    """

    drawn: NDArray[np.int64]
    propensities: Floats
    rewards: Floats
    predictions: Floats

    def __post_init__(self) -> None:
        e = distributions(self.propensities, "propensities")
        drawn = arms(self.drawn, "drawn", e.shape[1])
        r, q = finite(self.rewards, "rewards"), finite(self.predictions, "predictions", 2)
        alike({"drawn": len(drawn), "propensities": len(e), "rewards": len(r),
               "predictions": len(q)})  # fmt: skip
        if q.shape != e.shape:
            raise ExperimentError(f"predictions are {q.shape}: give one for each arm, {e.shape}")
        impossible = np.flatnonzero(e[np.arange(len(e)), drawn] <= 0.0)
        if len(impossible):
            raise ExperimentError(
                f"propensities give the arm drawn in row {impossible[0]} no chance: "
                "leave rows out that were not randomised"
            )
        for name, array in (("drawn", drawn), ("propensities", e), ("rewards", r),
                            ("predictions", q)):  # fmt: skip
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.drawn)

    @property
    def number(self) -> int:
        """How many arms there are."""
        return int(self.propensities.shape[1])

    def at_drawn(self, values: Floats) -> Floats:
        """Of values [n, K] those of the arms that were drawn, [n]."""
        taken: Floats = values[np.arange(len(self)), self.drawn]
        return taken


def running_predictions(
    drawn: ArrayLike, rewards: ArrayLike, number: int, prior: float = 0.5
) -> Floats:
    """Predictions [n, K] that only look back: each arm's mean so far, the prior as one reward."""
    arm, r = arms(drawn, "drawn", number), finite(rewards, "rewards")
    alike({"drawn": len(arm), "rewards": len(r)})
    hits = np.zeros((len(arm), number))
    hits[np.arange(len(arm)), arm] = 1.0
    gained = hits * r[:, None]
    before: Floats = (prior + np.cumsum(gained, 0) - gained) / (1.0 + np.cumsum(hits, 0) - hits)
    return before


def doubly_robust_terms(log: LoggedDecisions, weights: Floats) -> Floats:
    """Terms [n] whose mean given the past is sum_a weights[., a] E[reward of a].

    Augmented inverse-propensity weighting (Robins, Rotnitzky, Zhao, JASA 1994): the prediction,
    plus the drawn arm's error over its propensity. ``weights`` [n, K]: a target policy's
    probabilities, or +1 and -1 for two arms' difference.
    """
    wanted = finite(weights, "weights", 2)
    if wanted.shape != log.propensities.shape:
        raise ExperimentError(f"weights are {wanted.shape}: give {log.propensities.shape}")
    off = log.rewards - log.at_drawn(log.predictions)
    ratio = log.at_drawn(wanted) / log.at_drawn(log.propensities)
    terms: Floats = (wanted * log.predictions).sum(1) + ratio * off
    return terms


def variance_terms(log: LoggedDecisions, weights: Floats) -> Floats:
    """Of each row sum_a weights_a^2 v_a / e_a, [n]: their mean is what the variance must be.

    A good arm that is rarely drawn shows its failures late: until then the terms' own variance is
    far too small, and the variance is held above this mean. v, the reward's variance, is q(1 - q)
    for rewards of 0 and 1, else the arm's mean squared residual, shrunk towards that of all arms.
    An empirical remedy, not a theorem.
    """
    e = np.where(weights != 0.0, log.propensities, 1.0)
    held: Floats = (weights**2 * _reward_variances(log) / e).sum(1)
    return held


def contrast(
    log: LoggedDecisions, arm: int, other: int, sequence: AsymptoticSequence
) -> Interval | CannotSay:
    """The mean reward of ``arm`` less that of ``other``, at every look, though a policy learned.

    The asymptotic confidence sequence over doubly robust terms (Waudby-Smith et al., arXiv
    2210.10768; Cook, Mishler, Ramdas, arXiv 2311.18274), with the variance held above
    the mean of ``variance_terms``. Cannot say where an arm had no chance, or fewer draws than
    ``LEAST_DRAWS``.
    """
    weights = np.zeros_like(log.propensities)
    for chosen, sign in ((arm, 1.0), (other, -1.0)):
        if not 0 <= chosen < log.number:
            raise ExperimentError(f"arm {chosen} is not there: give 0 to {log.number - 1}")
        weights[:, chosen] += sign
    if arm == other:
        raise ExperimentError(f"arm {arm} is compared with itself: give two arms")
    for chosen in (arm, other):
        draws = int((log.drawn == chosen).sum())
        if draws < LEAST_DRAWS:
            return CannotSay(f"arm {chosen} needs {LEAST_DRAWS} draws, it has {draws}")
    return _sequence_of(log, weights, sequence)


def policy_value(
    log: LoggedDecisions, target: ArrayLike, sequence: AsymptoticSequence
) -> Interval | CannotSay:
    """The mean reward that another policy would have earned, at every look, as ``contrast``.

    ``target`` [n, K]: its probabilities for the same decisions, eligible arms only.
    """
    wanted = distributions(target, "target")
    if wanted.shape != log.propensities.shape:
        raise ExperimentError(f"target is {wanted.shape}: give {log.propensities.shape}")
    ess = effective_size(log.at_drawn(wanted) / log.at_drawn(log.propensities))
    if ess < sequence.burn_in:
        return CannotSay(f"an effective sample of {sequence.burn_in} is needed, it is {ess:.0f}")
    return _sequence_of(log, wanted, sequence)


def weighted_mean(log: LoggedDecisions, arm: int, alpha: float = 0.05) -> Interval | CannotSay:
    """The mean reward of an arm for a single look at a time fixed beforehand.

    Adaptively weighted doubly robust terms, weights in proportion to the root of the propensity
    (Hadad, Hirshberg, Zhan, Wager, Athey, PNAS 2021, arXiv 1911.02768): approximately normal
    though the policy learned, where the plain mean of an arm is biased.
    """
    level(alpha)
    if not 0 <= arm < log.number:
        raise ExperimentError(f"arm {arm} is not there: give 0 to {log.number - 1}")
    weights = np.zeros_like(log.propensities)
    weights[:, arm] = 1.0
    refused = no_support(log, weights)
    if refused is not None:
        return refused
    draws = int((log.drawn == arm).sum())
    if draws < LEAST_DRAWS:
        return CannotSay(f"arm {arm} needs {LEAST_DRAWS} draws, it has {draws}")
    terms = doubly_robust_terms(log, weights)
    h = np.sqrt(log.propensities[:, arm])
    mean = float((h * terms).sum() / h.sum())
    error = math.sqrt(float((h**2 * (terms - mean) ** 2).sum())) / float(h.sum())
    reach = float(stats.norm.ppf(1.0 - alpha / 2.0)) * error
    return Interval(mean, mean - reach, mean + reach)


def effective_size(weights: Floats) -> float:
    """How many equal weights are worth as much: (sum w)^2 / sum w^2 (Kish 1965)."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def no_support(log: LoggedDecisions, weights: Floats) -> CannotSay | None:
    """The refusal where an arm is asked for that had no chance to be drawn, else None."""
    void = ((weights != 0.0) & (log.propensities <= 0.0)).any(1)
    if not void.any():
        return None
    return CannotSay(
        f"in {int(void.sum())} of {len(log)} rows an arm is asked for that had no chance: "
        "keep rows where it was eligible"
    )


def _sequence_of(
    log: LoggedDecisions, weights: Floats, sequence: AsymptoticSequence
) -> Interval | CannotSay:
    refused = no_support(log, weights)
    if refused is not None:
        return refused
    terms = doubly_robust_terms(log, weights)
    return sequence.of_terms(terms, float(variance_terms(log, weights).mean()))


def _reward_variances(log: LoggedDecisions) -> Floats:
    q, r = log.predictions, log.rewards
    binary = bool(np.isin(r, (0.0, 1.0)).all())
    if binary and q.min(initial=0.0) >= 0.0 and q.max(initial=1.0) <= 1.0 and q.any():
        spread: Floats = q * (1.0 - q)
        return spread
    squares = (r - log.at_drawn(q)) ** 2
    count = np.bincount(log.drawn, minlength=log.number)
    total = np.bincount(log.drawn, weights=squares, minlength=log.number)
    own = (SHRUNK * squares.mean() + total) / (SHRUNK + count)
    return np.broadcast_to(own, q.shape)
