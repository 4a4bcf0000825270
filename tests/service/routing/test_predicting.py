"""By the chances foreseen deployments leave before the draw, and tiers are passed over."""

from __future__ import annotations

import pytest

from service.domain.lots import lot_for
from service.domain.prediction import EARLY, HELD_OUT, UNLIKELY
from service.domain.records import Decision, Disqualified, Mode
from service.routing.assignments import Assignments
from service.routing.foreseeing import ASIDE, COLD, OFF, PredictionRules
from service.routing.ladder import Ladder, Ladders, Tier
from service.routing.treatments import Treatment
from tests.service.routing.foresight import NAMES, model, prediction
from tests.service.routing.test_assignments import running
from tests.service.routing.world import KEY, World, ask

EASY = {"small": 0.9, "wide": 0.92, "seeing": 0.95, "coder": 0.95, "slow-lane": 0.9}
HARD = {"small": 0.2, "wide": 0.85, "seeing": 0.9, "slow-lane": 0.4}
RULES = PredictionRules(margin=0.2, held_out=0.0)
SUM, CHAT = "Calculate the integral, please", "Tell me a story"
LADDERS = Ladders({"": Ladder([Tier(("small",), 9.0), Tier(("wide", "slow-lane"), 9.0),
                               Tier(("seeing",), 9.0)])})  # fmt: skip


def unlikely(made: Decision) -> set[str]:
    return {each.deployment for each in made.disqualified if each.reason == UNLIKELY}


def test_a_hard_request_goes_to_those_who_are_likely_to_do() -> None:
    world = World(prediction=prediction(model(EASY, HARD), RULES), sticky=False)
    easy, hard = world.router.decide(ask(CHAT), KEY), world.router.decide(ask(SUM), KEY)
    assert unlikely(easy) == set() and len(easy.candidates.names) == 4
    assert unlikely(hard) == {"small", "slow-lane"}
    assert set(hard.candidates.names) == {"wide", "seeing"}
    assert sum(hard.candidates.propensities) == pytest.approx(1.0)
    assert hard.mode is Mode.RANDOMISED and hard.deployment in ("wide", "seeing")
    assert hard.predicted is not None and easy.predicted is not None
    assert hard.predicted.act == "narrowed" and easy.predicted.act == ""
    assert set(hard.predicted.taken_out) == {"small", "slow-lane"}
    assert hard.predicted.deployments == NAMES and hard.predicted.decision_id == hard.id
    assert hard.predicted.chance("small") == pytest.approx(0.2)
    assert hard.predicted.difficulty > easy.predicted.difficulty


def test_who_was_unlikely_is_asked_last_after_a_failure() -> None:
    world = World(prediction=prediction(model(EASY, HARD), RULES), sticky=False)
    made = world.router.decide(ask(SUM), KEY)
    others = [each.name for each in world.router.alternatives(made)]
    assert set(others[-2:]) == {"small", "slow-lane"} and len(others) == 3


def test_who_may_be_good_after_all_stays() -> None:
    world = World(prediction=prediction(model(EASY, HARD, unsure=3.0), RULES), sticky=False)
    assert unlikely(world.router.decide(ask(SUM), KEY)) == set()


@pytest.mark.parametrize("state", [COLD, ASIDE, OFF])
def test_what_is_not_believed_does_nothing(state: str) -> None:
    made = prediction(model(EASY, HARD), RULES, state)
    decision = World(prediction=made, sticky=False).router.decide(ask(SUM), KEY)
    plain = World(sticky=False).router.decide(ask(SUM), KEY)
    assert unlikely(decision) == set() and decision.candidates.names == plain.candidates.names
    assert decision.candidates.propensities == plain.candidates.propensities
    assert (decision.predicted is None) == (state == OFF)
    assert plain.predicted is None


