"""A small real classifier for the tests of labels: fitted by scikit-learn, asked in numpy."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from learning.interaction import Vector
from learning.labels import Labels
from learning.snapshot import Frozen
from service.feedback.label_fitting import run

WIDTH = 4


@dataclass(frozen=True)
class Small:
    """Multinomial logistic regression."""

    tasks: tuple[str, ...]
    version: str
    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]

    def of_features(self, x: NDArray[np.float32]) -> Vector:
        scores = self.coef @ x.astype(np.float64) + self.intercept
        chances = np.exp(scores - scores.max())
        return np.asarray(chances / chances.sum())

    def state(self) -> Frozen:
        about = {"tasks": list(self.tasks), "version": self.version}
        return Frozen("small", about, {"coef": self.coef, "intercept": self.intercept})


def base(wanted: Mapping[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What is known without people: ``blur`` says how little."""
    rng, tasks = np.random.default_rng(1), len(wanted["tasks"])
    y = np.repeat(np.arange(tasks), 20)
    x = np.eye(tasks, WIDTH)[y] + rng.normal(0.0, wanted["blur"], (len(y), WIDTH))
    return x.astype(np.float32), y


def fitted(wanted: Mapping[str, Any], labels: Labels, version: str) -> Small:
    x, y = base(wanted)
    weight = np.concatenate([np.ones(len(y)), labels.clipped])
    if len(labels):
        x, y = np.concatenate([x, labels.x]), np.concatenate([y, labels.y])
    found = LogisticRegression(C=1.0, max_iter=500).fit(x, y, sample_weight=weight)
    return Small(tuple(wanted["tasks"]), version, found.coef_, found.intercept_)


def known(frozen: Frozen) -> Small:
    about = frozen.about
    return Small(
        tuple(about["tasks"]), about["version"], frozen.arrays["coef"], frozen.arrays["intercept"]
    )


if __name__ == "__main__":
    run(fitted, known, sys.argv[1:])
