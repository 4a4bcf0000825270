"""What would have come of a logged decision is what the router makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from service.domain.records import Mode
from service.domain.will import NO_WILL, will_for
from service.operating.effects import Seen, after, flows
from tests.service.domain.test_will import laid
from tests.service.routing.test_overriding import ACME, decide, lay, with_pin, world_of


def seen(**more: Any) -> Seen:
    fields: dict[str, Any] = {
        "task": "code", "tenant": "acme", "tier": "", "mode": Mode.RANDOMISED, "deployment": "a",
        "names": ("a", "b", "c"), "shares": (0.6, 0.3, 0.1), "cost_usd": (0.3, 0.2, 0.1),
        "quality": (), "latency_s": (), "error_rate": (),
        "out": {"d": "later_tier", "e": "lacks tools", "f": "task"}, "experiments": (),
    }  # fmt: skip
    return Seen(**(fields | more))


def of(each: Seen, *holding: Any, usual: Any = None, drawn: Any = None) -> Any:
    return after(will_for(each.task, holding, each.tenant, each.tier), each, usual or {}, drawn)


def test_who_answers_by_a_kill_or_a_force() -> None:
    assert of(seen(), laid("kill", "c")) == of(seen(), laid("force", "c")) == {"c": 1.0}
    assert of(seen(), laid("kill", "d")) == {"d": 1.0}, "a tier is crossed"
    assert of(seen(), laid("kill", "f")) == {"f": 1.0}, "a task by a kill"
    assert of(seen(), laid("kill", "e")) is None, "a capability is not: it is refused"
    assert of(seen(), laid("force", "e")) == seen().logged, "and a force is let be"
    assert of(seen(), laid("force", "f")) == seen().logged
    assert of(seen(), laid("force", "c"), laid("exclude", "c")) == {
        "a": pytest.approx(2 / 3), "b": pytest.approx(1 / 3),
    }  # fmt: skip


def test_what_is_given_up_goes_to_the_others_in_proportion() -> None:
    assert of(seen(), laid("exclude", "a")) == {"b": pytest.approx(0.75), "c": pytest.approx(0.25)}
    assert of(seen(), *(laid("exclude", name) for name in "abc")) is None
    assert of(seen(), laid("cost_cap", usd=0.2)) == {
        "b": pytest.approx(0.75), "c": pytest.approx(0.25),
    }  # fmt: skip
    assert of(seen(), laid("cost_cap", usd=0.01)) == {"c": 1.0}
    bounded = of(seen(), laid("bounds", "a", greatest=0.2))
    assert bounded == {"a": pytest.approx(0.2), "b": pytest.approx(0.6), "c": pytest.approx(0.2)}
    assert after(NO_WILL, seen(), {}) == seen().logged


def test_what_was_not_drawn_moves_only_where_its_deployment_is_gone() -> None:
    held = seen(mode=Mode.STICKY, shares=(1.0, 0.0, 0.0), cost_usd=())
    usual = {"a": 0.2, "b": 0.6, "c": 0.2}
    assert of(held, laid("bounds", "a", greatest=0.2)) == held.logged
    assert of(held, laid("exclude", "a"), usual=usual) == {
        "b": pytest.approx(0.75), "c": pytest.approx(0.25),
    }  # fmt: skip
    assert of(held, laid("exclude", "a")) == {"b": 0.5, "c": 0.5}
    pinned = replace(held, mode=Mode.PINNED)
    assert of(pinned, laid("force", "c")) == pinned.logged
    assert of(pinned, laid("exclude", "a")) is None and of(pinned, laid("kill", "c")) is None
    assert of(pinned, laid("kill", "a")) == pinned.logged


@pytest.mark.parametrize(("action", "deployment", "more"), [
    ("kill", "wide", {}), ("force", "wide", {}), ("bounds", "wide", {"greatest": 0.1}),
    ("bounds", "small", {"least": 0.5}), ("cost_cap", "wide", {"usd": 1e-12}),
])  # fmt: skip
def test_it_is_what_the_router_does(action: str, deployment: str, more: dict[str, Any]) -> None:
    world = world_of(sticky=False)
    with_pin(world)
    before = Seen.of(decide(world, ACME))
    lay(world, action, deployment, **more)
    made = decide(world, ACME)
    will = will_for("other", world.overrides, "acme", "paid")
    expected = dict(zip(made.candidates.names, made.candidates.propensities, strict=True))
    told = after(will, before, {})
    assert told is not None
    for name in {*told, *expected}:
        # Where a cap takes somebody out the policy draws anew: nearly in proportion.
        assert told.get(name, 0.0) == pytest.approx(expected.get(name, 0.0), abs=0.1)


def test_flows_go_from_those_who_lose_to_those_who_gain() -> None:
    found = flows({"a": 0.6, "b": 0.3, "c": 0.1}, {"a": 0.2, "b": 0.6, "c": 0.2})
    assert found == {("a", "b"): pytest.approx(0.3), ("a", "c"): pytest.approx(0.1)}
    assert flows({"a": 1.0}, {"a": 1.0}) == {}
    assert sum(flows({"a": 1.0}, {"b": 0.5, "c": 0.5}).values()) == pytest.approx(1.0)
