"""Kept answers in memory: bounded, in their time, and gone when they are taken back."""

from __future__ import annotations

import random

from service.caching.shelf import MOST_ALIKE, Shelf, Which
from tests.service.caching.entries import entry


def test_the_least_lately_used_goes_first() -> None:
    gone: list[str] = []
    size = entry().size
    shelf = Shelf(3 * size, gone.extend)
    for name in "abc":
        shelf.put(entry(name))
    shelf.used(shelf.alike("a")[0])
    shelf.put(entry("d"))
    assert gone == ["b/a"] and not shelf.alike("b") and shelf.alike("a")
    assert not shelf.put(entry("huge", tail=b"x" * 4 * size)), "what does not fit is not kept"
    shelf.bound(size)
    assert len(shelf) == 1 and shelf.bytes == size


def test_the_bound_holds_whatever_comes() -> None:
    chance, known = random.Random(3), set()
    shelf = Shelf(20_000, known.difference_update)
    for turn in range(3_000):
        name = f"{chance.randrange(40)}"
        made = entry(name, chance.choice("abcdef"), tail=b"y" * chance.randrange(3_000),
                     dies_s=chance.uniform(0, turn + 50), source=f"{turn}")  # fmt: skip
        if shelf.put(made):
            known.add(made.name)
        if turn % 7 == 0:
            shelf.expire(float(turn))
        assert shelf.bytes <= 20_000 and shelf.bytes == sum(each.size for each in shelf)
        assert len(shelf.alike(name)) <= MOST_ALIKE
        assert {each.name for each in shelf} <= known
    shelf.forget(lambda _: True, "all")
    assert shelf.bytes == 0 and not known and not shelf._alike and not shelf._sources


def test_time_ends_them_and_a_newer_one_takes_the_place() -> None:
    shelf = Shelf(100_000)
    shelf.put(entry("a", dies_s=1_050.0))
    shelf.put(entry("a", dies_s=1_200.0, source="newer"))
    assert shelf.expire(1_100.0) == 0 and shelf.of_source("newer") is not None
    assert shelf.of_source("d-a-a") is None
    assert shelf.expire(1_200.0) == 1 and len(shelf) == 0
    assert shelf.ended == {"replaced": 1, "expired": 1}


def test_what_is_meant_is_taken_back() -> None:
    def kept() -> Shelf:
        shelf = Shelf(100_000)
        shelf.put(entry("1", "a", task="t", tags=("x",), tenant="acme", owner="acme"))
        shelf.put(entry("2", "b", stored_us=50, tags=("x", "y"), tenant="acme"))
        shelf.put(entry("3", "b", task="t"))
        return shelf

    for which, left in (
        (Which(tag="x"), {"3"}), (Which(tag="y"), {"1", "3"}), (Which(deployment="b"), {"1"}),
        (Which(task="t", deployment="b"), {"1", "2"}), (Which(before_us=50), {"2"}),
        (Which(tenant="acme"), {"3"}), (Which(owner="acme"), {"2", "3"}), (Which(), set()),
    ):  # fmt: skip
        shelf = kept()
        shelf.forget(which.takes, "meant")
        assert {each.fingerprint for each in shelf} == left, which
