"""The fit of the chance to be acceptable: two ways to a score, three to a calibrated chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TimeSeriesSplit

from learning.acceptance import ISOTONIC, LOGISTIC, mapped
from learning.interaction import Vector
from learning.quality import Rows
from learning.quality_fit import ALPHAS, FOLDS, ISOTONIC_LEAST, SHARED, Squares, levels
from learning.regression import Matrix

STRENGTHS = (0.001, 0.01, 0.1)  # C of the logistic regression
KINDS = ("logistic", "quality")
NEWEST = 20_000
FEW = 8.0
LEAST_SPREAD = 0.05


@dataclass(frozen=True, slots=True)
class Scored:
    """A score linear in the request: ``theta`` [K, D]; and the inverse of each arm's curvature by
    its root [K, D, D].
    """

    theta: Matrix
    root: NDArray[np.float64]

    def scores(self, rows: Rows) -> Vector:
        """The score of each row for its arm."""
        found: Vector = np.einsum("nd,nd->n", rows.x, self.theta[rows.arm])
        return found


@dataclass(frozen=True, slots=True)
class AcceptanceFit:
    """A score, which way it was found, and its map to a chance."""

    kind: str
    scored: Scored
    calibration: str
    form: str
    knots: Matrix

    def chances(self, rows: Rows) -> Vector:
        """The chance of each row for its arm."""
        return mapped(self.form, self.knots, self.scored.scores(rows))


def fit(rows: Rows, bar: float, kinds: tuple[str, ...] = KINDS) -> AcceptanceFit:
    """The fit of rows in their order: the way to a score, its strength, and the calibration that
    predict later folds best from earlier ones (Brier). Nothing is calibrated on what it was fitted
    to, and no calibration is chosen on what it was made from. Needs both kinds of answers.
    """
    rows = rows.take(slice(max(0, len(rows) - NEWEST), None))
    folds = list(TimeSeriesSplit(FOLDS).split(rows.x))
    tested = rows.take(np.concatenate([later for _, later in folds]))
    good = tested.quality >= bar
    best, least, told = (kinds[0], 0.0), np.inf, np.zeros(len(tested))
    for kind in kinds:
        for strength in STRENGTHS if kind == "logistic" else ALPHAS:
            scores = np.concatenate(
                [
                    _scored(rows.take(before), bar, kind, strength).scores(rows.take(later))
                    for before, later in folds
                ]
            )
            error = _crossed(scores, good, tested.weight, "platt")
            if error < least:
                best, least, told = (kind, strength), error, scores
    kind, strength = best
    names = ["platt", "temperature"]
    if len(tested) >= 2 * ISOTONIC_LEAST:
        names.append("isotonic")
    calibration = min(names, key=lambda name: _crossed(told, good, tested.weight, name))
    form, knots = calibrate(told, good, tested.weight, calibration)
    return AcceptanceFit(
        kind, _scored(rows, bar, kind, strength, rooted=True), calibration, form, knots
    )


def _crossed(score: Vector, good: NDArray[np.bool_], weight: Vector, name: str) -> float:
    """Brier's score on the later half of a calibration made on the earlier one."""
    half = len(score) // 2
    form, knots = calibrate(score[:half], good[:half], weight[:half], name)
    off = mapped(form, knots, score[half:]) - good[half:]
    return float(off**2 @ weight[half:] / weight[half:].sum())


def calibrate(
    score: Vector, good: NDArray[np.bool_], weight: Vector, name: str
) -> tuple[str, Matrix]:  # fmt: skip
    """Isotonic; Platt's slope and level (1999); or one temperature (Guo and others 2017)."""
    if name == "isotonic":
        found = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        found.fit(score, good.astype(np.float64), sample_weight=weight)
        return ISOTONIC, np.stack([found.X_thresholds_, found.y_thresholds_]).astype(np.float64)
    if name == "temperature":
        share = weight / weight.sum()

        def loss(slope: float) -> float:
            z = slope * score
            return float(share @ (np.logaddexp(0.0, z) - good * z))

        slope = float(minimize_scalar(loss, bounds=(0.01, 20.0), method="bounded").x)
        return LOGISTIC, np.array([[slope], [0.0]])
    if good.all() or not good.any():
        share_good = (weight @ good + 1.0) / (weight.sum() + 2.0)
        return LOGISTIC, np.array([[0.0], [float(np.log(share_good / (1.0 - share_good)))]])
    platt = LogisticRegression(C=1e3).fit(score[:, None], good, sample_weight=weight)
    slope = max(float(platt.coef_[0, 0]), 0.0)
    return LOGISTIC, np.array([[slope], [float(platt.intercept_[0])]])


