"""The nearest kept answer: within its group, bounded; and whom it may serve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from learning.likeness import DIMENSION, Vector, likeness
from service.caching.nearest import (
    MOST_APART,
    MOST_ASKERS,
    MOST_BY_ONE,
    MOST_IN_GROUP,
    Centre,
    Nearest,
)
from tests.service.caching.entries import entry


def unit(chance: np.random.Generator) -> Vector:
    found = chance.standard_normal(DIMENSION).astype(np.float32)
    return found / np.float32(np.sqrt(found @ found))


def centre(vector: Vector, group: str = "g", name: str = "n", maker: str = "maker") -> Centre:
    return Centre(replace(entry(), name=name), maker, vector, group)


def test_the_nearest_is_that_of_a_full_search_whatever_was_taken_away() -> None:
    chance, found = np.random.default_rng(1), Nearest(1_000)
    all_of_them = [centre(unit(chance), f"g{n % 3}") for n in range(90)]
    for each in all_of_them:
        found.add(each)
    for each in all_of_them[::4]:
        found.remove(each)
        found.remove(each)  # twice is once
    left = [each for n, each in enumerate(all_of_them) if n % 4]
    assert len(found) == len(left)
    for _ in range(20):
        asked = unit(chance)
        near = found.find("g1", asked)
        best = max((each for each in left if each.group == "g1"), key=lambda c: c.vector @ asked)
        assert near is not None and near[0] is best
        assert abs(near[1] - float(best.vector @ asked)) < 1e-5
    assert found.find("another", unit(chance)) is None


def test_the_least_lately_used_goes_where_there_is_no_room() -> None:
    found = Nearest(3)
    first, second, third, fourth = (
        centre(likeness(text)) for text in ("a tide", "a lion", "a fjord", "a piano")
    )
    for each in (first, second, third):
        found.add(each)
    found.find("g", first.vector)
    found.add(fourth)
    near = found.find("g", second.vector)
    assert len(found) == 3 and near is not None and near[0] is not second
    found.bound(1)
    assert len(found) == 1
    found.clear()
    assert len(found) == 0 and found.find("g", first.vector) is None


def test_a_group_is_bounded_by_itself() -> None:
    found, chance = Nearest(10 * MOST_IN_GROUP), np.random.default_rng(2)
    first = centre(unit(chance))
    found.add(first)
    for _ in range(MOST_IN_GROUP - 1):
        found.add(centre(unit(chance)))
    found.find("g", first.vector)  # used, so another one goes
    for _ in range(3):
        found.add(centre(unit(chance)))
    assert len(found) == MOST_IN_GROUP
    near = found.find("g", first.vector)
    assert near is not None and near[0] is first


def test_an_answer_serves_others_only_after_another_key_found_it_right() -> None:
    made = centre(likeness("a tide"))
    for _ in range(100):
        made.seen("maker", 0.9, True)
    assert made.serves("maker") and not made.serves("other")
    assert made.known("maker").anew(0.9, 0.05) < 0.1
    assert made.known("other").count == 0, "what its maker says of it tells others nothing"
    made.seen("other", 0.9, False)
    assert not made.serves("other")
    made.seen("other", 0.9, True)
    assert made.serves("other") and made.serves("third")


def test_one_key_proves_no_more_to_the_others_than_its_part() -> None:
    """A key that asks for what is easily right a hundred times, so that what is not seems so."""
    made = centre(likeness("a tide"))
    for _ in range(100):
        made.seen("accomplice", 0.9, True)
    assert made.known("victim").right == MOST_BY_ONE
    assert made.known("accomplice").right == 100
    assert made.known("victim").anew(0.9, 0.02, 0.05) == 1.0, "too little is known for it"
    for n in range(MOST_APART + 5):
        made.seen(f"key{n}", 0.9, False)
    assert len(made.own) == MOST_APART, "bounded"
    assert made.pooled.count == MOST_BY_ONE + MOST_APART + 5, "who finds it wrong always counts"
    assert made.changed


def test_many_who_ask_once_each_prove_it_together_and_are_bounded() -> None:
    made = centre(likeness("a tide"))
    for n in range(3 * MOST_ASKERS):
        made.seen(f"user{n}", 0.9, True)
    assert made.pooled.right == 3 * MOST_ASKERS
    assert len(made.own) == MOST_APART and len(made.agreed) == MOST_ASKERS
    assert made.known("another").anew(0.9, 0.05, 0.1) < 1.0


def test_its_maker_does_not_renew_what_it_gives_to_others() -> None:
    made = centre(likeness("a tide"))
    made.seen("other", 0.9, True)
    made.unseen = 40
    made.seen("maker", 0.9, True)
    assert made.unseen == 40


def test_a_look_that_finds_it_right_begins_the_count_of_the_unseen_anew() -> None:
    made = centre(likeness("a tide"))
    made.unseen = 40
    made.seen("other", 0.9, False)
    assert made.unseen == 40
    made.seen("other", 0.9, True)
    assert made.unseen == 0
