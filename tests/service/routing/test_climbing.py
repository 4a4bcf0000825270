"""Where requests begin to climb: exact shares, the bypass, asking again, and who has the say."""

from __future__ import annotations

from collections import Counter

import pytest

from service.domain.escalation import EARLIER_RUNG, IN_NO_RUNG, LATER_RUNG, Began
from service.domain.records import Decision, Mode
from service.routing.again import Again
from service.routing.climbing import Climbing, ClimbRules
from tests.service.routing.world import CATALOG, KEY, World, ask

RUNGS = ("small", "wide", "seeing")


def climbing_world(**rules: object) -> tuple[World, Climbing]:
    world = World()
    made = ClimbRules({"": RUNGS, "code": ("wide", "coder")}, **rules)  # type: ignore[arg-type]
    climbing = Climbing(CATALOG, made, world.clock, b"secret")
    world.router.climbing = climbing
    world.router._virtual = ("auto", "auto:default", "auto:cascade")
    return world, climbing


def decide(world: World, text: str = "hello there", model: str = "auto:cascade") -> Decision:
    return world.router.decide(ask(text, model=model), KEY)


def reasons(made: Decision) -> dict[str, str]:
    return {each.deployment: each.reason for each in made.disqualified}


def test_it_begins_at_the_first_rung_and_the_others_wait() -> None:
    world, _ = climbing_world(explore=0.0)
    made = decide(world)
    assert (made.deployment, made.propensity, made.mode) == ("small", 1.0, Mode.RANDOMISED)
    assert made.reason == Began.CASCADE.value and made.climb is not None
    assert made.climb.rungs == RUNGS and made.climb.level == 1
    found = reasons(made)
    assert found["wide"] == found["seeing"] == LATER_RUNG and found["slow-lane"] == IN_NO_RUNG
    others = {each.name for each in world.router.alternatives(made)}
    assert others == {"wide", "seeing"}


def test_only_who_asks_for_it_and_the_tasks_of_the_plan_climb() -> None:
    world, climbing = climbing_world(explore=0.0)
    assert decide(world, model="auto").climb is None
    climbing.rules = ClimbRules({"": RUNGS}, frozenset({"other"}), 0.0)
    assert decide(world, model="auto").climb is not None
    coded = decide(world, "def f(x): return x", model="auto")
    assert coded.task == "code" and coded.climb is None


def test_who_asks_for_an_ensemble_does_not_climb() -> None:
    world, climbing = climbing_world(explore=0.0)
    world.router._virtual = (*world.router._virtual, "auto:ensemble")
    climbing.rules = ClimbRules({"": RUNGS}, frozenset({"other"}), 0.0)
    made = decide(world, model="auto:ensemble")
    assert made.climb is None and len(made.candidates.names) > 1


def test_a_task_may_have_its_own_rungs() -> None:
    world, _ = climbing_world(explore=0.0)
    made = decide(world, "def f(x): return x")
    assert made.climb is not None and made.climb.rungs == ("wide", "coder")


def test_a_rung_that_cannot_serve_it_is_none() -> None:
    world, _ = climbing_world(explore=0.0)
    made = decide(world, "word " * 2_000)
    assert made.climb is not None and made.climb.rungs == ("wide", "seeing")
    assert made.deployment == "wide"


@pytest.mark.parametrize("bypassed", [False, True])
def test_the_lots_fall_as_often_as_is_logged(bypassed: bool) -> None:
    """600 draws of lots that hang on the ids; five standard errors of a share."""
    world, climbing = climbing_world(explore=0.1)
    climbing.bypassed = frozenset({"other"} if bypassed else ())
    found = [decide(world).climb for _ in range(600)]
    counts = Counter(each.began for each in found if each is not None)
    told = {each.began: each.probability for each in found if each is not None}
    assert sum(told.values()) == pytest.approx(1.0)
    for began, probability in told.items():
        assert abs(counts[began] / 600 - probability) < 0.065
    wanted = (Began.BYPASSED, Began.TRIED) if bypassed else (
        Began.CASCADE, Began.BY_LOT, Began.DIRECT
    )  # fmt: skip
    assert set(told) == set(wanted)
    for each in found:
        assert each is not None and each.level == (1 if each.began.climbs else 3)


def test_asking_again_begins_a_rung_higher_and_never_above_the_last() -> None:
    world, climbing = climbing_world(explore=0.0)
    climbing.again = Again(60.0, 0.8)
    world.router.table = world.router.table
    levels = []
    for _ in range(4):
        request = ask("how wide is the river at its mouth", model="auto:cascade", user="ann")
        made = world.router.decide(request, KEY)
        assert made.climb is not None
        levels.append(made.climb.level)
    assert levels == [1, 2, 3, 3]
    assert made.reason == Began.AGAIN.value and reasons(made)["small"] == EARLIER_RUNG
    world.clock.advance(61.0)
    assert world.router.decide(request, KEY).climb.level == 1  # type: ignore[union-attr]


def test_who_answered_in_the_end_is_what_counts() -> None:
    world, climbing = climbing_world(explore=0.0)
    climbing.again = Again(60.0, 0.8)
    request = ask("how wide is the river at its mouth", model="auto:cascade", user="ann")
    first = world.router.decide(request, KEY)
    assert first.climb is not None
    climbing.answered(first.climb, "wide")
    assert world.router.decide(request, KEY).climb.level == 3  # type: ignore[union-attr]


def test_a_dry_run_is_no_asking() -> None:
    world, climbing = climbing_world(explore=0.0)
    climbing.again = Again(60.0, 0.8)
    request = ask("how wide is the river at its mouth", model="auto:cascade", user="ann")
    for _ in range(2):
        made = world.router.decide(request, KEY, dry_run=True)
        assert made.climb is not None and made.climb.level == 1


def test_operators_come_first() -> None:
    world, _ = climbing_world(explore=0.0)
    world.override("force", "wide")
    made = decide(world)
    assert made.climb is None and made.deployment == "wide" and made.mode is Mode.OVERRIDE
