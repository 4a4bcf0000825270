"""Fits whose chances a test chooses: by deployment, less where a request has maths in it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from learning.acceptance import LOGISTIC, AcceptanceModel, Foresight, Standing, Tally, with_scores
from learning.features import Featurizer
from service.routing.foreseeing import FITTED, Foreseer, PredictionRules, Published
from service.routing.ladder import NO_LADDERS, Ladders
from service.routing.predicting import Prediction
from tests.service.routing.world import CATALOG

NAMES = tuple(each.name for each in CATALOG)
STANDING = Standing(900, 180, 0.15, 0.2, 0.19, -0.01, -0.02, 0.75, 0.7, 0.55, 0.1, 0.02, "logistic",
                    "platt")  # fmt: skip


def odds(chance: float) -> float:
    return math.log(chance / (1.0 - chance))


def model(
    easy: Mapping[str, float], hard: Mapping[str, float] | None = None, unsure: float = 0.0
) -> AcceptanceModel:
    """Chances of each deployment, and of those in ``hard`` for a request with maths; ``unsure``:
    the deviation of every score.
    """
    features = with_scores(Featurizer(["code", "other"]).names)
    size, maths = len(features), features.index("has_maths")
    theta, root = np.zeros((len(easy), size)), np.zeros((len(easy), size, size))
    for at, (name, chance) in enumerate(easy.items()):
        theta[at, -1] = odds(chance)
        theta[at, maths] = odds((hard or easy).get(name, chance)) - odds(chance)
        root[at, -1, -1] = unsure
    count = np.full(len(easy), 500.0)
    tally = Tally(tuple(easy), count, count * np.array([*easy.values()]))
    return AcceptanceModel(
        tuple(easy), features, 0.7, theta, LOGISTIC, np.array([[1.0], [0.0]]), root, tally, 9,
        STANDING,
    )  # fmt: skip


def prediction(
    made: AcceptanceModel | None,
    rules: PredictionRules,
    state: str = FITTED,
    ladders: Ladders = NO_LADDERS,
) -> Prediction:
    """What acts by that fit."""
    foresight = Foresight(dict.fromkeys(NAMES, 0.7), 0.7, made)
    return Prediction(Foreseer(NAMES, rules, Published(foresight, "m-1", state)), ladders)
