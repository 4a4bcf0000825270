"""A refit that knows something is accepted; one that knows nothing, or less than before, is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learning.interaction import Arm, Context, Interaction
from learning.policies.base import PolicySetup, Prior
from learning.policies.registry import build
from learning.quality import Rows
from learning.quality_check import Fitted, Refused, refit
from learning.reward import Reward, RewardScale
from tests.learning.worlds import World, joined


def shuffled(rows: Rows, seed: int) -> Rows:
    return replace(rows, quality=np.random.default_rng(seed).permutation(rows.quality))


def swapped(rows: Rows) -> Rows:
    return replace(rows, arm=(rows.arm + 1) % len(rows.arms))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_sound_refit_is_accepted_with_its_figures(seed: int) -> None:
    rows = World(seed).rows(2_000)
    found = refit(rows)
    assert isinstance(found, Fitted)
    figures = found.model.figures
    assert (figures.rows, figures.held_out, found.model.through) == (2_000, 400, 1_999)
    assert figures.error < figures.means_error and 0.0 <= figures.ece < 0.2
    assert found.model.count.sum() == 2_000 and (found.model.deviation > 0.1).all()
    again = refit(rows.take(np.random.default_rng(0).permutation(2_000)))
    assert isinstance(again, Fitted) and again.model.theta == pytest.approx(found.model.theta)


def test_shuffled_ratings_are_refused() -> None:
    """One side at 97.7 %: of 30, four or more would come by chance once in two thousand times."""
    verdicts = [refit(shuffled(World(seed).rows(1_000), seed)) for seed in range(30)]
    refused = [each for each in verdicts if isinstance(each, Refused)]
    assert len(refused) >= 27
    assert all("not surely below that of the arms' means" in each.reason for each in refused)


def test_ratings_of_swapped_arms_are_refused() -> None:
    """The older rows were credited to the wrong arms: what they teach does not hold on the rest."""
    world = World(8)
    world._own *= 3.0
    found = refit(joined(swapped(world.rows(1_600)), world.rows(400, 1_600)))
    assert isinstance(found, Refused) and found.figures is not None


def test_a_refit_that_is_worse_than_the_model_in_use_is_refused() -> None:
    """A third of what it learns from is muddled; the newest fifth, new to both, is sound."""
    world = World(3)
    old = refit(world.rows(20_000))
    assert isinstance(old, Fitted)
    rows = joined(shuffled(world.rows(2_000, 20_000), 1), world.rows(4_000, 22_000))
    assert isinstance(refit(rows), Fitted)  # good enough where there is none
    found = refit(rows, old.model)
    assert isinstance(found, Refused) and "that of the model in use" in found.reason
    assert found.figures is not None and found.figures.current_rows == 1_200


def test_a_refit_from_more_replaces_the_model_in_use() -> None:
    world = World(9)
    old = refit(world.rows(1_000))
    assert isinstance(old, Fitted)
    found = refit(
        joined(world.rows(5_000), world.rows(700, 5_000)), replace(old.model, through=4_999)
    )
    assert isinstance(found, Fitted)
    figures = found.model.figures
    assert figures.current_rows == 700 and figures.current_error is not None
    assert figures.refit_error is not None and figures.refit_error < figures.current_error


def test_a_model_of_other_features_is_no_measure() -> None:
    world = World(11)
    sound = refit(world.rows(1_000))
    assert isinstance(sound, Fitted)
    other = replace(sound.model, features=("x", *sound.model.features[1:]))
    found = refit(world.rows(1_000, 1_000), other)
    assert isinstance(found, Fitted) and found.model.figures.current_error is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("x", np.nan, "not every x is finite"), ("quality", np.inf, "not every quality"),
     ("quality", 1.5, "outside"), ("weight", -1.0, "weights")],
)  # fmt: skip
def test_rows_that_cannot_be_fitted_are_refused(name: str, value: float, said: str) -> None:
    rows = World(12).rows(300)
    getattr(rows, name)[7] = value
    found = refit(rows)
    assert isinstance(found, Refused) and said in found.reason


def test_too_few_rows_are_refused() -> None:
    found = refit(World(13).rows(199))
    assert isinstance(found, Refused) and found.reason == "199 rows; at least 200 are needed"


def reward_of_first(world: World, rounds: int, prior: Prior | None) -> float:
    """Mean true quality of what a fresh linear policy draws in its first rounds."""
    setup = PolicySetup(tuple(Arm(name) for name in world.arms), world.features, RewardScale())
    policy = build("linear", setup, {})
    if prior is not None:
        policy.take_prior(prior)
    rng, total = np.random.default_rng(17), 0.0
    everybody = range(len(world.arms))
    for at, x in enumerate(world.requests(rounds)):
        context = Context(x.astype(np.float32), 10)
        choice, _, _ = policy.chooser(float(at)).choose(context, everybody, rng.random())
        good = float(world.truth(x[None])[0, policy.index(choice.arm)])
        quality = float(rng.random() < good)
        policy.learn(Interaction(context, choice, Reward(quality=quality), float(at)))
        total += good
    return total / rounds


def test_the_prior_raises_what_a_fresh_policy_earns_early() -> None:
    gains = []
    for seed in range(6):
        found = refit(World(seed).rows(2_000))
        assert isinstance(found, Fitted)
        with_prior = reward_of_first(World(seed), 150, found.model.prior())
        gains.append(with_prior - reward_of_first(World(seed), 150, None))
    assert min(gains) > -0.02 and np.mean(gains) > 0.03
