"""The correction follows a change that the quality model has not seen, and nothing else."""

from __future__ import annotations

import numpy as np

from learning.online import OnlineCorrection
from learning.quality import QualityModel
from learning.quality_check import Fitted, refit
from tests.learning.worlds import World


def fitted(world: World) -> QualityModel:
    found = refit(world.rows(4_000))
    assert isinstance(found, Fitted)
    return found.model


def taught(model: QualityModel, world: World, fallen: float, count: int = 800) -> OnlineCorrection:
    online, rng = OnlineCorrection(model), np.random.default_rng(5)
    for at, x in enumerate(world.requests(count)):
        arm = at % len(world.arms)
        good = float(world.truth(x[None])[0, arm]) * (fallen if arm == 0 else 1.0)
        online.learn(world.arms[arm], x, float(rng.random() < good))
    return online


def test_it_follows_an_arm_that_became_worse() -> None:
    world = World(21)
    model = fitted(world)
    online = taught(model, world, fallen=0.3)
    assert online.errors is not None and online.ratings == 800
    x = world.requests(300)
    truth = world.truth(x)
    truth[:, 0] *= 0.3
    corrected = np.array([online.corrected(model.predict(each)) for each in x])
    before, after = ((model.predict(x) - truth) ** 2).mean(0), ((corrected - truth) ** 2).mean(0)
    assert after[0] < 0.3 * before[0]
    assert after[1:].mean() < before[1:].mean() + 0.01


def test_where_nothing_changed_it_costs_little() -> None:
    world = World(22)
    online = taught(fitted(world), world, fallen=1.0)
    plain, corrected = online.errors or (0.0, 0.0)
    assert corrected < plain + 0.005


def test_equal_ratings_give_equal_corrections_and_strangers_are_passed_over() -> None:
    world = World(23)
    model = fitted(world)
    state = world.rng.bit_generator.state
    one = taught(model, world, 0.5, 100)
    world.rng.bit_generator.state = state
    two = taught(model, world, 0.5, 100)
    predicted = model.predict(world.requests(1)[0])
    assert (one.corrected(predicted) == two.corrected(predicted)).all()
    one.learn("stranger", world.requests(1)[0], 1.0)
    one.learn(world.arms[0], np.ones(3), 1.0)
    assert one.ratings == 100 and OnlineCorrection(model).errors is None
