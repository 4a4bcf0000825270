"""Tasks that a classifier finds: who comes first, the threshold, the safe ones, what is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from learning.features import Embedder
from learning.taxonomy import WIDTH, Classifier
from service.domain.errors import NoDeployment
from service.domain.records import Mode
from service.routing.finding import TaskFinder
from service.routing.ladder import Ladder, Ladders, Tier
from tests.service.routing.world import CATALOG, KEY, World, ask

TASKS = ("code", "other")


def sure(p: float, width: int = WIDTH) -> Classifier:
    """One that says ``code`` with probability ``p`` of everything."""
    return Classifier(
        TASKS, "fixed-1", np.zeros((2, width)), np.log(np.array([p, 1.0 - p])), 1.0, {}
    )


def found(p: float, safe: tuple[str, ...] = ("wide",), **more: Any) -> World:
    finder = TaskFinder(0.75, safe)
    assert finder.adopt(sure(p), frozenset(TASKS))
    return World(finder=finder, **more)


def test_below_the_threshold_it_goes_on_by_the_safe_ones_and_at_it_not() -> None:
    below = found(0.7499).router.decide(ask(), KEY)
    assert (below.task, below.task_source) == ("code", "classifier")
    assert below.task_confidence == pytest.approx(0.7499, abs=1e-12)
    assert (below.deployment, below.propensity) == ("wide", 1.0)
    gone = {d.deployment for d in below.disqualified if d.reason == "unsure"}
    assert gone == {"small", "seeing", "coder", "slow-lane"}
    assert below.guess is not None and below.guess.version == "fixed-1"
    assert below.guess.top() == pytest.approx({"code": 0.7499, "other": 0.2501})
    finder = TaskFinder(0.75, ("wide",))
    exact = Classifier(TASKS, "", np.zeros((2, WIDTH)), np.log([3.0, 1.0]), 1.0, {})
    assert finder.adopt(exact, frozenset(TASKS))
    at = World(finder=finder).router.decide(ask(), KEY)
    assert at.task_confidence == 0.75
    assert not any(d.reason == "unsure" for d in at.disqualified)
    assert len(at.candidates.names) == 5


def test_the_caller_comes_first_then_conditions_then_the_classifier() -> None:
    world = found(0.9)
    named = world.router.decide(ask(headgate={"task": "other"}), KEY)
    assert (named.task, named.task_source, named.guess) == ("other", "caller", None)
    by_rule = world.router.decide(ask("python code"), KEY)
    assert (by_rule.task_source, by_rule.task_confidence, by_rule.guess) == ("rule", 1.0, None)
    assert world.router.decide(ask(), KEY).task_source == "classifier"


def test_without_a_classifier_all_is_as_before() -> None:
    plain, waiting = World().router, World(finder=TaskFinder(0.75, ("wide",))).router
    for text in ("hello", "python code", "x" * 400):
        a, b = plain.decide(ask(text), KEY), waiting.decide(ask(text), KEY)
        assert (a.task, a.task_source, a.task_confidence) == (
            b.task, b.task_source, b.task_confidence
        )  # fmt: skip
        assert a.candidates == b.candidates and a.deployment == b.deployment
        assert a.disqualified == b.disqualified


def test_where_no_safe_one_is_eligible_it_says_so_and_goes_on_by_the_rest() -> None:
    world = found(0.5, safe=("small",))
    decision = world.router.decide(ask("word " * 1_200), KEY)
    assert decision.reason == "unsure_without_safe"
    assert ("small", "context_window") in {(d.deployment, d.reason) for d in decision.disqualified}
    assert set(decision.candidates.names) == {"wide", "seeing", "coder"}


def test_overrides_pins_and_the_callers_own_bounds_stand() -> None:
    world = found(0.5)
    world.override("exclude", "wide")
    decision = world.router.decide(ask(), KEY)
    assert decision.deployment != "wide" and decision.reason == "unsure_without_safe"
    assert found(0.5).router.decide(ask(model="seeing"), KEY).mode is Mode.PINNED
    own = found(0.5).router.decide(ask(headgate={"deployments": ["seeing"]}), KEY)
    assert (own.deployment, own.reason) == ("seeing", "unsure_without_safe")
    forced = found(0.5)
    forced.override("force", "small")
    assert forced.router.decide(ask(), KEY).deployment == "small"
    killed = found(0.5)
    for name in (each.name for each in CATALOG):
        killed.override("exclude", name)
    with pytest.raises(NoDeployment, match="excluded by an operator"):
        killed.router.decide(ask(), KEY)


def test_a_conversation_stays_where_it_is_though_a_turn_is_not_sure() -> None:
    world = found(0.9)
    options = {"headgate": {"session_id": "s"}}
    first = world.router.decide(ask(**options), KEY)
    finder = world.router.table.finder
    assert finder is not None and finder.adopt(sure(0.5), frozenset(TASKS))
    later = world.router.decide(ask("and the other one?", **options), KEY)
    assert (later.mode, later.deployment) == (Mode.STICKY, first.deployment)
    assert world.router.decide(ask(), KEY).deployment == "wide"


def test_after_a_failure_the_safe_ones_come_first_and_the_others_behind() -> None:
    world = found(0.5, safe=("wide", "seeing"))
    decision = world.router.decide(ask(), KEY)
    others = [each.name for each in world.router.alternatives(decision)]
    assert others[0] in ("wide", "seeing") and others[0] != decision.deployment
    assert set(others[1:]) == {"small", "coder", "slow-lane"}


def test_tiers_of_a_task_that_it_may_not_be_of_do_not_shut_the_safe_ones_out() -> None:
    ladders = Ladders({"code": Ladder([Tier(("coder",), 9.0), Tier(("small",), 9.0)])})
    decision = found(0.5, ladders=ladders).router.decide(ask(), KEY)
    assert (decision.task, decision.deployment) == ("code", "wide")
    assert found(0.9, ladders=ladders).router.decide(ask(), KEY).deployment == "coder"


def test_a_classifier_is_taken_only_where_it_fits() -> None:
    class Two:
        dimension = 2

        def embed(self, text: str) -> Any:
            return np.zeros(2, np.float32)

    two: Embedder = Two()
    finder = TaskFinder(0.75, (), embedder=two)
    assert not finder.adopt(sure(0.9), frozenset(TASKS))
    assert finder.adopt(sure(0.9, WIDTH + 2), frozenset(TASKS))
    assert World(finder=finder).router.decide(ask(), KEY).task == "code"
    assert not TaskFinder(0.75, ()).adopt(sure(0.9), frozenset({"other"}))
