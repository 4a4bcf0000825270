"""When to stop climbing: the chance that an answer will do, and what going on is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.interaction import Vector

SIGNALS = ("logprob", "verified", "judged", "below")
# Slopes before anything was rated: of the foreseen chance's odds, then of each signal as coded.
PRIOR_MEAN = (1.0, 0.6, 1.0, 1.5, 0.3)
PRIOR_DEVIATION = (0.5, 0.6, 0.8, 0.8, 0.3)
ARM_DEVIATION = 0.7  # of an arm's own level around what was foreseen
LEAST_TO_TEST = 50
NEWTON_STEPS = 30
MOST_ODDS = 6.0
LEAST = 0.005
COLD, FITTED, ASIDE = "cold", "fitted", "aside"


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of one answer; None where nobody was asked. ``foreseen``: the chance before it
    was made; ``logprob``: the mean logarithm of its tokens' probabilities; ``verified``: 1 for a
    yes to "is it right?", 0 for a no; ``judged``: a judge's score in [0, 1]; ``below``: the chance
    of the answer that was not good enough on the rung before.
    """

    foreseen: float
    logprob: float | None = None
    verified: float | None = None
    judged: float | None = None
    below: float | None = None

    def coded(self) -> tuple[float, float, float, float, float]:
        """As numbers around 0, which stands for what is not known."""
        sure = 0.0
        if self.logprob is not None:
            sure = min(max((math.exp(min(self.logprob, 0.0)) - 0.85) / 0.1, -3.0), 1.5)
        return (
            odds(self.foreseen),
            sure,
            0.0 if self.verified is None else 2.0 * self.verified - 1.0,
            0.0 if self.judged is None else 2.0 * self.judged - 1.0,
            0.0 if self.below is None else max(min(odds(self.below), 3.0), -3.0),
        )


def odds(chance: float) -> float:
    """The logarithm of a chance's odds, bounded."""
    held = min(max(chance, LEAST), 1.0 - LEAST)
    return min(max(math.log(held / (1.0 - held)), -MOST_ODDS), MOST_ODDS)


def chance_of(score: float) -> float:
    """A chance from the logarithm of its odds, held a little away from 0 and 1."""
    found = 1.0 / (1.0 + math.exp(-min(max(score, -30.0), 30.0)))
    return min(max(found, LEAST), 1.0 - LEAST)


@dataclass(frozen=True, slots=True)
class StopRule:
    """Plain numbers. ``level``: each arm's own; ``slopes``: of the coded signals; ``state``:
    ``cold`` (too little was rated to hold it against anything), ``fitted``, ``aside`` (the
    signals foretell newer ratings no better than each arm's share does, so that share is told).
    """

    level: Mapping[str, float]
    slopes: tuple[float, ...] = PRIOR_MEAN
    state: str = COLD
    rated: int = 0
    brier: float = math.nan
    share_brier: float = math.nan

    def chance(self, arm: str, signals: Signals) -> float:
        """That this arm's answer is acceptable."""
        coded = signals.coded()
        return chance_of(
            self.level.get(arm, 0.0)
            + sum(slope * value for slope, value in zip(self.slopes, coded, strict=True))
        )


@dataclass(frozen=True, slots=True)
class Assessed:
    """Rated answers in the order of time: whose [n], their coded signals [n, 5], whether each was
    acceptable [n], and what each weighs [n].
    """

    arms: tuple[str, ...]
    arm: NDArray[np.int64]
    coded: NDArray[np.float64]
    good: Vector
    weight: Vector

    def some(self, which: slice) -> Assessed:
        """Some of them."""
        return Assessed(
            self.arms, self.arm[which], self.coded[which], self.good[which], self.weight[which]
        )


def fitted(answers: Assessed) -> StopRule:
    """The likeliest rule by the prior and what was rated. From ``LEAST_TO_TEST`` answers on it must
    foretell the newest fifth, not seen by it, better than each arm's share (Brier), or the shares
    are told instead.

    Which answers were served, and so could be rated, depends on the signals alone, and these are in
    the regression; so no answer has to be weighed by its chance to be served.
    """
    n = len(answers.good)
    whole = _likeliest(answers)
    if n < LEAST_TO_TEST:
        return StopRule(_named(answers, whole), _slopes(whole), COLD, n)
    cut = n - n // 5
    older, newer = answers.some(slice(0, cut)), answers.some(slice(cut, n))
    told = _chances(newer, _likeliest(older))
    share = _shares(older)[newer.arm]
    brier = float(((told - newer.good) ** 2).mean())
    constant = float(((share - newer.good) ** 2).mean())
    if brier < constant:
        return StopRule(_named(answers, whole), _slopes(whole), FITTED, n, brier, constant)
    shares = _shares(answers)
    level = {name: odds(float(shares[at])) for at, name in enumerate(answers.arms)}
    return StopRule(level, (0.0,) * len(PRIOR_MEAN), ASIDE, n, brier, constant)


