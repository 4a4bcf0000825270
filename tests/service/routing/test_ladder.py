"""Tiers: who is first, who waits, and for how long each is asked."""

from __future__ import annotations

from service.routing.ladder import Ladder, Ladders, Tier

LADDER = Ladder([Tier(("a", "b"), 30.0), Tier(("c",), 25.0), Tier(("d",), 20.0)])


def test_the_first_tier_that_has_anybody_is_drawn_from() -> None:
    assert LADDER.first(["d", "b", "x", "a"]) == ({"a", "b"}, {"d"})
    assert LADDER.first(["d", "c"]) == ({"c"}, {"d"})
    assert LADDER.first(["x"]) == (set(), set())


def test_each_tier_has_its_own_time() -> None:
    assert [LADDER.timeout_s(name) for name in "bcdx"] == [30.0, 25.0, 20.0, None]
    assert [LADDER.tier(name) for name in "bcdx"] == [0, 1, 2, None]


def test_a_task_without_tiers_of_its_own_takes_the_common_ones() -> None:
    other = Ladder([Tier(("z",), 1.0)])
    ladders = Ladders({"code": LADDER, "": other})
    assert ladders.of("code") is LADDER and ladders.of("chat") is other
    assert Ladders({"code": LADDER}).of("chat") is None
