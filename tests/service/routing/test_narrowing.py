"""Experiments on a request's way: after people and rules, before the draw, never in the way."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from experiments.design import Unit
from service.domain.errors import HeadgateError
from service.domain.live import Published
from service.domain.records import Decision, Mode, PolicyMark
from service.routing.assignments import Assignments, Holdout
from service.routing.treatments import Treatment
from tests.service.routing.test_assignments import running
from tests.service.routing.world import KEY, World, ask


def treated(**values: Any) -> World:
    """A world in which the treatment sets these values; units are requests."""
    world = World(sticky=bool(values.pop("sticky", False)))
    world.assignments.current = Assignments([_with(values)])
    return world


def _with(values: dict[str, Any]) -> Any:
    found = running(unit=Unit.REQUEST)
    found.treatments["b"] = Treatment(values)  # type: ignore[index]
    return found


def decisions(world: World, number: int = 80, **more: Any) -> dict[str, list[Decision]]:
    """By variant. That one of two gets ten or fewer of 80 has a chance of 1e-12."""
    found: dict[str, list[Decision]] = {"a": [], "b": []}
    for _ in range(number):
        made = world.router.decide(ask(**more), KEY)
        found[made.assigned[0].variant].append(made)
    assert min(len(each) for each in found.values()) > 10
    return found


def test_a_deployment_of_a_variant_answers_with_certainty_given_the_variant() -> None:
    found = decisions(treated(deployment="wide"))
    assert {d.deployment for d in found["b"]} == {"wide"}
    for each in found["b"]:
        assert (each.mode, each.propensity, each.reason) == (Mode.RANDOMISED, 1.0, "experiment")
        assert sum(each.candidates.propensities) == 1.0 and len(each.candidates.names) == 4
        assert each.assigned[0].probability == 0.5 and each.assigned[0].unit == each.id
    assert len({d.deployment for d in found["a"]}) > 1


def test_where_it_is_not_eligible_the_policy_draws_and_the_variant_stays() -> None:
    found = decisions(treated(deployment="coder"))  # cannot do this task
    assert {d.reason for d in found["b"]} <= {"policy", "exploration"}
    assert all(d.propensity < 1.0 for d in found["b"])


def test_use_and_exclude_narrow_before_the_draw_and_never_to_nobody() -> None:
    found = decisions(treated(use=("wide", "small")))
    for each in found["b"]:
        assert set(each.candidates.names) == {"wide", "small"}
        assert {d.reason for d in each.disqualified if d.deployment == "seeing"} == {"experiment"}
        assert sum(each.candidates.propensities) == pytest.approx(1.0)
    out = decisions(treated(exclude=("wide",)))
    assert all("wide" not in d.candidates.names for d in out["b"])
    assert all("wide" in d.candidates.names for d in out["a"])
    nobody = decisions(treated(use=("coder",)))
    assert all(len(d.candidates.names) == 4 for d in nobody["b"])


def test_thresholds_and_the_dial() -> None:
    world = treated(max_cost_usd=1e9, min_quality=0.0, quality_cost=0.0)
    found = decisions(world)
    assert {d.cost_dial for d in found["b"]} == {0.0} and {d.cost_dial for d in found["a"]} == {1.0}
    own = decisions(world, headgate={"quality_cost": 1.0})
    assert {d.cost_dial for d in own["b"]} == {10.0}  # what the request says stands
    strict = decisions(treated(min_quality=1.0))  # nobody reaches it: let be
    assert all(len(d.candidates.names) == 4 for d in strict["b"])


def test_a_version_decides_in_its_variant_alone() -> None:
    world = treated(version="v-2")
    assert {d.policy.version_id for d in decisions(world)["b"]} == {"v"}  # not followed yet
    mark = PolicyMark("default", "v-2", "c-2", 7)
    world.live.others = {"v-2": Published(world.policy.chooser(0.0), mark)}
    found = decisions(world)
    assert {d.policy for d in found["b"]} == {mark}
    assert {d.policy.version_id for d in found["a"]} == {"v"}
    world.live.others = {"v-2": Published(world.policy.chooser(0.0), mark, width=3)}
    assert {d.policy.version_id for d in decisions(world)["b"]} == {"v"}  # other features


def test_pinned_and_forced_requests_are_in_no_experiment() -> None:
    world = treated(deployment="wide")
    assert world.router.decide(ask(model="small"), KEY).assigned == ()
    world.override("force", "small")
    assert world.router.decide(ask(), KEY).assigned == ()
    world.overrides.clear()
    world.override("exclude", "wide")
    found = decisions(world)
    assert all(d.deployment != "wide" and d.propensity < 1.0 for d in found["b"])
    assert all(d.override_id == "exclude-wide" for d in found["b"])


def test_a_held_session_keeps_its_variant_and_is_released_when_it_ends() -> None:
    world = World()
    one = running()
    one.treatments["b"] = Treatment({"deployment": "wide"})  # type: ignore[index]
    old = world.router.decide(ask(), KEY, "old")
    world.assignments.current = Assignments([one])
    assert world.router.decide(ask(), KEY, "old").assigned == ()  # begun before: not in it
    names = [f"s{i}" for i in range(40)]
    first = {name: world.router.decide(ask(), KEY, name) for name in names}
    for name in names:
        again = world.router.decide(ask(), KEY, name)
        assert again.mode is Mode.STICKY and again.assigned == first[name].assigned
        assert again.deployment == first[name].deployment
    world.assignments.current = Assignments()
    modes = Counter(world.router.decide(ask(), KEY, name).mode for name in names)
    assert modes == {Mode.RANDOMISED: 40}  # rolled back: on the next request
    assert world.router.decide(ask(), KEY, "old").deployment == old.deployment


def test_a_tier_of_a_variant_answers_its_task_alone() -> None:
    told = World().router.decide(ask(), KEY).task
    here, elsewhere = treated(tier={told: "wide"}), treated(tier={told + "-not": "wide"})
    assert {d.deployment for d in decisions(here)["b"]} == {"wide"}
    assert all(d.propensity == 1.0 for d in decisions(here)["b"])
    assert any(d.propensity < 1.0 for d in decisions(elsewhere)["b"])


def test_the_holdout() -> None:
    world = World()
    world.assignments.current = Assignments([], Holdout(0.5, Treatment({"deployment": "small"})))
    found = Counter(world.router.decide(ask(), KEY, f"s{i}").reason for i in range(60))
    assert 10 < found["holdout"] < 50


def test_an_experiment_never_fails_a_request() -> None:
    for values in ({"use": ("coder",)}, {"deployment": "coder"}, {"min_quality": 1.0}):
        try:
            decisions(treated(**values))
        except HeadgateError as error:  # pragma: no cover
            pytest.fail(str(error))
