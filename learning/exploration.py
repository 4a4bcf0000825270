"""Scores to probabilities above a floor, and the seeded draw. The only file that explores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from learning.errors import InvalidInteraction
from learning.interaction import Vector

LEAST_WEIGHT = 1e-9  # lets an arm of no probability take what a cap leaves

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)


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


def probability_matching(
    utility: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Each arm as often as it may be the best (Thompson 1933), in closed form.

    ``utility`` and ``spread`` (posterior mean and standard deviation) have shape [n, K]. Arm a
    beats the leader with ``w_a = Phi(-gap / sd)``, and gets ``w_a / (1 - w_a)`` parts to the
    leader's one. Exact for two arms, and for arms that are alike.
    """
    rows = np.arange(utility.shape[0])
    best = utility.argmax(1)
    gap = utility[rows, best][:, None] - utility
    both = np.sqrt(spread * spread + (spread[rows, best] ** 2)[:, None]) + 1e-12
    beats = ndtr(-gap / both)
    weights: NDArray[np.float64] = beats / (1.0 - beats)
    weights /= weights.sum(1)[:, None]
    return weights


def chances(utility: Vector, spread: Vector) -> Vector:
    """``probability_matching`` of one row, shapes [K]: the request path's."""
    best = int(utility.argmax())
    gap = utility - utility[best]
    both = np.sqrt(spread * spread + float(spread[best]) ** 2) + 1e-12
    beats = ndtr(gap / both)
    weights: Vector = beats / (1.0 - beats)
    weights /= np.add.reduce(weights)
    return weights


def thompson(utility: Vector, spread: Vector) -> Vector:
    """Each arm's probability of being the best under independent normal posteriors.

    ``P(a) = E prod_b Phi((u_a + s_a Z - u_b) / s_b)`` by Gauss-Hermite quadrature in Z, then
    normalised; shapes [K]. Source: Thompson 1933; quadrature: Abramowitz and Stegun 25.4.46.
    """
    spread = np.maximum(spread, 1e-9)
    points = utility[:, None] + spread[:, None] * _NODES
    beats = ndtr((points[:, None, :] - utility[None, :, None]) / spread[None, :, None])
    each = np.arange(utility.shape[0])
    beats[each, each] = 1.0
    weights: Vector = (beats.prod(1) * _WEIGHTS).sum(1)
    weights /= weights.sum()
    return weights


def with_floors(probabilities: Vector, floors: Vector) -> Vector:
    """Mix so that arm a does not fall below ``floors[a]``: ``(1 - sum(floors)) p + floors``.

    Floors that would take more than everything are scaled down to it. Shape [..., K].
    """
    if floors.ndim == 1:  # the request path's: plain numbers cost less than arrays of one
        taken = float(np.add.reduce(floors))
        if taken > 1.0:
            floors, taken = floors / taken, 1.0
        one: Vector = (1.0 - taken) * probabilities + floors
        return one
    total = floors.sum(-1, keepdims=True)
    if (total > 1.0).any():
        floors = floors / np.maximum(total, 1.0)
        total = np.minimum(total, 1.0)
    mixed: Vector = (1.0 - total) * probabilities + floors
    return mixed


def with_caps(probabilities: Vector, caps: Vector) -> Vector:
    """No arm above its cap; what is taken goes to those below theirs, in proportion.

    Where the caps leave less than everything, they are widened in proportion. ``probabilities``
    [..., K], ``caps`` [K].
    """
    if np.logical_and.reduce(probabilities <= caps, None):
        return probabilities
    if caps.sum() <= 1.0:
        return np.broadcast_to(caps / caps.sum(), probabilities.shape)
    free = np.ones(probabilities.shape, dtype=bool)
    found = probabilities
    for _ in range(len(caps)):
        free &= found < caps
        held = np.where(free, 0.0, caps)
        loose = np.where(free, probabilities + LEAST_WEIGHT, 0.0)
        share = (1.0 - held.sum(-1, keepdims=True)) / np.maximum(
            loose.sum(-1, keepdims=True), 1e-300
        )
        found = np.where(free, loose * share, held)
        if (found <= caps + 1e-12).all():
            break
    mixed: Vector = found
    return mixed


def within(probabilities: Vector, floors: Vector, caps: Vector) -> Vector:
    """None above its cap and none below its floor (where the two meet, the cap holds).

    Caps come first: what a capped arm gives up goes where it would have gone without that arm,
    and not to one that is only explored.
    """
    capped = with_caps(probabilities, caps)
    return with_caps(with_floors(capped, np.minimum(floors, caps)), caps)


def between(probabilities: Vector, least: Vector, greatest: Vector) -> Vector:
    """The nearest probabilities (in relative entropy) with ``least <= p <= greatest``, shapes [K].

    They are ``clip(s * p, least, greatest)`` for the one ``s`` that makes the sum 1 (the conditions
    of Karush, Kuhn and Tucker), found between the ends of the pieces on which the sum is linear in
    ``s``. Where the bounds leave no room, ``greatest`` is widened, or ``least`` cut, in proportion.
    """
    shares, high = probabilities.tolist(), greatest.tolist()
    low = [min(each, most) for each, most in zip(least.tolist(), high, strict=True)]
    if (total := sum(high)) < 1.0:
        return greatest / total if total > 0.0 else uniform(len(high))
    if (total := sum(low)) > 1.0:
        cut: Vector = np.array(low) / total
        return cut
    if all(a <= share <= b for a, share, b in zip(low, shares, high, strict=True)):
        return probabilities
    weights = [max(share, LEAST_WEIGHT) for share in shares]
    pieces = list(zip(weights, low, high, strict=True))

    def scaled(by: float) -> list[float]:
        return [min(max(by * weight, a), b) for weight, a, b in pieces]

    ends = sorted(end / weight for weight, a, b in pieces for end in (a, b))
    before, after = 0, len(ends) - 1  # the sum is at most 1 at the one, at least 1 at the other
    while after - before > 1:
        middle = (before + after) // 2
        if sum(scaled(ends[middle])) < 1.0:
            before = middle
        else:
            after = middle
    begun = sum(scaled(ends[before]))
    rise = sum(scaled(ends[after])) - begun
    part = (1.0 - begun) / rise if rise > 0.0 else 0.0
    found: Vector = np.array(scaled(ends[before] + part * (ends[after] - ends[before])))
    found /= np.add.reduce(found)
    return found


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
