"""What every registered policy holds to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from learning.errors import SnapshotSchema, UnknownArm, UnknownPolicy
from learning.interaction import Arm, Choice, Context, Interaction
from learning.policies.base import Policy, PolicySetup
from learning.policies.registry import POLICIES, build
from learning.reward import Reward, RewardScale

FEATURES = ("word_0", "word_1", "slope", "constant")
ARMS = tuple(Arm(name, 1.0 + i, 2.0 + i) for i, name in enumerate(("a", "b", "c", "d")))
SETUP = PolicySetup(ARMS, FEATURES, RewardScale(0.1, 60.0))
PARAMETERS: dict[str, dict[str, Any]] = {
    "linear": {"floor": 0.02, "budget_usd": 0.002},
    "uniform": {},
    "fixed": {"arm": "c", "floor": 0.02},
    "epsilon_greedy": {"budget_usd": 0.002},
    "linucb": {"exploration": 1.0, "budget_usd": 0.002},
    "thompson": {"exploration": 1.0, "budget_usd": 0.002},
    "inverse_gap": {"budget_usd": 0.002},
}
FLOORS = {
    "linear": 0.0, "uniform": 0.25, "fixed": 0.02, "epsilon_greedy": 0.025, "linucb": 0.0,
    "thompson": 0.0, "inverse_gap": 0.0,
}  # fmt: skip
kinds = pytest.mark.parametrize("kind", POLICIES)


def make(kind: str) -> Policy:
    return build(kind, SETUP, PARAMETERS[kind])


def context(rng: np.random.Generator) -> Context:
    features = rng.standard_normal(4).astype(np.float32)
    features[-1] = 1.0
    return Context(features, int(rng.integers(10, 500)))


def teach(policy: Policy, seed: int, count: int = 150) -> float:
    """Some outcomes and ratings, some of them revised; the time of the last."""
    rng = np.random.default_rng(seed)
    at_s = 1e9
    for step in range(count):
        at_s += float(rng.exponential(3.0))
        name = ARMS[int(rng.integers(4))].name
        seen, choice = context(rng), Choice(name, 0.25)
        failed = bool(rng.random() < 0.1)
        shown = Reward(
            cost_usd=float(rng.random()) * 0.003, latency_s=float(rng.random()),
            tokens_out=int(rng.integers(10, 300)), failed=failed,
        )  # fmt: skip
        policy.learn(Interaction(seen, choice, shown, at_s))
        quality = float(rng.random() * (1.0 if name == "b" else 0.6))
        policy.learn(Interaction(seen, choice, Reward(quality=quality), at_s))
        if step % 5 == 0:
            again = Reward(quality=float(rng.random()))
            policy.learn(Interaction(seen, choice, again, at_s, revises=Reward(quality=quality)))
    return at_s


def test_every_kind_has_parameters_here() -> None:
    assert set(PARAMETERS) == set(POLICIES) == set(FLOORS)


@kinds
@pytest.mark.parametrize("eligible", [[0, 1, 2, 3], [1, 3], [2]])
def test_propensities_sum_to_one_and_hold_the_floor(kind: str, eligible: list[int]) -> None:
    policy = make(kind)
    chooser = policy.chooser(teach(policy, 1))
    rng = np.random.default_rng(2)
    for _ in range(200):
        scores = chooser.scores(context(rng), eligible)
        found = chooser.propensities(scores)
        if scores.floor is not None:
            assert (scores.floor > 0).all() and (found >= scores.floor - 1e-12).all()
        assert found.shape == (len(eligible),)
        assert found.sum() == pytest.approx(1.0, abs=1e-12)
        assert found.min() >= min(FLOORS[kind], 1.0 / len(eligible)) - 1e-12


@kinds
def test_scores_belong_to_the_arms_whatever_their_order(kind: str) -> None:
    policy = make(kind)
    chooser = policy.chooser(teach(policy, 3))
    seen = context(np.random.default_rng(1))
    straight, mixed = chooser.scores(seen, [0, 1, 2, 3]), chooser.scores(seen, [2, 0, 3, 1])
    for name in ("quality", "cost_usd", "latency_s", "error_rate", "utility"):
        assert getattr(straight, name)[[2, 0, 3, 1]].tolist() == getattr(mixed, name).tolist()


@kinds
def test_propensities_equal_the_frequency_of_the_draw(kind: str) -> None:
    """Chi-square at p < 1e-4 on a fixed seed."""
    policy = make(kind)
    chooser = policy.chooser(teach(policy, 4))
    rng = np.random.default_rng(5)
    seen, counts = context(rng), np.zeros(4)
    _, weights, _ = chooser.choose(seen, [0, 1, 2, 3], 0.5)
    for number in rng.random(20_000):
        choice, again, _ = chooser.choose(seen, [0, 1, 2, 3], number)
        at = chooser.arms.index(choice.arm)
        assert choice.propensity == again[at] == weights[at]
        counts[at] += 1
    drawn = weights > 1e-6
    assert counts[~drawn].sum() <= 5
    if drawn.sum() > 1:
        scale = counts[drawn].sum() / weights[drawn].sum()
        assert stats.chisquare(counts[drawn], weights[drawn] * scale).pvalue > 1e-4


@kinds
def test_an_unknown_arm_is_refused(kind: str) -> None:
    seen = context(np.random.default_rng(0))
    with pytest.raises(UnknownArm, match="nobody"):
        make(kind).learn(Interaction(seen, Choice("nobody", 1.0), Reward(quality=1.0), 1e9))


@kinds
def test_state_survives_freeze_and_thaw_and_then_learns_alike(kind: str) -> None:
    policy, other = make(kind), make(kind)
    at_s = teach(policy, 6)
    other.thaw(policy.freeze())
    assert other.freeze() == policy.freeze()
    teach(policy, 7), teach(other, 7)
    assert other.freeze() == policy.freeze()
    seen = context(np.random.default_rng(8))
    one, two = (p.chooser(at_s + 50).choose(seen, [0, 1, 2, 3], 0.3) for p in (policy, other))
    assert one[0] == two[0] and one[1].tobytes() == two[1].tobytes()


@kinds
def test_the_same_inputs_give_the_same_bytes(kind: str) -> None:
    first, second = make(kind), make(kind)
    teach(first, 9), teach(second, 9)
    assert first.freeze() == second.freeze()


@kinds
def test_a_foreign_snapshot_is_refused(kind: str) -> None:
    others = [name for name in POLICIES if name != kind]
    with pytest.raises(SnapshotSchema, match="snapshot of a"):
        make(kind).thaw(make(others[0]).freeze())


@kinds
def test_an_unknown_parameter_is_named(kind: str) -> None:
    with pytest.raises(ValueError, match="unknown parameter 'gama'"):
        build(kind, SETUP, {"gama": 1.0})


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(UnknownPolicy, match="registered: linear"):
        build("cleverest", SETUP, {})


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("linear", {"floor": 0.5}, "floor"),
        ("linear", {"temper": "much"}, "temper must be a number"),
        ("linear", {"threshold": 0}, "threshold must be above zero"),
        ("linear", {"budget_usd": 0}, "budget_usd"),
        ("linear", {"temper": float("nan")}, "temper must be finite"),
        ("linear", {"shrinkage": 1.0}, "unknown parameter 'shrinkage'"),
        ("linear", {"rise_per_minute": 0}, "rise_per_minute must be above zero"),
        ("linear", {"live_prior": 0}, "live_prior must be above zero"),
        ("linear", {"prior_error_rate": 5}, "prior_error_rate must be at most 1"),
        ("linear", {"live_half_life_s": 0.1}, "live_half_life_s"),
        ("fixed", {"floor": 2.0}, "floor"),
    ],
)
def test_a_wrong_parameter_is_named(kind: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(kind, SETUP, parameters)


def test_fixed_uses_its_arm_and_otherwise_the_first_eligible() -> None:
    chooser = build("fixed", SETUP, {"arm": "c"}).chooser(0.0)
    seen = context(np.random.default_rng(0))
    assert chooser.choose(seen, [0, 2], 0.999)[0].arm == "c"
    assert chooser.choose(seen, [1, 3], 0.999)[0].arm == "b"


@pytest.mark.parametrize("kind", [k for k in POLICIES if k not in ("uniform", "fixed")])
def test_every_learner_beats_uniform(kind: str) -> None:
    """Two kinds of prompts, each with its own best arm; 1,000 answers, one fixed seed."""
    parameters = {k: v for k, v in PARAMETERS[kind].items() if k != "budget_usd"}
    policy = build(kind, SETUP, parameters)
    rng, earned, alike = np.random.default_rng(11), 0.0, 0.0
    for step in range(1_000):
        sign = float(rng.choice([-1.0, 1.0]))
        seen = Context(np.array([0.0, 0.0, sign, 1.0], np.float32), 100)
        worth = {"a": 0.5, "b": 0.6 + 0.3 * sign, "c": 0.6 - 0.3 * sign, "d": 0.3}
        if step % 8 == 0:
            chooser = policy.chooser(1e9 + step)
        choice, _, _ = chooser.choose(seen, [0, 1, 2, 3], float(rng.random()))
        policy.learn(Interaction(seen, choice, Reward(quality=worth[choice.arm]), 1e9 + step))
        earned += worth[choice.arm] / 1_000
        alike += sum(worth.values()) / 4_000
    assert earned > alike + 0.2


@kinds
@pytest.mark.parametrize("eligible", [[0, 1, 2, 3], [1, 3], [2]])
@pytest.mark.parametrize("budget_usd", [0.002, 0.0005, 1.0])
def test_what_many_contexts_get_is_the_mean_of_what_each_gets(
    kind: str, eligible: list[int], budget_usd: float
) -> None:
    budget = {"budget_usd": budget_usd} if "budget_usd" in PARAMETERS[kind] else {}
    policy = build(kind, SETUP, PARAMETERS[kind] | budget)
    chooser = policy.chooser(teach(policy, 3, 60))
    rng = np.random.default_rng(4)
    seen = [replace(context(rng), cost_dial=d, tokens_out_limit=n) for d in (0.0, 1.0, 2.0)
            for n in (0, 40) for _ in range(5)]  # fmt: skip
    told = chooser.expected(seen, eligible)
    each = [chooser.scores(one, eligible) for one in seen]
    share = np.mean([chooser.propensities(scores) for scores in each], axis=0)
    assert told.share == pytest.approx(share, rel=1e-9, abs=1e-12)
    for name in ("quality", "cost_usd", "latency_s", "error_rate", "utility"):
        mean = np.mean([getattr(scores, name) for scores in each], axis=0)
        assert getattr(told, name) == pytest.approx(mean, rel=1e-9, abs=1e-12)
