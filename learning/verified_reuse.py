"""Verified reuse: how often an answer to one question may stand for the answer to a like one.

vCache (Schroeder, Desai, Cuadron, Chu, Liu, Zhao, Krusche, Kemper, Zaharia, Gonzalez 2025,
arXiv 2502.03771): every kept answer has its own logistic curve of P(right) against similarity s,
L(s; t, g) = 1 / (1 + exp(-g (s - t))), learned from the times that the question was answered anew
and both answers were compared. It is answered anew with probability

    tau = min over e in (0, 1) of  1 - delta / (1 - (1 - e) L_low(s; e)),

where L_low(s; e) is the least value of the curve over a region that holds the true (t, g) with
probability 1 - e. Answered anew is never wrong, so P(wrong) <= (1 - tau) (1 - P(right)) <= delta.

The paper takes the region from the normal limit of the likelihood's maximum. A few answers are far
from that limit, and here the similarities are chosen along the way; so the region is the one of the
mixture's likelihood ratio: all (t, g) with L(t, g) >= e * mean of L over the grid. By Ville's
inequality it holds the true point at every time with probability 1 - e (Robbins 1970; Wasserman,
Ramdas, Balakrishnan 2020), for points of the grid.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from learning.errors import InvalidInteraction

Floats = NDArray[np.float64]

# The grid: a threshold above 1 is an answer that no like question may have, one far below 0 an
# answer that all may. The last column of slopes is all but a step.
_THRESHOLDS = np.concatenate([[-1.5, -0.5], np.linspace(0.0, 1.2, 25)])
_SLOPES = np.array([3.0, 6.0, 12.0, 25.0, 50.0, 100.0])
_T, _G = (each.ravel() for each in np.meshgrid(_THRESHOLDS, _SLOPES, indexing="ij"))
_POINTS = len(_T)
_MISSES = np.geomspace(1e-4, 0.5, 24)  # e
_LOG_MISSES = np.log(_MISSES)
_CLIP = 1e-9
CHANGED = math.log(100.0)  # evidence from which an answer no longer stands as it did
_GONE = 0.5  # P(wrong) of an answer that stands no more


def curve(similarity: float) -> Floats:
    """P(right) at a similarity, at every point of the grid."""
    told: Floats = 1.0 / (1.0 + np.exp(np.clip(-_G * (similarity - _T), -40.0, 40.0)))
    return np.clip(told, _CLIP, 1.0 - _CLIP)


def tau(right: Floats, delta: float) -> float:
    """The paper's probability of answering anew. ``right``: for each miss of ``_MISSES``, the least
    P(right) of its region.
    """
    wrong = 1.0 - (1.0 - _MISSES) * right
    return max(0.0, float((1.0 - delta / wrong).min()))


class VerifiedReuse:
    """What is known of one kept answer. Its memory is that of the grid, some 1,300 bytes."""

    __slots__ = ("_evidence", "_log", "count", "right")

    def __init__(self) -> None:
        self.count = self.right = 0
        self._log = np.zeros(_POINTS)
        self._evidence = 0.0

    def see(self, similarity: float, right: bool) -> None:
        """The question was answered anew: whether the kept answer was right."""
        if not -1.0 <= similarity <= 1.0 + 1e-6:
            raise InvalidInteraction(f"similarity is {similarity!r}: it lies from -1 to 1")
        chance = curve(similarity)
        self._watch(self._mean(chance), right)
        self._log += np.log(chance if right else 1.0 - chance)
        self.count += 1
        self.right += right

    @property
    def changed(self) -> bool:
        """Whether it was wrong where it had been right: Page's sum of the evidence for an answer
        that is wrong half the time, against what the curve foretold. Such an answer is thrown away,
        since the curve takes the world as standing still.
        """
        return self._evidence >= CHANGED

    def least_right(self, similarity: float) -> float:
        """A bound below P(right), the region's own miss included."""
        return float(((1.0 - _MISSES) * self._lows(similarity)).max())

    def anew(self, similarity: float, delta: float, most_false: float = 1.0) -> float:
        """With which probability to answer anew: the paper's. With ``most_false`` always, where it
        is not known that at most that share of those given again would be wrong.
        """
        if not 0.0 < delta < 1.0:
            raise InvalidInteraction(f"delta is {delta!r}: give an error above 0 and below 1")
        if not self.count:
            return 1.0 if most_false < 1.0 else tau(self._lows(similarity), delta)
        lows = self._lows(similarity)
        if float(((1.0 - _MISSES) * lows).max()) < 1.0 - most_false:
            return 1.0
        return tau(lows, delta)

    def _lows(self, similarity: float) -> Floats:
        """For each miss the least P(right) over its region."""
        order = np.argsort(-self._log, kind="stable")
        ranked, least = self._log[order], np.minimum.accumulate(curve(similarity)[order])
        mixture = ranked[0] + math.log(float(np.exp(ranked - ranked[0]).mean()))
        inside = np.searchsorted(-ranked, -(mixture + _LOG_MISSES), side="right")
        lows: Floats = least[np.maximum(inside, 1) - 1]
        return lows

    def _mean(self, chance: Floats) -> float:
        weights = np.exp(self._log - self._log.max())
        return float(weights @ chance / weights.sum())

    def _watch(self, foretold: float, right: bool) -> None:
        if right:
            step = math.log((1.0 - _GONE) / max(foretold, _GONE))
        elif foretold > _GONE:
            step = math.log(_GONE / max(1.0 - foretold, 0.01))
        else:
            step = 0.0
        self._evidence = max(0.0, self._evidence + step)
