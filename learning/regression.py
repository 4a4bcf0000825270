"""Ridge regressions of many arms that share strength: an empirical-Bayes hierarchy over sums."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dgemm

from learning.interaction import Vector

Matrix = NDArray[np.float64]

GRID = (10.0, 30.0, 100.0, 300.0, 1_000.0)
SHARED_RIDGE = 3.0
LEVEL_RIDGE = 0.5  # the constant's: a half rated answer
SHARED_LEVEL_RIDGE = 1.0
NOISE_PRIOR = 0.05
NOISE_ANSWERS = 8.0


@dataclass(slots=True)
class Sums:
    """Sufficient statistics: sums over rated answers, so those of two replicas add.

    ``gram`` [K, d, d] of w x x', ``moment`` [K, d] of w y x, ``square`` [K] of w y^2 and
    ``count`` [K] of w.
    """

    gram: Matrix
    moment: Matrix
    square: Vector
    count: Vector

    @classmethod
    def of(cls, arms: int, dimension: int) -> Sums:
        """Nothing seen yet."""
        return cls(
            np.zeros((arms, dimension, dimension)),
            np.zeros((arms, dimension)),
            np.zeros(arms),
            np.zeros(arms),
        )

    def add(self, at: int, x: Vector, y: float, weight: float) -> None:
        """One answer of arm ``at``; a negative weight takes it back."""
        add_outer(self.gram[at], weight * x, x)
        self.moment[at] += (weight * y) * x
        self.square[at] += weight * y * y
        self.count[at] += weight

    def revise(self, at: int, x: Vector, change: tuple[float, float], weight: float) -> None:
        """The answer's value was ``change[0]`` and is ``change[1]``."""
        old, new = change
        self.moment[at] += (weight * (new - old)) * x
        self.square[at] += weight * (new * new - old * old)

    def merged(self, other: Sums) -> Sums:
        """Those of two replicas together; both as of one reference of time."""
        return Sums(
            self.gram + other.gram, self.moment + other.moment, self.square + other.square,
            self.count + other.count,
        )  # fmt: skip

    def scale(self, factor: float, at: int | slice = slice(None)) -> None:
        """Forget: of one arm, or of all."""
        for sums in (self.gram, self.moment, self.square, self.count):
            sums[at] *= factor


@dataclass(slots=True)
class Fit:
    """Coefficients as they stand: ``theta`` [K, d], ``covariance`` [K, d, d] up to the noise,
    ``noise`` [K] (residual variance), ``target`` [K, d] (what each arm is drawn towards).
    """

    theta: Matrix
    covariance: Matrix
    noise: Vector
    target: Matrix

    def absorb(self, at: int, x: Vector, error: float, weight: float) -> None:
        """One more answer of arm ``at``, ``error`` off the prediction (Sherman and Morrison)."""
        covariance = self.covariance[at]
        step = covariance @ x
        gain = weight / (1.0 + weight * float(step @ x))
        add_outer(covariance, -gain * step, step)
        self.theta[at] += (gain * error) * step


def add_outer(into: Matrix, left: Vector, right: Vector) -> None:
    """``into[i, j] += left[i] * right[j]``, in place, rounded as if written so; ``into`` [n, m] is
    contiguous. As a product of matrices it costs half, makes no temporary, and does not hand the
    interpreter to another thread on the way.
    """
    dgemm(1.0, right[:, None], left[None, :], beta=1.0, c=into.T, overwrite_c=1)


def penalties(dimension: int, shrinkage: float) -> tuple[Vector, Vector]:
    """The ridge of an arm about what is shared, and of what is shared about the prior; [d]."""
    own, shared = np.full(dimension, shrinkage), np.full(dimension, SHARED_RIDGE)
    own[-1], shared[-1] = LEVEL_RIDGE, SHARED_LEVEL_RIDGE
    return own, shared


@dataclass(frozen=True, slots=True)
class Priors:
    """What is believed before any answer: each arm's coefficients ``centre`` [K, d], and whom it
    resembles [K] (an arm's index, -1 for nobody).
    """

    centre: Matrix
    similar: NDArray[np.int64]

    @classmethod
    def flat(cls, quality: Vector, similar: NDArray[np.int64], dimension: int) -> Priors:
        """The same quality [K] for every context."""
        centre = np.zeros((len(quality), dimension))
        centre[:, -1] = quality
        return cls(centre, similar)


