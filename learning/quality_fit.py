"""The fit of the quality model: a ridge that arms share, its strength, its calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import TimeSeriesSplit

from learning.interaction import Vector
from learning.quality import Rows
from learning.regression import Matrix

ALPHAS = (3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0)
FOLDS = 4
SHARED = 2.0  # what is shared is penalised by its square less than what is an arm's own
LEVEL = 3.0  # and so is the constant, less than a feature
DIRECT = 1_500  # columns up to which the normal equations are solved directly
ISOTONIC_LEAST = 1_000  # Niculescu-Mizil and Caruana (ICML 2005): with fewer it overfits
NEAR = 1.0  # rows' worth of pull of the projection towards the uncalibrated plane


@dataclass(frozen=True, slots=True)
class Fit:
    """A score (``theta`` [K, d], ``offset``), its ridge, and its calibration's knots [m]."""

    theta: Matrix
    offset: float
    alpha: float
    score: Vector
    quality: Vector

    def scores(self, x: Matrix, arm: NDArray[np.int64]) -> Vector:
        """The score of each row for its arm."""
        found: Vector = np.einsum("nd,nd->n", x, self.theta[arm]) + self.offset
        return found

    def predict(self, x: Matrix, arm: NDArray[np.int64]) -> Vector:
        """The calibrated prediction of each row for its arm."""
        found: Vector = np.interp(self.scores(x, arm), self.score, self.quality)
        return found


@dataclass(frozen=True, slots=True)
class Squares:
    """The normal equations of each arm: sums over rows, so those of two folds add."""

    gram: Matrix
    moment: Matrix
    weight: float
    total: float

    @classmethod
    def of(cls, rows: Rows) -> Squares:
        """Of all rows; the quality enters uncentred."""
        arms, dimension = len(rows.arms), rows.x.shape[1]
        gram = np.zeros((arms, dimension, dimension))
        sums = np.zeros((arms, 2, dimension))
        for at in np.unique(rows.arm):
            mine = np.flatnonzero(rows.arm == at)
            x = rows.x[mine]
            weighted = x * rows.weight[mine, None]
            gram[at] = x.T @ weighted
            sums[at, 0] = weighted.T @ rows.quality[mine]
            sums[at, 1] = weighted.sum(0)
        weight = float(rows.weight.sum())
        return cls(gram, sums, weight, float(rows.weight @ rows.quality))

    def __add__(self, other: Squares) -> Squares:
        return Squares(
            self.gram + other.gram, self.moment + other.moment, self.weight + other.weight,
            self.total + other.total,
        )  # fmt: skip

    @property
    def offset(self) -> float:
        """The mean quality: where an arm of which nothing is known stands."""
        return self.total / self.weight

    def ridge(self, alpha: float) -> Matrix:
        """theta [K, d] of scikit-learn's Ridge over [shared block, one block an arm].

        Each arm's rows are first replaced by the at most d rows that have the same normal
        equations, which changes the solution by nothing and makes it affordable.
        """
        design, target = self._few_rows()
        arms, dimension = self.gram.shape[0], self.gram.shape[1]
        direct = design.shape[1] <= DIRECT
        ridge = Ridge(
            alpha=alpha, fit_intercept=False, tol=1e-12, max_iter=None if direct else 20_000,
            solver="cholesky" if direct else "lsqr",
        )  # fmt: skip
        found = ridge.fit(design.toarray() if direct else design, target).coef_
        blocks = found.reshape(arms + 1, dimension)
        theta: Matrix = (SHARED * blocks[0] + blocks[1:]) * levels(dimension)
        return theta

    def _few_rows(self) -> tuple[sparse.csr_matrix, Vector]:
        values, vectors = np.linalg.eigh(self.gram)
        solid = values > 1e-13 * np.maximum(values.max(1, keepdims=True), 1e-30)
        root = np.sqrt(np.where(solid, values, 0.0))
        rows = root[:, :, None] * vectors.transpose(0, 2, 1)
        moment = self.moment[:, 0] - self.offset * self.moment[:, 1]
        turned = np.einsum("kdi,kd->ki", vectors, moment)
        target = np.where(solid, turned / np.where(solid, root, 1.0), 0.0)
        rows = rows * levels(rows.shape[2])
        shared = sparse.csr_matrix(SHARED * rows.reshape(-1, rows.shape[2]))
        own = sparse.block_diag(list(rows), format="csr")
        return sparse.hstack([shared, own], format="csr"), target.reshape(-1)


def levels(dimension: int) -> Vector:
    """What each feature is scaled by, so that one ridge penalises the constant less; [d]."""
    scale = np.ones(dimension)
    scale[-1] = LEVEL
    return scale


def fit(rows: Rows) -> Fit:
    """The fit of rows that stand in their order.

    The ridge is the one whose predictions of later folds from earlier ones are best; these
    predictions also calibrate, so that nothing is calibrated on what it was fitted to.
    """
    folds = list(TimeSeriesSplit(FOLDS).split(rows.x))
    squares = Squares.of(rows.take(folds[0][0]))
    past = []
    for _, later in folds:
        past.append(squares)
        squares = squares + Squares.of(rows.take(later))
    tested = rows.take(np.concatenate([later for _, later in folds]))
    best, best_error, best_scores = ALPHAS[0], np.inf, np.zeros(len(tested))
    for alpha in ALPHAS:
        scores = np.concatenate(
            [_out_of_fold(rows.take(later), before, alpha)
             for before, (_, later) in zip(past, folds, strict=True)]
        )  # fmt: skip
        squared = (np.clip(scores, 0.0, 1.0) - tested.quality) ** 2
        error = float(squared @ tested.weight)
        if error < best_error:
            best, best_error, best_scores = alpha, error, scores
    knots = calibration(best_scores, tested.quality, tested.weight)
    return Fit(squares.ridge(best), squares.offset, best, *knots)


def _out_of_fold(rows: Rows, before: Squares, alpha: float) -> Vector:
    theta = before.ridge(alpha)
    found: Vector = np.einsum("nd,nd->n", rows.x, theta[rows.arm]) + before.offset
    return found


def calibration(score: Vector, quality: Vector, weight: Vector) -> tuple[Vector, Vector]:
    """Knots from scores to quality: isotonic where rows are many, a straight line where few.

    The line stands for Platt's: the score is in units of quality already, and is cut at 0 and 1.
    """
    if len(score) >= ISOTONIC_LEAST:
        isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        isotonic.fit(score, quality, sample_weight=weight)
        return (
            isotonic.X_thresholds_.astype(np.float64), isotonic.y_thresholds_.astype(np.float64)
        )  # fmt: skip
    line = LinearRegression().fit(score[:, None], quality, sample_weight=weight)
    slope = max(float(line.coef_[0]), 0.05)
    level = float(weight @ (quality - slope * score) / weight.sum())
    ends = np.array([0.0, 1.0])
    return (ends - level) / slope, ends


def projection(fit_: Fit, x: Matrix) -> Matrix:
    """theta [K, d] of the plane nearest to the calibrated prediction of every arm over ``x``.

    What ``x`` says nothing of stays where the score has it.
    """
    plane = fit_.theta.copy()
    plane[:, -1] += fit_.offset  # the last feature is the constant 1
    scores = x @ fit_.theta.T + fit_.offset
    off = np.interp(scores, fit_.score, fit_.quality) - x @ plane.T
    gram = x.T @ x + NEAR * np.eye(x.shape[1])
    return plane + np.linalg.solve(gram, x.T @ off).T
