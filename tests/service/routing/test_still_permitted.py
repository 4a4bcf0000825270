"""An answer of a deployment is given again only where that deployment may still answer."""

from __future__ import annotations

from typing import Any

import pytest

from service.routing.still_permitted import StillPermitted
from tests.service.routing.world import CATALOG, KEY, World, ask, deployment


def permits(world: World, name: str, tier: str = "", text: str = "hello there",
            **more: Any) -> bool:  # fmt: skip
    check = StillPermitted(world.router.table, world.fleet, world.live, lambda: world.overrides)
    options = ({"headgate": {"tier": tier}} if tier else {}) | more
    return check(world.router.reading(ask(text, **options), KEY), name)


@pytest.mark.parametrize(
    ("name", "more", "may"),
    [
        ("wide", {}, True), ("gone", {}, False), ("coder", {}, False),
        ("coder", {"headgate": {"task": "code"}}, True),
        ("small", {"text": "word " * 3_000}, False), ("wide", {"text": "word " * 3_000}, True),
        ("wide", {"headgate": {"deployments": ["small"]}}, False),
        ("wide", {"headgate": {"exclude": ["wide"]}}, False),
        ("wide", {"headgate": {"region": "eu"}}, False),
        ("wide", {"headgate": {"data_policy": ["no_training"]}}, False),
        ("seeing", {"tier": "free"}, False), ("wide", {"tier": "free"}, True),
        ("seeing", {"tier": "paid"}, True),
        ("small", {"model": "small"}, True), ("wide", {"model": "small"}, False),
        ("wide", {"headgate": {"min_quality": 1.0}}, False),
        ("wide", {"headgate": {"min_quality": 0.01}}, True),
    ],
)  # fmt: skip
def test_by_the_request_and_the_plan(name: str, more: dict[str, Any], may: bool) -> None:
    assert permits(World(), name, **more) == may


def test_where_it_is_and_what_it_promises() -> None:
    here = deployment("here", region="eu", data_policy=frozenset({"no_retention"}))
    world = World(of=((*CATALOG, here), ()))
    assert permits(world, "here", headgate={"region": "eu", "data_policy": ["no_retention"]})


@pytest.mark.parametrize(
    ("action", "of", "may"),
    [
        ("exclude", "wide", False), ("exclude", "small", True), ("kill", "wide", True),
        ("kill", "small", False), ("force", "small", False), ("force", "wide", True),
        ("freeze", "wide", True),
    ],
)  # fmt: skip
def test_by_what_operators_want(action: str, of: str, may: bool) -> None:
    world = World()
    world.override(action, of)
    assert permits(world, "wide") == may
    world.overrides.clear()
    assert permits(world, "wide")
