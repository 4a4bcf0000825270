"""The model at work: equal to its parts, priors where it knows nothing, itself again at rest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from learning.acceptance import (
    ISOTONIC,
    LOGISTIC,
    AcceptanceModel,
    Foresight,
    Standing,
    Tally,
    joined,
    map_of_one,
    mapped,
    prior_chance,
    tally_of,
    with_scores,
)
from learning.difficulty import Demand
from learning.errors import SnapshotSchema
from learning.snapshot import Frozen, freeze, thaw

FIGURES = Standing(900, 180, 0.15, 0.2, 0.19, -0.01, -0.02, 0.75, 0.7, 0.55, 0.1, 0.02, "logistic",
                   "platt")  # fmt: skip
ARMS = ("x", "y", "z")
NAMES = with_scores(("a", "b", "constant"))
DEMAND = Demand(60.0, 20.0, 40.0)


def model(form: str = LOGISTIC) -> AcceptanceModel:
    rng = np.random.default_rng(5)
    size = len(NAMES)
    knots = np.array([[1.3], [0.2]]) if form == LOGISTIC else np.array([[-1.0, 1.0], [0.2, 0.9]])
    tally = Tally(ARMS, np.array([500.0, 300.0, 2.0]), np.array([400.0, 90.0, 2.0]))
    root = np.stack([np.eye(size) * 0.1] * 3)
    return AcceptanceModel(
        ARMS, NAMES, 0.7, rng.normal(size=(3, size)), form, knots, root, tally, 77, FIGURES, 1.5
    )


def test_scores_stand_before_the_constant() -> None:
    x = joined(np.array([[0.3, 0.4, 1.0]]), np.array([[60.0, 20.0, 40.0]]))
    assert x[0].tolist() == pytest.approx([0.3, 0.4, 0.1, -0.3, -0.1, 1.0])
    assert NAMES == ("a", "b", "complexity", "ambiguity", "difficulty", "constant")
    some = joined(np.ones((2, 2)), np.array([[60.0, 20.0, 40.0], [np.nan] * 3]))
    assert some[1].tolist() == some[0].tolist()  # not known: the middle of those that are


@pytest.mark.parametrize("form", [LOGISTIC, ISOTONIC])
def test_a_chance_is_the_map_of_a_product(form: str) -> None:
    made, features = model(form), np.array([0.3, 0.4, 1.0], dtype=np.float32)
    foresight = Foresight(dict.fromkeys(("y", "x"), 0.7), 0.7, made)
    x = joined(features[None].astype(np.float64), np.array([[60.0, 20.0, 40.0]]))[0]
    score = made.theta @ x
    wanted = expit(1.3 * score + 0.2) if form == LOGISTIC else np.interp(score, [-1, 1], [0.2, 0.9])
    found = foresight.chances(features, DEMAND)
    assert found == pytest.approx(wanted[[1, 0]], abs=1e-12)
    told = foresight.foreseen(features, DEMAND)
    assert told.chance == pytest.approx(found) and (told.deviation >= 0.0).all()
    single = foresight.deviations_of(range(2), features, DEMAND)
    assert single == pytest.approx(told.deviation, abs=1e-12)


def test_what_the_model_does_not_know_stands_at_the_prior() -> None:
    features = np.array([0.3, 0.4, 1.0])
    foresight = Foresight({"x": 0.7, "z": 0.7, "new": 0.9}, 0.7, model())
    told = foresight.foreseen(features, DEMAND)
    assert told.chance[2] == pytest.approx(prior_chance(0.9, 0.7)) and told.chance[2] > 0.7
    assert told.chance[1] == pytest.approx((8 * 0.5 + 2) / 10)  # two rated answers are no fit
    assert told.deviation[2] > 0.1 and told.deviation[1] > 0.1
    assert foresight.chances(features, DEMAND) == pytest.approx(told.chance)
    single = foresight.deviations_of(range(3), features, DEMAND)
    assert single == pytest.approx(told.deviation, abs=1e-12)


def test_without_a_model_the_prior_is_drawn_to_what_was_rated() -> None:
    cold = Foresight({"x": 0.7, "y": 0.3}, 0.7)
    assert cold.chances(np.ones(3), DEMAND) == pytest.approx([0.5, prior_chance(0.3, 0.7)])
    tally = tally_of(Tally(("x",), np.array([92.0]), np.array([92.0])).plain())
    warm = Foresight({"x": 0.7, "y": 0.3}, 0.7, tally=tally)
    found = warm.foreseen(np.ones(3), DEMAND)
    assert found.chance[0] == pytest.approx(0.96) and found.deviation[0] < 0.03
    assert found.chance[1] == cold.chance[1]


def test_it_is_itself_again_at_rest_and_no_other() -> None:
    made = model()
    again = AcceptanceModel.of(thaw(freeze(made.state())))
    assert freeze(again.state()) == freeze(made.state()) and again.standing == FIGURES
    with pytest.raises(SnapshotSchema):
        AcceptanceModel.of(Frozen("quality", {"layout": 1}, {}))


def test_a_map_never_says_sure() -> None:
    far = np.array([-1e9, 1e9])
    assert mapped(LOGISTIC, np.array([[1.0], [0.0]]), far).tolist() == [0.001, 0.999]
    assert mapped(ISOTONIC, np.array([[0.0, 1.0], [0.0, 1.0]]), far).tolist() == [0.001, 0.999]


@pytest.mark.parametrize("form", [LOGISTIC, ISOTONIC])
def test_a_map_of_one_score_is_that_of_many(form: str) -> None:
    knots = np.array([[-1.5, -0.25, 0.5, 2.0], [0.1, 0.1, 0.6, 0.97]])
    knots = knots[:, [1, 3]][:, :1] if form == LOGISTIC else knots
    scores = np.concatenate((np.linspace(-4.0, 4.0, 401), knots[0], [-1e9, 1e9]))
    single = list(map(map_of_one(form, knots), scores.tolist()))
    assert single == pytest.approx(mapped(form, knots, scores), abs=1e-12)
