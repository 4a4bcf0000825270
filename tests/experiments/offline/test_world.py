"""Live signals in a simulated world: weight is lost within calls, and given back."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.offline.world import Seen, Weather, World
from learning.interaction import Arm
from learning.policies.base import Policy, PolicySetup
from learning.policies.registry import build
from learning.reward import RewardScale

pytestmark = pytest.mark.slow

ARMS = (Arm("good", 1.0, 1.0), Arm("fair", 1.0, 1.0), Arm("poor", 1.0, 1.0))
WELL = (Weather(0.85), Weather(0.75), Weather(0.6))
FROM_S, UNTIL_S, END_S = 600.0, 900.0, 2400.0
WITHIN_CALLS = 15  # of the deployment's own, in which it loses half of its weight


def policy(**parameters: float) -> Policy:
    setup = PolicySetup(ARMS, ("slope", "constant"), RewardScale(1e9, 4.0))
    return build("linear", setup, parameters)


def _run(ill: Weather, seed: int) -> Seen:
    world = World(ARMS, WELL, {FROM_S: (0, ill), UNTIL_S: (0, WELL[0])})
    return world.run(policy(), int(END_S * world.per_second), seed)


def _mean(seen: Seen, from_s: float, until_s: float) -> float:
    here = (seen.at_s >= from_s) & (seen.at_s < until_s)
    return float(seen.shares[here, 0].mean())


@pytest.mark.parametrize(
    "ill", [Weather(0.85, latency_s=2.0), Weather(0.85, errors=0.5), Weather(0.85, errors=1.0)],
    ids=["latency doubles", "half fail", "all fail"],
)  # fmt: skip
def test_weight_is_lost_within_calls_and_comes_back(ill: Weather) -> None:
    """No rating tells of it. Three seeds; the bounds are the documented ones."""
    for seed in range(3):
        seen = _run(ill, seed)
        before = _mean(seen, FROM_S - 120, FROM_S)
        assert before > 0.7
        after = np.flatnonzero(seen.at_s >= FROM_S)
        lost = after[seen.shares[after, 0] < 0.5 * before][0]
        calls = (seen.arm[after[0] : lost] == 0).sum()
        assert calls <= WITHIN_CALLS
        assert _mean(seen, FROM_S + 30, UNTIL_S) < 0.15
        assert _mean(seen, UNTIL_S + 900, END_S) > 0.8 * before


def test_a_deployment_that_fails_for_good_gets_a_trickle_of_tries_and_does_not_swing() -> None:
    world = World(ARMS, WELL, {FROM_S: (0, Weather(0.85, errors=1.0))})
    seen = world.run(policy(), int(END_S * world.per_second), 1)
    late = seen.at_s >= FROM_S + 60
    assert seen.shares[late, 0].mean() < 0.05


def test_after_an_alarm_the_share_comes_back_at_no_more_than_the_bound_a_minute() -> None:
    for seed in range(3):
        seen = _run(Weather(0.85, errors=1.0), seed)
        share = seen.shares[seen.at_s >= FROM_S, 0]
        minute = 120  # requests
        alarmed = int(np.flatnonzero(share < 0.06)[0])
        rises = share[alarmed + minute :] - share[alarmed:-minute]
        assert 0.2 < rises.max() <= 0.5 + 0.05 + 1e-9


def test_a_new_arm_that_is_good_finds_its_share_and_a_bad_one_costs_little() -> None:
    before = policy()
    World(ARMS, WELL, {}).run(before, 1_000, 2)
    arms = (*ARMS, Arm("new", 1.0, 1.0))
    earned = {}
    for quality in (0.95, 0.3):
        setup = PolicySetup(arms, ("slope", "constant"), RewardScale(1e9, 4.0))
        wider = build("linear", setup, {})
        wider.thaw(before.freeze())
        seen = World(arms, (*WELL, Weather(quality)), {}).run(wider, 300, 3)
        earned[quality] = seen.quality.mean()
        late = seen.shares[200:, 3].mean()
        assert late > 0.8 if quality > 0.9 else late < 0.02
    assert earned[0.3] > 0.85 - 0.03 and earned[0.95] > 0.88


def test_a_retired_arm_is_forgotten_and_the_rest_is_kept() -> None:
    before = policy()
    World(ARMS, WELL, {}).run(before, 600, 4)
    fewer = build("linear", PolicySetup(ARMS[1:], ("slope", "constant"), RewardScale(1e9, 4.0)), {})
    fewer.thaw(before.freeze())
    seen = World(ARMS[1:], WELL[1:], {}).run(fewer, 200, 5)
    assert seen.shares[:, 0].mean() > 0.8


def test_rare_and_late_ratings_leave_no_bias() -> None:
    """A tenth of answers is rated; the estimates are the means all the same. One seed."""
    learned = policy()
    World(ARMS, WELL, {}, rated=0.1).run(learned, 4_000, 6)
    view = learned.chooser(1e9 + 2_000)
    assert view.theta[0, -1] == pytest.approx(0.85, abs=0.03)  # type: ignore[attr-defined]
