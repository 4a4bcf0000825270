"""An answer counts as much as its rating is believed, in every policy; revisions undo exactly."""

from __future__ import annotations

import numpy as np
import pytest

from learning.interaction import Arm, Choice, Context, Interaction
from learning.policies.base import Policy, PolicySetup
from learning.policies.registry import build
from learning.reward import Reward, RewardScale

SETUP = PolicySetup(
    (Arm("a", 0.1, 0.4), Arm("b", 0.1, 0.4)), ("slope", "constant"), RewardScale(1e9, 60.0)
)
KINDS = ("linear", "epsilon_greedy", "linucb", "thompson")


def rate(
    policy: Policy, slope: float, quality: float, at_s: float, old: float | None = None,
    **weights: float,
) -> None:  # fmt: skip
    context = Context(np.array([slope, 1.0], np.float32), 100)
    revises = None if old is None else Reward(quality=old)
    policy.learn(
        Interaction(context, Choice("a", 0.5), Reward(quality=quality), at_s, revises, **weights)
    )


def sums(policy: Policy) -> dict[str, np.ndarray]:
    arrays = policy.state().arrays
    return {name: arrays[name] for name in ("gram", "moment", "square", "count")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_half_believed_answer_is_half_an_answer(kind: str) -> None:
    half, one = build(kind, SETUP, {}), build(kind, SETUP, {})
    for at in range(10):
        for _ in range(2):
            rate(half, at / 10.0, 0.8, 1e9, weight=0.5)
        rate(one, at / 10.0, 0.8, 1e9)
    for name, array in sums(half).items():
        assert array == pytest.approx(sums(one)[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_revision_takes_back_what_the_former_counted(kind: str) -> None:
    revised, fresh = build(kind, SETUP, {}), build(kind, SETUP, {})
    for at in range(20):
        slope = at / 20.0
        rate(revised, slope, 0.2, 1e9 + at, weight=0.3)
        rate(revised, slope, 0.9, 1e9 + at, old=0.2, weight=0.7, revises_weight=0.3)
        rate(fresh, slope, 0.9, 1e9 + at, weight=0.7)
    for name, array in sums(revised).items():
        assert array == pytest.approx(sums(fresh)[name]), name


def test_what_is_hardly_believed_raises_no_alarm_of_a_change() -> None:
    found = {}
    for trust in (1.0, 0.1):
        policy, rng = build("linear", SETUP, {}), np.random.default_rng(3)
        for at in range(300):
            rate(policy, float(rng.choice([-1.0, 1.0])), float(rng.random() < 0.9), 1e9 + at)
        for at in range(60):
            rate(policy, float(rng.choice([-1.0, 1.0])), 0.0, 1e9 + 300 + at, weight=trust)
        found[trust] = policy.alarms()["a"]
    assert found == {1.0: 1, 0.1: 0}


def test_the_state_put_aside_knows_what_a_late_rating_counts() -> None:
    policy, rng = build("linear", SETUP, {}), np.random.default_rng(3)
    for at in range(400):
        quality = float(rng.random() < (0.9 if at < 300 else 0.1))
        rate(policy, float(rng.choice([-1.0, 1.0])), quality, 1e9 + at)
    before = policy.state().arrays
    assert len(before["kept_arm"]) == 1
    rate(policy, 1.0, 1.0, 1e9 + 10, weight=0.25)
    after = policy.state().arrays
    assert after["kept_numbers"][0, 1] - before["kept_numbers"][0, 1] == pytest.approx(
        0.25, rel=1e-4
    )