def fit(sums: Sums, discount: float, shrinkage: float, priors: Priors) -> Fit:
    """The posterior of theta_a = theta_0 + delta_a, theta_0 estimated from all arms.

    Lindley and Smith (JRSS-B 1972), with theta_0 in closed form: the arms' data seen through
    ``P - P (A_a + P)^-1 P``. An arm that resembles another is drawn towards that one instead.
    """
    return _Solved.of(sums, discount, shrinkage, priors).fit()


def choose_shrinkage(sums: Sums, discount: float, priors: Priors) -> float:
    """The shrinkage of the grid under which the data are likeliest (type-II likelihood, with
    the noise profiled out; Efron and Morris, JASA 1973). From sums alone.
    """
    return max(
        GRID, key=lambda shrinkage: _Solved.of(sums, discount, shrinkage, priors).evidence(priors)
    )


@dataclass(frozen=True, slots=True)
class _Solved:
    """The normal equations, solved; the sums as they are read now."""

    sums: Sums
    own: Vector
    shared: Vector
    matrix: Matrix
    covariance: Matrix
    through: Matrix
    common: Vector
    target: Matrix
    theta: Matrix

    @classmethod
    def of(cls, sums: Sums, discount: float, shrinkage: float, priors: Priors) -> _Solved:
        now = Sums(
            sums.gram * discount, sums.moment * discount, sums.square * discount,
            sums.count * discount,
        )  # fmt: skip
        arms, dimension = now.moment.shape
        own, shared = penalties(dimension, shrinkage)
        each = np.arange(dimension)
        matrix = now.gram.copy()
        matrix[:, each, each] += own
        covariance = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
        alone = _times(covariance, now.moment)
        centre = priors.centre.mean(0)
        offset = priors.centre - centre
        beyond = alone - offset + _times(covariance, own * offset)
        through = np.diag(own * arms + shared) - own[:, None] * covariance.sum(0) * own[None, :]
        common = np.linalg.solve(through, (own * beyond).sum(0) + shared * centre)
        target = np.asarray(common + offset)
        theta = alone + _times(covariance, own * target)
        for at in _nearest_first(priors.similar):
            target[at] = theta[priors.similar[at]]
            theta[at] = alone[at] + covariance[at] @ (own * target[at])
        return cls(now, own, shared, matrix, covariance, through, common, target, theta)

    def fit(self) -> Fit:
        """What is kept of it, with the noise."""
        return Fit(self.theta, self.covariance, _noise(self), self.target)

    def evidence(self, priors: Priors) -> float:
        """The logarithm of the marginal likelihood, up to a constant."""
        now, own, target = self.sums, self.own, self.target
        quadratic = now.square + (target * own * target).sum(1)
        quadratic -= (self.theta * (now.moment + own * target)).sum(1)
        total = float(now.count.sum())
        away = self.common - priors.centre.mean(0)
        pooled = max(float(quadratic.sum()), 0.0) + float(self.shared @ away**2)
        pooled = (pooled + NOISE_PRIOR) / (total + 1.0)
        determinants = float(np.linalg.slogdet(self.matrix)[1].sum())
        found = -0.5 * total * math.log(pooled)
        found += 0.5 * (len(now.count) * float(np.log(own).sum()) - determinants)
        return found - 0.5 * float(np.linalg.slogdet(self.through)[1])


def _times(matrices: Matrix, vectors: Matrix) -> Matrix:
    """[K, d, d] times [K, d]."""
    return np.asarray((matrices @ vectors[:, :, None])[:, :, 0])


def _nearest_first(similar: NDArray[np.int64]) -> list[int]:
    """The arms that resemble another, each after the one that it resembles."""

    def depth(at: int) -> int:
        steps = 0
        while similar[at] >= 0 and steps < len(similar):
            at, steps = int(similar[at]), steps + 1
        return steps

    return sorted((int(at) for at in np.flatnonzero(similar >= 0)), key=depth)


def _noise(solved: _Solved) -> Vector:
    """Residual variance an arm, drawn towards the common one by a few answers' weight."""
    now, theta, covariance = solved.sums, solved.theta, solved.covariance
    left = now.square - 2.0 * (theta * now.moment).sum(1)
    left = np.maximum(left + (theta * _times(now.gram, theta)).sum(1), 0.0)
    free = np.maximum(now.count - (covariance * now.gram).sum((1, 2)), 0.0)
    common = (float(left.sum()) + NOISE_PRIOR) / (float(free.sum()) + 1.0)
    found: Vector = (left + NOISE_ANSWERS * common) / (free + NOISE_ANSWERS)
    return found
