"""Another policy beside the logged one on the same decisions: values and their difference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from experiments.errors import CannotSay
from experiments.statistics.adaptive import (
    LoggedDecisions,
    doubly_robust_terms,
    effective_size,
    policy_value,
    variance_terms,
)
from experiments.statistics.bounded_means import WeightedSequence
from experiments.statistics.inputs import Floats, Ints, finite, within
from experiments.statistics.mean_sequences import AsymptoticSequence
from experiments.statistics.moments import Interval, Moments
from experiments.statistics.off_policy import (
    LIMITS,
    Estimator,
    Limits,
    PolicyValue,
    off_policy_value,
)

ALPHA = 0.05
# Two metrics can each refuse a policy: half of the error to each.
SEQUENCE = AsymptoticSequence(ALPHA / 2.0)


@dataclass(frozen=True, slots=True)
class Footing:
    """What an estimate rests on. ``ess``: the effective sample, of the weights that were drawn or
    as the propensities promise it, whichever is less: arms that are seldom drawn and weigh much
    are missed by the first for long, and rows that are not there yet look like rows that agree.
    ``unsupported``: rows by arm that the target asks for though it had no chance;
    ``unsupported_rows``: rows with any.
    """

    rows: int
    ess: float
    greatest_weight: float
    unsupported_rows: int
    unsupported: Mapping[int, int]

    @property
    def ess_share(self) -> float:
        """The effective sample a row; 1 where the policies are alike."""
        return self.ess / self.rows if self.rows else 0.0

    def refusal(self, limits: Limits = LIMITS) -> CannotSay | None:
        """Why nothing can be said on it, None where something can."""
        needed = max(limits.least_ess, limits.least_ess_share * self.rows)
        if self.rows < 2:
            return CannotSay(f"two rows are needed, there are {self.rows}")
        if self.unsupported_rows:
            return CannotSay(
                f"in {self.unsupported_rows} of {self.rows} rows an arm is asked for that had no "
                "chance"
            )
        if self.ess < needed:
            return CannotSay(f"an effective sample of {needed:.0f} is needed, it is {self.ess:.1f}")
        if self.greatest_weight > limits.greatest_weight:
            return CannotSay(
                f"a row weighs {self.greatest_weight:.4g}, at most {limits.greatest_weight:g} is "
                "allowed"
            )
        return None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The target beside the logged policy, in the metric's values on [0, 1].

    ``values``: by estimator, for one look; ``at_any_look`` (doubly robust) and ``certified``
    (exact, wide): confidence sequences; ``logged``: the mean as it was; ``difference`` for one
    look and ``difference_at_any_look``: target less logged, of paired doubly robust terms.
    """

    logged: Interval
    values: Mapping[Estimator, PolicyValue | CannotSay]
    at_any_look: Interval | CannotSay
    certified: Interval | CannotSay
    difference: Interval
    difference_at_any_look: Interval | CannotSay


def footing(drawn: Ints, propensities: Floats, target: Floats) -> Footing:
    """From the arms drawn [n], the logged propensities and the target's probabilities [n, K]."""
    rows = np.arange(len(target))
    weights = target[rows, drawn] / propensities[rows, drawn]
    void = (target > 0.0) & (propensities <= 0.0)
    squares = np.where(void, 0.0, target**2) / np.where(propensities > 0.0, propensities, 1.0)
    promised = len(target) ** 2 / max(float(squares.sum()), float(len(target)), 1.0)
    return Footing(
        rows=len(target),
        ess=min(effective_size(weights), promised),
        greatest_weight=float(weights.max(initial=0.0)),
        unsupported_rows=int(void.any(1).sum()),
        unsupported={int(arm): int(void[:, arm].sum()) for arm in np.flatnonzero(void.any(0))},
    )


def compare(
    log: LoggedDecisions,
    target: Floats,
    limits: Limits = LIMITS,
    sequence: AsymptoticSequence = SEQUENCE,
) -> Comparison | CannotSay:
    """All estimates of ``target`` [n, K] beside the logged policy; rewards lie in [0, 1].

    Refused as ``Footing.refusal`` says.
    """
    within(log.rewards, "rewards", 0.0, 1.0)
    refused = footing(log.drawn, log.propensities, target).refusal(limits)
    if refused is not None:
        return refused
    weights = log.at_drawn(target) / log.at_drawn(log.propensities)
    once, always = _difference(log, target, sequence)
    return Comparison(
        logged=Moments.of(log.rewards).interval(1.0 - ALPHA),
        values={each: off_policy_value(log, target, each, ALPHA, limits) for each in Estimator},
        at_any_look=policy_value(log, target, sequence),
        certified=WeightedSequence().add(weights, log.rewards).interval(ALPHA),
        difference=once,
        difference_at_any_look=always,
    )


def _difference(
    log: LoggedDecisions, target: Floats, sequence: AsymptoticSequence
) -> tuple[Interval, Interval | CannotSay]:
    """Target less logged: sum_a (pi - e) q + (w - 1)(R - q), whose mean given the past is the
    difference of the two policies' values at that decision.
    """
    change = target - log.propensities
    if not change.any():
        alike = Interval(0.0, 0.0, 0.0)
        return alike, alike
    terms = doubly_robust_terms(log, change)
    held = float(variance_terms(log, change).mean())
    count, mean = len(terms), float(terms.mean())
    error = math.sqrt(max(float(terms.var(ddof=1)), held) / count)
    reach = float(stats.t.ppf(1.0 - ALPHA / 2.0, count - 1)) * error
    return Interval(mean, mean - reach, mean + reach), sequence.of_terms(terms, held)


def foreseen(log: LoggedDecisions, candidates: Sequence[Floats]) -> Floats:
    """Of several predictions [n, K] at each row those that have erred least before it.

    Which one is followed depends on earlier rows alone, so the choice is as predictable as they.
    """
    errors = []
    for each in candidates:
        off = log.rewards - log.at_drawn(finite(each, "candidates", 2))
        errors.append(np.cumsum(off**2) - off**2)
    best = np.argmin(np.array(errors), axis=0)
    taken: Floats = np.array(candidates)[best, np.arange(len(log))]
    return taken
