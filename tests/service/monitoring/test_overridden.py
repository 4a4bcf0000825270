"""Under overrides a weight is still what the next requests get: the router's own propensities."""

from __future__ import annotations

from typing import Any

import pytest

from service.domain.will import NO_WILL, will_for
from service.monitoring.overridden import why_under
from service.monitoring.weights import WeightBoard
from tests.service.routing.test_overriding import ACME, decide, lay, with_pin, world_of
from tests.service.routing.world import World


def shares(world: World) -> dict[str, float]:
    """Of 32 requests, by the router itself."""
    found: dict[str, float] = {}
    for index in range(32):
        made = decide(world, ACME, text=f"request {index}")
        for name, share in zip(made.candidates.names, made.candidates.propensities, strict=True):
            found[name] = found.get(name, 0.0) + share / 32
    return found


@pytest.mark.parametrize(("action", "deployment", "more"), [
    ("kill", "wide", {}), ("force", "wide", {}), ("exclude", "wide", {}),
    ("bounds", "wide", {"greatest": 0.1}), ("bounds", "small", {"least": 0.5}),
    ("cost_cap", "wide", {"usd": 1e-12}), ("cost_cap", "", {"usd": 1e-12}),
    ("pin", "", {"target": "v2"}), ("exclude", "wide", {"tenant": "acme"}),
    ("exclude", "wide", {"tenant": "another"}),
])  # fmt: skip
def test_a_weight_is_the_routers_mean_propensity(
    action: str, deployment: str, more: dict[str, Any]
) -> None:
    world = world_of(sticky=False)
    with_pin(world)
    board = WeightBoard(world.live, lambda: world.overrides, world.clock)
    for index in range(32):
        board.saw(decide(world, ACME, text=f"request {index}"))
    lay(world, action, deployment, **more)
    board.evaluate()
    told = {each.deployment: each.share for each in board.current}
    expected = shares(world)
    assert told == pytest.approx({name: expected.get(name, 0.0) for name in told}, abs=1e-9)
    acting = more.get("tenant") != "another"
    whys = [each.why for each in board.current if "operator" in each.why]
    assert bool(whys) == acting


def test_decisions_under_exclusions_and_caps_are_remembered_with_those_taken_out() -> None:
    world = world_of(sticky=False)
    board = WeightBoard(world.live, lambda: world.overrides, world.clock)
    lay(world, "cost_cap", "wide", usd=1e-12)
    lay(world, "exclude", "small")
    for index in range(32):
        board.saw(decide(world, text=f"request {index}"))
    world.overrides.clear()
    board.evaluate()
    told = {each.deployment: each.share for each in board.current}
    assert set(told) >= {"wide", "small"} and told == pytest.approx(shares(world), abs=1e-9)


def test_nothing_is_said_where_nothing_was_done() -> None:
    assert why_under(NO_WILL, ["small"]) == {}
    world = world_of()
    lay(world, "exclude", "small")
    lay(world, "kill", "wide")
    will = will_for("other", world.overrides)
    assert set(why_under(will, ["small", "wide"]).values()) == {"killed by an operator"}