def test_what_operators_and_experiments_want_comes_first() -> None:
    world = World(prediction=prediction(model(EASY, HARD), RULES), sticky=False)
    world.override("force", "small")
    assert world.router.decide(ask(SUM), KEY).deployment == "small"
    world.overrides.clear()
    found = running()
    found.treatments["b"] = found.treatments["a"] = Treatment({"deployment": "small"})  # type: ignore[index]
    world.assignments.current = Assignments([found])
    made = world.router.decide(ask(SUM), KEY)
    assert made.deployment == "small" and unlikely(made) == set()
    pinned = world.router.decide(ask(SUM, model="small"), KEY)
    assert pinned.deployment == "small" and pinned.mode is Mode.PINNED


def test_a_held_conversation_stays_where_it_is() -> None:
    world = World(prediction=prediction(model(EASY, HARD), RULES))
    options = {"session_id": "s"}
    first = world.router.decide(ask(CHAT, headgate=options | {"deployments": ["small"]}), KEY)
    assert first.deployment == "small"
    again = world.router.decide(ask(SUM, headgate=options), KEY)
    assert (again.deployment, again.mode) == ("small", Mode.STICKY)


def test_a_share_is_held_out_by_a_lot_that_anybody_can_draw_again() -> None:
    rules = PredictionRules(margin=0.2, held_out=0.25)
    world = World(prediction=prediction(model(EASY, HARD), rules), sticky=False)
    held = 0
    for _ in range(200):
        made = world.router.decide(ask(SUM), KEY)
        assert made.predicted is not None
        out = lot_for("prediction", made.id) < 0.25
        held += out
        assert (made.predicted.act == HELD_OUT) == out and bool(unlikely(made)) != out
        assert made.predicted.probability == (0.25 if out else 0.75)
        assert set(made.predicted.taken_out) == {"small", "slow-lane"}
    assert 25 <= held <= 80


def test_a_first_tier_that_is_unlikely_to_do_is_passed_over() -> None:
    rules = PredictionRules(below=0.5, gain=0.1, held_out=0.0)
    made = prediction(model(EASY, HARD), rules, ladders=LADDERS)
    world = World(prediction=made, sticky=False, ladders=LADDERS)
    easy, hard = world.router.decide(ask(CHAT), KEY), world.router.decide(ask(SUM), KEY)
    assert easy.deployment == "small" and easy.reason != EARLY
    assert hard.deployment in ("wide", "slow-lane") and hard.reason == EARLY
    assert Disqualified("small", UNLIKELY) in hard.disqualified
    assert Disqualified("seeing", "later_tier") in hard.disqualified
    assert hard.predicted is not None and hard.predicted.act == "escalated"
    # after a failure: its own tier, then the stronger one, then the one that was passed over
    names = [each.name for each in world.router.alternatives(hard)]
    assert names[-2:] == ["seeing", "small"]


def test_two_tiers_are_passed_over_where_both_are_unlikely_to_do() -> None:
    rules = PredictionRules(below=0.5, gain=0.1, held_out=0.0)
    hard = HARD | {"wide": 0.35}
    made = prediction(model(EASY, hard), rules, ladders=LADDERS)
    world = World(prediction=made, sticky=False, ladders=LADDERS)
    decision = world.router.decide(ask(SUM), KEY)
    assert decision.deployment == "seeing" and unlikely(decision) == {"small", "wide", "slow-lane"}


def test_the_only_one_who_is_left_answers_however_unlikely() -> None:
    rules = PredictionRules(margin=0.1, below=0.5, held_out=0.0)
    made = prediction(model(EASY, HARD), rules, ladders=LADDERS)
    world = World(prediction=made, sticky=False, ladders=LADDERS)
    options = {"deployments": ["small"]}
    decision = world.router.decide(ask(SUM, headgate=options), KEY)
    assert decision.deployment == "small" and decision.propensity == 1.0
    assert decision.predicted is not None and decision.predicted.act == ""


def test_the_next_tier_must_be_better_by_the_gain() -> None:
    rules = PredictionRules(below=0.5, gain=0.1, held_out=0.0)
    alike = dict.fromkeys(HARD, 0.3)
    made = prediction(model(EASY, alike), rules, ladders=LADDERS)
    world = World(prediction=made, sticky=False, ladders=LADDERS)
    assert world.router.decide(ask(SUM), KEY).deployment == "small"
