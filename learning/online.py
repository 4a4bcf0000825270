"""What the quality model has been off by since its fit, arm by arm, as ratings come in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from river import linear_model

from learning.interaction import Vector
from learning.quality import QualityModel

SMOOTHING = 0.99
PRIOR_PRECISION = 20.0


class OnlineCorrection:
    """A Bayesian linear regression an arm (river's) of what the model missed.

    Its features are the calibrated prediction and a constant, so it sees an arm that became
    worse and one whose prediction became less telling. It forgets one part in a hundred a
    rating. Of the methods that were tried on simulated changes (docs/decisions/0010) it came
    nearest to the truth. It learns ratings in the order given and knows no chance, so equal
    ratings give equal corrections. A new model begins a new one.
    """

    def __init__(self, model: QualityModel) -> None:
        self.model = model
        self.ratings = 0
        self._arms: dict[int, Any] = {}
        self._squares = np.zeros(2)

    def corrected(self, predicted: Vector) -> Vector:
        """The prediction [K] of the model, corrected; in [0, 1]."""
        found = predicted.copy()
        for at in self._arms:
            found[at] = self._one(at, float(predicted[at]))
        return found

    def _one(self, at: int, predicted: float) -> float:
        regression = self._arms.get(at)
        off = float(regression.predict_one(_features(predicted))) if regression else 0.0
        return min(1.0, max(0.0, predicted + off))

    def learn(self, arm: str, x: Vector, quality: float, weight: float = 1.0) -> None:
        """One rating of an answer of ``arm``, believed so far as ``weight`` in [0, 1] says; what
        the model does not know is passed over.
        """
        if arm not in self.model.arms or x.shape != (len(self.model.features),):
            return
        at = self.model.arms.index(arm)
        plain = float(self.model.predict(x)[at])
        before = self._one(at, plain)
        self._squares += (plain - quality) ** 2, (before - quality) ** 2
        self.ratings += 1
        if at not in self._arms:
            self._arms[at] = linear_model.BayesianLinearRegression(
                alpha=PRIOR_PRECISION, beta=1.0, smoothing=SMOOTHING
            )
        root = math.sqrt(weight)  # a squared error counts ``weight`` when both are scaled by this
        row = {name: root * value for name, value in _features(plain).items()}
        self._arms[at].learn_one(row, root * (quality - plain))

    @property
    def errors(self) -> tuple[float, float] | None:
        """The mean squared error since the fit: of the model, and of the corrected prediction,
        each before it had seen the rating; None before the first.
        """
        if not self.ratings:
            return None
        plain, corrected = (self._squares / self.ratings).tolist()
        return plain, corrected


def _features(predicted: float) -> dict[str, float]:
    return {"score": predicted - 0.5, "one": 0.5}