def _scored(rows: Rows, bar: float, kind: str, strength: float, rooted: bool = False) -> Scored:
    if kind == "logistic":
        return _logistic(rows, bar, strength, rooted)
    return _from_quality(rows, bar, strength, rooted)


def _logistic(rows: Rows, bar: float, strength: float, rooted: bool) -> Scored:
    """Log odds by scikit-learn's LogisticRegression over [a block that all share, one an arm]."""
    arms, dimension = len(rows.arms), rows.x.shape[1]
    scale, good = levels(dimension), rows.quality >= bar
    if good.all() or not good.any():  # an early fold of one kind: nothing to tell apart
        return Scored(np.zeros((arms, dimension)), np.zeros((arms, 0, dimension)))
    x = rows.x * scale
    n = len(rows)
    columns = rows.arm[:, None] * dimension + np.arange(dimension)
    own = sparse.csr_matrix(
        (x.ravel(), columns.ravel(), np.arange(n + 1) * dimension), shape=(n, arms * dimension)
    )
    design = sparse.hstack([sparse.csr_matrix(SHARED * x), own], format="csr")
    found = LogisticRegression(C=strength, fit_intercept=False, max_iter=300, tol=1e-4)
    found.fit(design, good, sample_weight=rows.weight)
    blocks = found.coef_[0].reshape(arms + 1, dimension)
    theta = (SHARED * blocks[0] + blocks[1:]) * scale
    if not rooted:
        return Scored(theta, np.zeros((arms, 0, dimension)))
    chance = expit(np.einsum("nd,nd->n", rows.x, theta[rows.arm]))
    curve = rows.weight * chance * (1.0 - chance)
    return Scored(theta, _roots(rows, curve, 1.0 / strength))


def _from_quality(rows: Rows, bar: float, alpha: float, rooted: bool) -> Scored:
    """How many deviations the quality model's prediction lies above the bar, arm by arm."""
    squares = Squares.of(rows)
    theta, offset = squares.ridge(alpha), squares.offset
    off = np.einsum("nd,nd->n", rows.x, theta[rows.arm]) + offset - rows.quality
    weight, arms = rows.weight, len(rows.arms)
    pooled = float(weight @ off**2 / weight.sum())
    count = np.bincount(rows.arm, weight, arms)
    own = np.bincount(rows.arm, weight * off**2, arms)
    spread = np.maximum(np.sqrt((own + FEW * pooled) / (count + FEW)), LEAST_SPREAD)
    above = theta.copy()
    above[:, -1] += offset - bar  # the last feature is the constant 1
    above /= spread[:, None]
    if not rooted:
        return Scored(above, np.zeros((arms, 0, rows.x.shape[1])))
    return Scored(above, _roots(rows, weight, alpha))


def _roots(rows: Rows, curve: Vector, strength: float) -> NDArray[np.float64]:
    """Of each arm the root of the inverse of its curvature and the penalty's."""
    arms, dimension = len(rows.arms), rows.x.shape[1]
    found = np.zeros((arms, dimension, dimension))
    penalty = np.diag(strength / (levels(dimension) ** 2 * (1.0 + SHARED**2)))
    for at in range(arms):
        mine = rows.arm == at
        x = rows.x[mine]
        gram = x.T @ (x * curve[mine, None]) + penalty
        # inv(L) x has the length sqrt(x' inv(gram) x), L being the lower factor of gram
        lower = np.linalg.cholesky(gram)
        found[at] = np.linalg.solve(lower, np.eye(dimension))
    return found
