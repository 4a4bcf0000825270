"""The fit of the task classifier by scikit-learn: its strength, its temperature, its check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from learning.interaction import Vector
from learning.regression import Matrix
from learning.taxonomy import NEVER, UNREAD, WIDTH, Classifier, LabelledRows, unread

__all__ = ["Classifier", "LabelledRows", "RefitRefused", "checked", "fit"]

STRENGTHS = (0.3, 1.0, 3.0)  # C: the inverse of the ridge
FOLDS = 4
LEAST_GROUPS = 3  # of a task, or it cannot be held out
TOLERANCE = 1e-4
BINS = 10
LEAST_HELD_OUT = 30


@dataclass(frozen=True, slots=True)
class RefitRefused:
    """A fit that is not taken: why, and its figures."""

    reason: str
    figures: dict[str, Any]


def fit(
    rows: LabelledRows, version: str = "", strengths: tuple[float, ...] = STRENGTHS
) -> Classifier:
    """The regression whose strength predicts held-out groups best, and the temperature at which
    these predictions are calibrated. Every task weighs alike; a task without rows is never said.
    """
    if len(np.unique(rows.y)) < 2:
        raise ValueError("examples of at least two tasks are needed")
    weight = balanced(rows)
    best: tuple[float, float, Matrix] | None = None
    for strength in strengths:
        scores = _held_out(rows, weight, strength)
        loss, _ = _loss(scores, rows.y, weight, _temperature(scores, rows.y, weight))
        if best is None or loss < best[0]:
            best = loss, strength, scores
    assert best is not None
    loss, strength, scores = best
    temperature = _temperature(scores, rows.y, weight)
    coef, intercept = _regression(rows.x, rows.y, weight, strength, len(rows.tasks))
    about = {"rows": len(rows), "groups": len(np.unique(rows.groups)), "strength": strength}
    about |= _figures(scores / temperature, rows.y, rows.weight) | {"log_loss": loss}
    if rows.x.shape[1] >= WIDTH and (told := int(unread(rows.x).sum())):
        about[UNREAD] = told
    return Classifier(rows.tasks, version, coef, intercept, temperature, about)


def checked(
    rows: LabelledRows, current: Classifier | None, version: str = ""
) -> Classifier | RefitRefused:
    """A fit of the rows, unless it is worse than ``current`` on a quarter that it has not seen.

    Worse: the lower end of the 95 % interval of the paired difference of the log losses is above
    zero. ``current`` may know that quarter, which counts for it and against the refit.
    """
    if current is not None and current.tasks == rows.tasks and current.width == rows.x.shape[1]:
        folds = GroupKFold(FOLDS).split(rows.x, rows.y, rows.groups)
        early, late = next(iter(folds))
        seen = np.isin(rows.y[late], np.unique(rows.y[early]))
        unseen = rows.take(late[seen])
        if len(unseen) >= LEAST_HELD_OUT and len(np.unique(rows.y[early])) > 1:
            trial = fit(rows.take(early), version)
            new, old = (_losses(each, unseen) for each in (trial, current))
            figures = {
                "held_out": len(unseen),
                "refit_log_loss": float(np.average(new, weights=unseen.weight)),
                "current_log_loss": float(np.average(old, weights=unseen.weight)),
            }
            low = _low(new - old, unseen.weight)
            if low > 0.0:
                return RefitRefused(
                    f"on {len(unseen)} requests that it had not seen its log loss "
                    f"{figures['refit_log_loss']:.4f} is surely above that of the classifier in "
                    f"use, {figures['current_log_loss']:.4f}", figures,
                )  # fmt: skip
    made = fit(rows, version)
    if not (np.isfinite(made.coef).all() and np.isfinite(made.temperature)):
        return RefitRefused("not every number of the fit is finite", dict(made.about))
    return made


def balanced(rows: LabelledRows) -> Vector:
    """The rows' weights, so that the tasks that have rows weigh alike; their mean is 1."""
    sums = np.bincount(rows.y, rows.weight, len(rows.tasks))
    weight: Vector = rows.weight / sums[rows.y]
    weight *= len(weight) / weight.sum()
    return weight