def _likeliest(answers: Assessed) -> NDArray[np.float64]:
    """Levels of the arms, then slopes: Newton's method on a strictly concave posterior."""
    k = len(answers.arms)
    x = np.zeros((len(answers.good), k + len(PRIOR_MEAN)))
    x[np.arange(len(answers.good)), answers.arm] = 1.0
    x[:, k:] = answers.coded
    mean = np.concatenate([np.zeros(k), PRIOR_MEAN])
    precision = 1.0 / np.square(np.concatenate([np.full(k, ARM_DEVIATION), PRIOR_DEVIATION]))
    theta = mean.copy()
    for _ in range(NEWTON_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ theta, -30.0, 30.0)))
        slope = x.T @ (answers.weight * (answers.good - p)) - precision * (theta - mean)
        curve = (x * (answers.weight * p * (1.0 - p))[:, None]).T @ x + np.diag(precision)
        step = np.linalg.solve(curve, slope)
        size = float(np.abs(step).max())
        theta = theta + step * min(1.0, 2.0 / max(size, 1e-12))
        if size < 1e-9:
            break
    return theta


def _chances(answers: Assessed, theta: NDArray[np.float64]) -> Vector:
    k = len(answers.arms)
    score = theta[answers.arm] + answers.coded @ theta[k:]
    found: Vector = np.clip(1.0 / (1.0 + np.exp(-np.clip(score, -30.0, 30.0))), LEAST, 1.0 - LEAST)
    return found


def _shares(answers: Assessed) -> Vector:
    """Each arm's acceptable share, drawn a little to a half."""
    good, weight = np.full(len(answers.arms), 0.5), np.ones(len(answers.arms))
    np.add.at(good, answers.arm, answers.good * answers.weight)
    np.add.at(weight, answers.arm, answers.weight)
    found: Vector = good / weight
    return found


def _named(answers: Assessed, theta: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(answers.arms, theta[: len(answers.arms)].tolist(), strict=True))


def _slopes(theta: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(theta[-len(PRIOR_MEAN) :].tolist())


# going on -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """A rung that could be asked next: the chance that its answer is acceptable, and what that
    costs, dollars.
    """

    arm: str
    chance: float
    cost_usd: float

    def gain_usd(self, chance_now: float, worth_usd: float) -> float:
        """What asking it is worth over stopping."""
        return worth_usd * (self.chance - chance_now) - self.cost_usd


def best_step(chance_now: float, steps: Sequence[Step], worth_usd: float) -> tuple[int, float]:
    """The step of the greatest gain, and that gain; -1 and 0 where there is no step at all.

    One call ahead, over every rung above and not the next alone (cascade routing: Dekoninck,
    Baader, Vechev, arXiv 2410.10347): what a third call might add is not counted, which errs
    towards stopping.
    """
    if not steps:
        return -1, 0.0
    gains = [step.gain_usd(chance_now, worth_usd) for step in steps]
    at = max(range(len(gains)), key=gains.__getitem__)
    return at, gains[at]


@dataclass(frozen=True, slots=True)
class Lots:
    """Bounded exploration. A share of the runs ends where a lot says, whatever the signals; by its
    first answer the rule, and everybody who reads the log, does not know which. ``share``: of the
    runs; ``by_lot``: whether this is one of them.
    """

    share: float
    by_lot: bool

    def first(self, acts: int, by_rule: int, lot: float) -> tuple[int, float]:
        """Of so many acts (stopping, or each step) the one that is done after the first answer, and
        the probability with which it was done.
        """
        done = min(int(lot * acts), acts - 1) if self.by_lot else by_rule
        return done, (1.0 - self.share) * (done == by_rule) + self.share / acts

    def later(self, acts_before: int, was_by_rule: bool, rule_stops: bool) -> tuple[bool, float]:
        """Whether to stop after a later answer, and with which probability that was done: a run by
        lot is at its end; another one does what the rule says.
        """
        by_lot = self.share / acts_before
        here = by_lot / (by_lot + (1.0 - self.share) * was_by_rule) if self.share else 0.0
        stops = self.by_lot or rule_stops
        chance = here + (1.0 - here) * rule_stops
        return stops, chance if stops else 1.0 - chance
