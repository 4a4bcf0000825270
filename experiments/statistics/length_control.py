"""What a judge's preference and scores would be at equal length and style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from experiments.errors import CannotSay
from experiments.statistics.inputs import Floats, alike, finite, level, within
from experiments.statistics.moments import Interval, Moments

LEAST_PAIRS = 30
LEAST_EACH = 5  # of answers preferred, and of answers not
LEAST_SCORES = 10  # of each arm
PRIOR = 1.0  # precision of the slopes' normal prior: without one, separable pairs have no fit
ROUNDS = 100


@dataclass(frozen=True, slots=True)
class ControlledPreference:
    """The share preferred as it came, and as it would be at equal length and style.

    ``length``, ``style``: slopes, log odds by one standard deviation's difference (nearly: by its
    tanh); ``explained``: the part of the deviance that these two take away, 0 to 1.
    """

    raw: Interval
    controlled: Interval
    length: Interval
    style: Interval
    explained: float


def controlled_preference(
    preferences: ArrayLike, lengths: ArrayLike, styles: ArrayLike, alpha: float = 0.05
) -> ControlledPreference | CannotSay:
    """A logistic regression of pairwise preferences, as in length-controlled AlpacaEval.

    ``preferences`` [n] in [0, 1]: 1 for the second answer; ``lengths`` and ``styles`` [n]: second
    less first. P = sigmoid(theta + phi tanh(dl / sd(dl)) + psi tanh(ds / sd(ds))); controlled is
    sigmoid(theta), which is that of dl = ds = 0 (Dubois, Galambosi, Liang and Hashimoto,
    arXiv 2404.04475, section 3, without its term of the instruction's difficulty). Slopes have a
    standard normal prior; the errors are the sandwich's; explained is 1 less the ratio of deviances
    with and without the two (McFadden 1974).
    """
    y = within(finite(preferences, "preferences"), "preferences", 0.0, 1.0)
    dl, ds = finite(lengths, "lengths"), finite(styles, "styles")
    alike({"preferences": len(y), "lengths": len(dl), "styles": len(ds)})
    if len(y) < LEAST_PAIRS:
        return CannotSay(f"{LEAST_PAIRS} comparisons are needed, there are {len(y)}")
    if min((y > 0.5).sum(), (y < 0.5).sum()) < LEAST_EACH:
        return CannotSay(f"{LEAST_EACH} preferences for each side are needed")
    x = np.column_stack([np.ones(len(y)), _bounded(dl), _bounded(ds)])
    fitted, spread = _logistic(x, y)
    reach = float(stats.norm.ppf(1.0 - level(alpha) / 2.0))

    def interval(at: int) -> Interval:
        error = reach * math.sqrt(spread[at, at])
        return Interval(float(fitted[at]), float(fitted[at] - error), float(fitted[at] + error))

    theta = interval(0)
    controlled = Interval(*(float(special.expit(each)) for each in
                            (theta.estimate, theta.low, theta.high)))  # fmt: skip
    without = _deviance(y, np.full(len(y), y.mean()))
    explained = 1.0 - _deviance(y, special.expit(x @ fitted)) / without if without > 0 else 0.0
    return ControlledPreference(
        Moments.of(y).interval(1.0 - alpha), controlled, interval(1), interval(2),
        min(max(explained, 0.0), 1.0),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ControlledScores:
    """Means of each arm as they came, and at the mean length and style of all; slopes a standard
    deviation, and the part of the variance within arms that length and style explain.
    """

    raw: tuple[Interval, ...]
    controlled: tuple[Interval, ...]
    length: Interval
    style: Interval
    explained: float


def controlled_scores(
    scores: ArrayLike, arms: Sequence[int], lengths: ArrayLike, styles: ArrayLike,
    alpha: float = 0.05,
) -> ControlledScores | CannotSay:  # fmt: skip
    """The same of absolute scores: a linear regression with a mean an arm and two slopes common to
    all, covariates bounded alike; errors that allow unequal spread (HC1: MacKinnon and White 1985).

    ``arms`` [n]: 0 .. K - 1. What a longer answer deserves for being better is taken off too,
    where length goes with quality: this says how it would look, not how good it is.
    """
    y, arm = finite(scores, "scores"), np.asarray(arms, dtype=np.int64)
    length, style = finite(lengths, "lengths"), finite(styles, "styles")
    alike({"scores": len(y), "arms": len(arm), "lengths": len(length), "styles": len(style)})
    counts = np.bincount(arm) if len(arm) else np.zeros(1)
    if counts.min() < LEAST_SCORES:
        return CannotSay(f"{LEAST_SCORES} scores of each are needed, one has {int(counts.min())}")
    number = len(counts)
    own = np.eye(number)[arm]
    x = np.column_stack([own, *(_centred(each) for each in (length, style))])
    inverse = np.linalg.pinv(x.T @ x)
    fitted = inverse @ x.T @ y
    left = y - x @ fitted
    small = len(y) / max(len(y) - x.shape[1], 1)
    spread = inverse @ (x.T * left**2) @ x @ inverse * small
    reach = float(stats.t.ppf(1.0 - level(alpha) / 2.0, max(len(y) - x.shape[1], 1)))

    def interval(at: int) -> Interval:
        error = reach * math.sqrt(max(float(spread[at, at]), 0.0))
        return Interval(float(fitted[at]), float(fitted[at] - error), float(fitted[at] + error))

    raw = tuple(Moments.of(y[arm == k]).interval(1.0 - alpha) for k in range(number))
    within_arms = float(((y - own @ [each.estimate for each in raw]) ** 2).sum())
    explained = 1.0 - float((left**2).sum()) / within_arms if within_arms > 0 else 0.0
    return ControlledScores(
        raw, tuple(interval(k) for k in range(number)), interval(number), interval(number + 1),
        min(max(explained, 0.0), 1.0),
    )  # fmt: skip


def _bounded(differences: Floats) -> Floats:
    spread = float(np.sqrt((differences**2).mean()))
    made: Floats = np.tanh(differences / spread) if spread > 0 else np.zeros(len(differences))
    return made


def _centred(values: Floats) -> Floats:
    made = _bounded(values - values.mean())
    centred: Floats = made - made.mean()
    return centred


def _logistic(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Newton's method; coefficients and their sandwich covariance."""
    penalty = np.diag([1e-9, *([PRIOR] * (x.shape[1] - 1))])
    fitted = np.zeros(x.shape[1])
    for _ in range(ROUNDS):
        p = special.expit(x @ fitted)
        bread = (x.T * (p * (1.0 - p))) @ x + penalty
        step = np.linalg.solve(bread, x.T @ (y - p) - penalty @ fitted)
        fitted = fitted + step
        if np.abs(step).max() < 1e-10:
            break
    p = special.expit(x @ fitted)
    inverse = np.linalg.inv((x.T * (p * (1.0 - p))) @ x + penalty)
    meat = (x.T * (y - p) ** 2) @ x
    spread: Floats = inverse @ meat @ inverse
    return fitted, spread


def _deviance(y: Floats, p: Floats) -> float:
    return float(-2.0 * (special.xlogy(y, p) + special.xlogy(1.0 - y, 1.0 - p)).sum())
