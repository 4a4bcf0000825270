"""The linear policy learns who is good at what, what it costs, who is slow or failing."""

from __future__ import annotations

import numpy as np
import pytest

from learning.errors import InvalidInteraction
from learning.interaction import Arm, Choice, Context, Interaction
from learning.policies.base import Policy, PolicySetup
from learning.policies.registry import build
from learning.reward import Reward, RewardScale

FEATURES = ("slope", "constant")
ARMS = (Arm("cheap", 0.1, 0.4), Arm("dear", 10.0, 40.0))


def make(worth_usd: float = 1e9, **parameters: float) -> Policy:
    return build("linear", PolicySetup(ARMS, FEATURES, RewardScale(worth_usd, 60.0)), parameters)


def seen(slope: float) -> Context:
    return Context(np.array([slope, 1.0], np.float32), 100)


def rate(policy: Policy, arm: str, slope: float, quality: float, at_s: float) -> None:
    policy.learn(Interaction(seen(slope), Choice(arm, 0.5), Reward(quality=quality), at_s))


def show(policy: Policy, arm: str, at_s: float, **parts: float | bool | int) -> None:
    shown = Reward(**{"failed": False, "latency_s": 1.0} | parts)  # type: ignore[arg-type]
    policy.learn(Interaction(seen(0.0), Choice(arm, 0.5), shown, at_s))


def shares(policy: Policy, slope: float, at_s: float) -> np.ndarray:
    chooser = policy.chooser(at_s)
    return chooser.propensities(chooser.scores(seen(slope), [0, 1]))


def test_it_beats_uniform_and_finds_who_is_good_at_what() -> None:
    policy, rng, earned, uniform = make(), np.random.default_rng(1), 0.0, 0.0
    for step in range(1_500):
        at_s, slope = 1e9 + step, float(rng.choice([-1.0, 1.0]))
        quality = {"cheap": 0.6 + 0.3 * slope, "dear": 0.6 - 0.3 * slope}
        choice, _, _ = policy.chooser(at_s).choose(seen(slope), [0, 1], float(rng.random()))
        rate(policy, choice.arm, slope, quality[choice.arm], at_s)
        earned += quality[choice.arm] / 1_500
        uniform += 0.6 / 1_500
    assert earned > uniform + 0.2
    assert shares(policy, 1.0, 1e9 + 1_500)[0] > 0.9 > 0.1 > shares(policy, -1.0, 1e9 + 1_500)[0]


def test_cold_it_prefers_nobody_by_much_and_never_divides_by_nothing() -> None:
    found = shares(make(), 0.0, 1e9)
    assert np.isfinite(found).all() and found.min() > 0.2


def test_a_dollars_worth_decides_between_equals() -> None:
    assert shares(make(worth_usd=0.01), 0.0, 1e9)[0] > shares(make(), 0.0, 1e9)[0]


def test_the_requests_dial_scales_the_price_of_a_dollar() -> None:
    chooser = make(worth_usd=0.05).chooser(1e9)
    frugal, lavish = (
        chooser.scores(Context(np.array([0.0, 1.0], np.float32), 100, cost_dial=dial), [0, 1])
        for dial in (10.0, 0.0)
    )
    assert lavish.utility[0] == pytest.approx(lavish.utility[1])
    assert frugal.utility[0] > frugal.utility[1] + 1.0


def test_errors_take_weight_at_once_and_time_gives_it_back() -> None:
    policy = make(live_half_life_s=15.0)
    for step in range(200):
        rate(policy, "dear", 0.0, 0.9, 1e9 + step)
        rate(policy, "cheap", 0.0, 0.7, 1e9 + step)
        show(policy, "dear", 1e9 + step)
    before = shares(policy, 0.0, 1e9 + 200)[1]
    for step in range(20):
        show(policy, "dear", 1e9 + 200 + step, failed=True)
    during = shares(policy, 0.0, 1e9 + 220)[1]
    after = shares(policy, 0.0, 1e9 + 220 + 900)[1]
    assert before > 0.8 > 0.3 > during and after > 0.8


def test_slowness_takes_weight() -> None:
    policy = make()
    for step in range(60):
        show(policy, "dear", 1e9 + step, latency_s=45.0)
        show(policy, "cheap", 1e9 + step, latency_s=0.5)
    assert shares(policy, 0.0, 1e9 + 60)[0] > 0.6