def _regression(
    x: NDArray[np.float32], y: NDArray[np.int64], weight: Vector, strength: float, tasks: int
) -> tuple[Matrix, Vector]:
    found = LogisticRegression(C=strength, tol=TOLERANCE, max_iter=2_000)
    found.fit(x.astype(np.float64), y, sample_weight=weight)
    coef, intercept = np.zeros((tasks, x.shape[1])), np.full(tasks, NEVER)
    if len(found.classes_) == 2:  # scikit-learn keeps one row: the second against the first
        coef[found.classes_[1]] = found.coef_[0]
        intercept[found.classes_] = 0.0, found.intercept_[0]
    else:
        coef[found.classes_], intercept[found.classes_] = found.coef_, found.intercept_
    return coef, intercept


def _held_out(rows: LabelledRows, weight: Vector, strength: float) -> Matrix:
    """The scores of every row by a fit that has not seen its group, [n, T]."""
    scores = np.zeros((len(rows), len(rows.tasks)))
    folds = min(FOLDS, len(np.unique(rows.groups)))
    for early, late in GroupKFold(folds).split(rows.x, rows.y, rows.groups):
        coef, intercept = _regression(
            rows.x[early], rows.y[early], weight[early], strength, len(rows.tasks)
        )
        scores[late] = rows.x[late].astype(np.float64) @ coef.T + np.maximum(intercept, -30.0)
    return scores


def _loss(
    scores: Matrix, y: NDArray[np.int64], weight: Vector, temperature: float
) -> tuple[float, Matrix]:
    p = softmax(scores / temperature)
    each = -np.log(np.maximum(p[np.arange(len(y)), y], 1e-12))
    return float(np.average(each, weights=weight)), p


def _temperature(scores: Matrix, y: NDArray[np.int64], weight: Vector) -> float:
    found = minimize_scalar(
        lambda log: _loss(scores, y, weight, float(np.exp(log)))[0],
        bounds=(-3.0, 4.0), method="bounded", options={"xatol": 1e-4},
    )  # fmt: skip
    return float(np.exp(found.x))


def _losses(classifier: Classifier, rows: LabelledRows) -> Vector:
    p = softmax(
        (rows.x.astype(np.float64) @ classifier.coef.T + classifier.intercept)
        / classifier.temperature
    )
    losses: Vector = -np.log(np.maximum(p[np.arange(len(rows)), rows.y], 1e-12))
    return losses


def _low(difference: Vector, weight: Vector) -> float:
    mean = float(np.average(difference, weights=weight))
    spread = np.sqrt(np.average((difference - mean) ** 2, weights=weight))
    effective = weight.sum() ** 2 / (weight**2).sum()
    return mean - 1.96 * float(spread) / float(np.sqrt(effective))


def softmax(scores: Matrix) -> Matrix:
    """Rows of scores to rows of probabilities."""
    found: Matrix = np.exp(scores - scores.max(1, keepdims=True))
    found /= found.sum(1, keepdims=True)
    return found


def _figures(scores: Matrix, y: NDArray[np.int64], weight: Vector) -> dict[str, float]:
    p = softmax(scores)
    sure, right = p.max(1), p.argmax(1) == y
    return {
        "held_out_accuracy": float(np.average(right, weights=weight)),
        "ece": calibration_error(sure, right, weight),
    }


def calibration_error(sure: Vector, right: NDArray[np.bool_], weight: Vector) -> float:
    """How far the confidences are from the shares that were right, over ten bins, weighted."""
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    mass = np.bincount(place, weight, BINS)
    gap = np.bincount(place, weight * sure, BINS) - np.bincount(place, weight * right, BINS)
    return float(np.abs(gap).sum() / mass.sum())
