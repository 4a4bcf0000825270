"""Weights tell what the next requests get, and name the part that moved them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from learning.interaction import Choice, Interaction
from learning.policies import registry
from learning.policies.base import STATES
from learning.reward import Reward
from service.domain.live import Published
from service.domain.records import Weight
from service.feedback.apply import context_of
from service.monitoring.weights import WeightBoard
from tests.service.routing.world import KEY, World, ask


class Board:
    def __init__(self) -> None:
        self.world = World(live_half_life_s=30.0)
        self.board = WeightBoard(self.world.live, lambda: self.world.overrides, self.world.clock)
        self.at_s = 1e9
        for index in range(40):
            self.board.saw(self.world.router.decide(ask(f"request {index}"), KEY))

    def of(self, name: str) -> Weight:
        return next(w for w in self.board.current if w.deployment == name)

    def arrives(self, name: str) -> None:
        """As if the plan had gained this deployment when the others were known."""
        policy, setup = self.world.policy, self.world.policy.setup
        others = tuple(arm for arm in setup.arms if arm.name != name)
        before = registry.build("linear", replace(setup, arms=others), {})
        decision = self.world.router.decide(ask(), KEY)
        for at in range(120):
            told = Choice(others[at % 2].name, 0.5)
            before.learn(
                Interaction(context_of(decision), told, Reward(quality=0.8), self.at_s + at / 9)
            )
        policy.thaw(before.freeze())
        self.at_s += 15.0
        self.learn(name, Reward(failed=False), 1)

    def learn(self, name: str, reward: Reward, count: int = 60) -> None:
        decision = self.world.router.decide(ask(), KEY)
        for _ in range(count):
            self.at_s += 0.2
            self.world.policy.learn(
                Interaction(context_of(decision), Choice(name, 0.5), reward, self.at_s)
            )
        mark = self.world.live.current.mark
        self.world.live.current = Published(self.world.policy.chooser(self.at_s), mark)


def test_shares_of_a_task_sum_to_one_and_are_kept_when_new() -> None:
    board = Board()
    kept = board.board.evaluate()
    assert sum(w.share for w in board.board.current) == pytest.approx(1.0)
    assert {w.task for w in kept} == {"other"} and len(kept) == 4
    assert board.board.evaluate() == []
    board.world.clock.advance(61)
    assert len(board.board.evaluate()) == 4


def test_errors_move_a_weight_and_are_named() -> None:
    board = Board()
    board.board.evaluate()
    before = board.of("wide").share
    shares = {w.deployment: w.share for w in board.board.current}
    board.learn("wide", Reward(failed=True))
    kept = board.board.evaluate()
    assert board.of("wide").share < before / 2
    assert board.of("wide").why.startswith("error rate") and board.of("wide") in kept
    assert board.of("wide").why.endswith("; now held back")
    gained = max(board.board.current, key=lambda w: w.share - shares[w.deployment])
    assert gained.why == "others moved"


def test_quality_and_latency_are_named() -> None:
    board = Board()
    board.board.evaluate()
    board.learn("seeing", Reward(quality=1.0))
    board.board.evaluate()
    assert board.of("seeing").why.startswith("quality")
    board.learn("seeing", Reward(failed=False, latency_s=50.0))
    board.board.evaluate()
    assert board.of("seeing").why.startswith("latency")


def test_overrides_show_at_once() -> None:
    board = Board()
    board.board.evaluate()
    exclusion = board.world.override("exclude", "wide")
    board.board.evaluate()
    assert (board.of("wide").share, board.of("wide").why) == (0.0, "excluded by an operator")
    board.world.override("force", "seeing")
    board.board.evaluate()
    assert board.of("seeing").share == 1.0 and board.of("seeing").why == "forced by an operator"
    board.world.overrides.clear()
    board.board.evaluate()
    assert board.of("wide").why == "an operator's override ended"
    assert replace(exclusion) == exclusion


def test_a_pin_is_no_context_of_the_policy() -> None:
    board = Board()
    board.board.saw(board.world.router.decide(ask("python code", model="wide"), KEY))
    board.board.evaluate()
    assert {w.task for w in board.board.current} == {"other"}


def test_a_change_of_state_keeps_a_row_and_is_named() -> None:
    board = Board()
    board.board.evaluate()
    assert {w.state for w in board.board.current} == {"steady"}
    board.arrives("wide")
    kept = board.board.evaluate()
    assert board.of("wide").state == "on trial" and board.of("wide") in kept
    assert board.of("wide").why.endswith("now on trial") and board.of("wide").share <= 0.5
    exclusion = board.world.override("exclude", "wide")
    board.board.evaluate()
    assert board.of("wide").why == "excluded by an operator"
    board.learn("wide", Reward(quality=0.8))
    kept = board.board.evaluate()
    assert board.of("wide") in kept and board.of("wide").share == 0.0
    assert board.of("wide").why == "excluded by an operator; no longer on trial"
    board.world.overrides.remove(exclusion)
    board.board.evaluate()
    assert board.of("wide").why == "an operator's override ended"


def test_a_new_arm_is_kept_with_its_state() -> None:
    board = Board()
    board.arrives("wide")
    kept = board.board.evaluate()
    assert next(w for w in kept if w.deployment == "wide").why == "now on trial"


def test_the_states_that_the_learner_tells_are_those_that_are_shown() -> None:
    board = Board()
    board.arrives("slow-lane")
    board.learn("small", Reward(quality=0.9))
    board.learn("small", Reward(quality=0.1))
    board.learn("wide", Reward(failed=True))
    told = set(board.world.live.current.states().values())
    assert told >= {"on trial", "re-exploring"} and told <= set(STATES)
    for _ in range(3):
        board.learn("seeing", Reward(quality=0.8, failed=False))
    board.learn("seeing", Reward(failed=True))
    assert board.world.live.current.states()["seeing"] == "held back"
