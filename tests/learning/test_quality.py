"""The quality model in numpy is scikit-learn's own pipeline, and survives freezing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import Ridge

from learning.errors import SnapshotSchema
from learning.interaction import Arm
from learning.policies.base import PolicySetup
from learning.policies.registry import build
from learning.quality import QualityModel, Rows, calibration_error
from learning.quality_check import Fitted, refit
from learning.quality_fit import LEVEL, SHARED, fit, levels
from learning.reward import RewardScale
from learning.snapshot import Frozen, freeze, thaw
from tests.learning.worlds import World


def model_of(rows: Rows) -> QualityModel:
    found = refit(rows)
    assert isinstance(found, Fitted), found
    return found.model


def sklearn_scores(rows: Rows, alpha: float, x: np.ndarray) -> np.ndarray:
    """Ridge as scikit-learn gives it over [shared, one block an arm], all rows; [n, K]."""
    arms, dimension = len(rows.arms), rows.x.shape[1]

    def design(features: np.ndarray, arm: np.ndarray) -> np.ndarray:
        scaled = features * levels(dimension)
        whole = np.zeros((len(arm), (arms + 1) * dimension))
        whole[:, :dimension] = SHARED * scaled
        for i, at in enumerate(arm):
            whole[i, (at + 1) * dimension : (at + 2) * dimension] = scaled[i]
        return whole

    offset = np.average(rows.quality, weights=rows.weight)
    ridge = Ridge(alpha=alpha, fit_intercept=False, solver="svd")
    ridge.fit(design(rows.x, rows.arm), rows.quality - offset, sample_weight=rows.weight)
    each = [ridge.predict(design(x, np.full(len(x), at))) for at in range(arms)]
    return np.stack(each, 1) + offset


def test_it_predicts_what_scikit_learns_own_pipeline_predicts() -> None:
    world = World(3)
    rows = world.rows(2_500)
    rows = Rows(rows.arms, rows.features, rows.arm, rows.x, rows.quality,
                world.rng.uniform(0.2, 1.0, len(rows)), rows.order)  # fmt: skip
    model, fitted = model_of(rows), fit(rows)
    x = world.requests(200)
    scores = sklearn_scores(rows, fitted.alpha, x)
    assert np.abs(model.scores(x) - scores).max() < 1e-9
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(fitted.score, fitted.quality)
    assert (
        np.abs(model.predict(x) - isotonic.predict(scores.ravel()).reshape(scores.shape)).max()
        < 1e-9
    )
    assert model.predict(x[0]) == pytest.approx(model.predict(x)[0], abs=1e-12)
    assert LEVEL > 1.0 and model.predict(x).min() >= 0.0 and model.predict(x).max() <= 1.0


def test_it_survives_freezing_and_refuses_another_kind() -> None:
    world = World(4)
    model = model_of(world.rows(600))
    data = freeze(model.state())
    again = QualityModel.of(thaw(data))
    x = world.requests(20)
    assert (again.predict(x) == model.predict(x)).all() and freeze(again.state()) == data
    assert (again.figures, again.through) == (model.figures, 599)
    with pytest.raises(SnapshotSchema, match="not of this quality model"):
        QualityModel.of(Frozen("linear", {}, {}))
    rows = world.rows(5)
    assert (Rows.of(thaw(freeze(rows.state()))).x == rows.x).all()
    with pytest.raises(SnapshotSchema):
        Rows.of(model.state())


def test_its_prior_is_the_plane_nearest_to_what_it_predicts() -> None:
    world = World(5)
    rows = world.rows(3_000)
    model = model_of(rows)
    predicted, plane = model.predict(rows.x), rows.x @ model.prior().theta.T
    best = rows.x @ np.linalg.lstsq(rows.x, predicted, rcond=None)[0]
    nearest = ((best - predicted) ** 2).mean()
    assert ((plane - predicted) ** 2).mean() < nearest * 1.02
    setup = PolicySetup(tuple(Arm(name) for name in world.arms), world.features, RewardScale())
    assert build("linear", setup, {}).take_prior(model.prior())
    assert not build("uniform", setup, {}).take_prior(model.prior())


def test_the_calibration_error_of_a_known_case() -> None:
    predicted = np.repeat([0.2, 0.8], 50)
    assert calibration_error(predicted, predicted) == 0.0
    assert calibration_error(predicted, np.repeat([0.3, 0.6], 50)) == pytest.approx(0.15)
