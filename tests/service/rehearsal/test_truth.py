"""What the world knows adds up: whatever was spent, by whom and on what, parts and total agree."""

from __future__ import annotations

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from service.check import load_checked
from service.plan.whole import Plan
from service.rehearsal.seen import Seen
from service.rehearsal.traffic import Day, day
from service.rehearsal.truth import (
    BASIC,
    BATCHES,
    CACHE,
    DRAW,
    ELSEWHERE,
    FLOWS,
    PIECES,
    Truth,
)
from service.rehearsal.world import World
from tests.conftest import ROOT

PARTS = {BASIC, BATCHES, CACHE, DRAW, ELSEWHERE, FLOWS, PIECES}
NAMES = ("essayist", "journeyman", "apprentice")


@cache
def made() -> tuple[Plan, Day, World]:
    plot, world = day(60, 11), World(11, lambda: 0.0)
    world.texts = plot.texts
    return load_checked(ROOT / "examples" / "contentforge.yaml"), plot, world


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    rows=st.lists(st.tuples(st.sampled_from((*NAMES, "")), st.integers(0, 90_000)), max_size=60),
    lost=st.lists(st.integers(0, 90_000), max_size=5),
)
def test_parts_are_the_total_whatever_was_spent(
    rows: list[tuple[str, int]], lost: list[int]
) -> None:
    plan, plot, world = made()
    seen = [
        Seen(wish, 200, decision_id=str(at), deployment=name, cache="hit" if at % 5 == 0 else "")
        for at, (wish, (name, _)) in enumerate(zip(plot.wishes, rows, strict=False))
    ]
    spent = {str(at): amount for at, (_, amount) in enumerate(rows)}
    spent |= {f"lost-{at}": amount for at, amount in enumerate(lost)}
    batched = {each.decision_id: 7 for each in seen[::3]}
    for name in NAMES:
        found = Truth(plan, world).beside(name, seen, spent, batched)
        assert found.saved.parts[BATCHES] == 7 * sum(1 for each in seen[::3] if each.deployment)
        assert found.saved.gap == 0 and set(found.saved.parts) == PARTS
        assert found.saved.total == found.cost_micro_usd - sum(spent.values())
        nobody = sum(a for n, a in rows if not n) + sum(lost)
        assert found.saved.parts[ELSEWHERE] == -nobody


def test_the_dear_cost_more_and_know_more() -> None:
    plan, plot, world = made()
    truth = Truth(plan, world)
    wish = next(each for each in plot.wishes if each.task == "long_article")
    assert truth.cost("essayist", wish) > truth.cost("journeyman", wish)
    assert truth.cost("journeyman", wish) > truth.cost("apprentice", wish)
    assert truth.quality("essayist", wish) > truth.quality("apprentice", wish)
    assert set(truth.names) == set(NAMES)
