"""Scores to probabilities above a floor, and the seeded draw. The only file that explores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learning.errors import InvalidInteraction
from learning.interaction import Vector


def with_floor(probabilities: Vector, floor: float) -> Vector:
    """Mix with the uniform distribution so that no arm falls below ``floor``.

    ``p' = (1 - K * floor) * p + floor``. A floor of 1/K or more gives the uniform
    distribution. Shape [K] in and out; the result sums to 1.
    """
    count = probabilities.shape[0]
    share = min(floor * count, 1.0)
    mixed: Vector = (1.0 - share) * probabilities + share / count
    return mixed


def inverse_gap(scores: Vector, gamma: float) -> Vector:
    """Inverse-gap weighting (Abe and Long 1999; Foster and Rakhlin 2020, SquareCB).

    Every arm but the best has ``1 / (K + gamma * (best - score))``; the best has the rest.
    ``scores`` has shape [K] and is in points of reward; ``gamma`` in 1 / points: greater is
    greedier. Ties go to the first arm.
    """
    count = scores.shape[0]
    best = int(scores.argmax())
    weights: Vector = 1.0 / (count + gamma * (scores[best] - scores))
    weights[best] = 0.0
    weights[best] = 1.0 - weights.sum()
    return weights


def epsilon_greedy(scores: Vector, epsilon: float) -> Vector:
    """The best arm with ``1 - epsilon``, and ``epsilon`` shared by all alike. Shape [K]."""
    count = scores.shape[0]
    weights = np.full(count, epsilon / count)
    weights[int(scores.argmax())] += 1.0 - epsilon
    return weights


def uniform(count: int) -> Vector:
    """Each of ``count`` arms alike."""
    return np.full(count, 1.0 / count)


def draw(probabilities: Vector | NDArray[np.float64], number: float) -> int:
    """The arm that ``number`` in [0, 1) falls on: the first whose running sum exceeds it.

    Probabilities come first and the draw is made from them, whatever the policy, so the
    logged propensity is exact by construction. An arm of probability zero is never drawn.
    """
    if not 0.0 <= number < 1.0:
        raise InvalidInteraction(f"the draw must lie in [0, 1), not {number!r}")
    total = 0.0
    last = -1
    for index, probability in enumerate(probabilities.tolist()):
        if probability > 0.0:
            total += probability
            last = index
            if number < total:
                return index
    if last < 0:
        raise InvalidInteraction("no arm has a probability above zero")
    return last  # rounding left the sum a hair below 1