def test_a_revision_leaves_what_the_last_rating_alone_would_have_left() -> None:
    once, twice = make(), make()
    rate(once, "dear", 0.5, 0.9, 1e9)
    rate(twice, "dear", 0.5, 0.2, 1e9)
    revision = Interaction(
        seen(0.5), Choice("dear", 0.5), Reward(quality=0.9), 1e9, revises=Reward(quality=0.2)
    )
    twice.learn(revision)
    one, two = once.chooser(1e9 + 1), twice.chooser(1e9 + 1)
    at = seen(0.5), [0, 1]
    assert two.scores(*at).quality == pytest.approx(one.scores(*at).quality, abs=1e-12)
    gone = Interaction(seen(0.5), Choice("dear", 0.5), Reward(), 1e9, revises=Reward(quality=0.9))
    twice.learn(gone)
    fresh = make().chooser(1e9).scores(*at).quality
    assert twice.chooser(1e9 + 1).scores(*at).quality == pytest.approx(fresh, abs=1e-12)


def test_late_ratings_weigh_as_of_their_answer() -> None:
    late, prompt = make(quality_half_life_s=100.0), make(quality_half_life_s=100.0)
    for policy, order in ((prompt, (0.0, 400.0)), (late, (400.0, 0.0))):
        for offset in order:
            rate(policy, "dear", 0.0, 0.9 if offset == 0.0 else 0.3, 1e9 + offset)
    at = seen(0.0), [0, 1]
    one = prompt.chooser(1e9 + 400).scores(*at).quality
    assert late.chooser(1e9 + 400).scores(*at).quality == pytest.approx(one)


def test_spend_meets_the_budget() -> None:
    """Cost differs a hundredfold and only the dear arm is good; spend must still hold.

    Mean over the last 1,500 of 3,000 requests, one fixed seed.
    """
    budget, rng, spent = 0.002, np.random.default_rng(5), []
    policy = build(
        "linear", PolicySetup(ARMS, FEATURES, RewardScale(1e9, 1e9)), {"budget_usd": budget}
    )
    cost = {"cheap": 0.00005, "dear": 0.005}
    chooser = policy.chooser(1e9)
    for step in range(3_000):
        at_s = 1e9 + step
        context = seen(float(rng.choice([-1.0, 1.0])))
        choice, _, _ = chooser.choose(context, [0, 1], float(rng.random()))
        quality = 0.9 if choice.arm == "dear" else 0.6
        shown = Reward(cost_usd=cost[choice.arm], latency_s=0.1, tokens_out=120, failed=False)
        policy.learn(Interaction(context, choice, shown, at_s))
        policy.learn(Interaction(context, choice, Reward(quality=quality), at_s))
        spent.append(cost[choice.arm])
        if step % 10 == 9:
            chooser = policy.chooser(at_s)
    assert np.mean(spent[1_500:]) == pytest.approx(budget, rel=0.15)


def test_features_that_are_not_finite_are_refused() -> None:
    policy = make()
    before = policy.freeze()
    bad = Context(np.array([np.nan, 1.0], np.float32), 10)
    with pytest.raises(InvalidInteraction, match="finite"):
        policy.learn(Interaction(bad, Choice("dear", 0.5), Reward(quality=0.5), 1e9))
    assert policy.freeze() == before


def test_a_changed_plan_keeps_what_both_know() -> None:
    policy = make()
    for step in range(300):
        rate(policy, "dear", 1.0, 0.95, 1e9 + step)
        rate(policy, "cheap", 1.0, 0.30, 1e9 + step)
    arms = (Arm("new", 1.0, 1.0), ARMS[1], ARMS[0])
    setup = PolicySetup(arms, ("other", "slope", "constant"), RewardScale(1e9, 60.0))
    wider = build("linear", setup, {})
    wider.thaw(policy.freeze())
    context = Context(np.array([0.0, 1.0, 1.0], np.float32), 100)
    quality = wider.chooser(1e9 + 300).scores(context, [0, 1, 2]).quality
    assert quality[1] == pytest.approx(0.95, abs=0.03)
    assert quality[2] == pytest.approx(0.30, abs=0.05)
