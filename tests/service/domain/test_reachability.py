"""Conditions that cannot hold, or that never get their turn, are found; others are left alone."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.expressions import parse
from service.domain.reachability import can_hold, unreachable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("word_count < 3 and word_count > 5", False),
        ("word_count < 3 and word_count > 1", True),
        ("word_count < 3 and word_count > 2", False),
        ("word_count < 0", False),
        ("word_count == 2.5", False),
        ("turns < 2 and turns != 0 and turns != 1", False),
        ('tier == "a" and tier == "b"', False),
        ('tier in ["a", "b"] and tier != "a"', True),
        ('tier in ["a", "b"] and tier not in ["a", "b"]', False),
        ('"x" in tags and "x" not in tags', False),
        ("has_code and not has_code", False),
        ("not true", False),
    ],
)
def test_can_hold(text: str, expected: bool) -> None:
    assert can_hold(parse(text).node) is expected


def test_what_never_gets_its_turn() -> None:
    order = [parse("word_count < 100"), parse("word_count < 50 and has_code"), parse("has_code"),
             parse("not has_code and word_count >= 100"), None, parse("has_maths")]  # fmt: skip
    assert [index for index, _ in unreachable(order)] == [1, 4, 5]


conditions = st.lists(
    st.sampled_from(
        ["turns < 1", "turns >= 1", "turns == 2", "has_code", "not has_code",
         "turns < 3 and has_code", "turns > 1 or has_code"]
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip


@given(conditions)
def test_it_agrees_with_trying_everything(texts: list[str]) -> None:
    order = [parse(text) for text in texts]
    reached = set()
    for turns, code in product(range(6), (False, True)):
        for index, condition in enumerate(order):
            if condition({"turns": turns, "has_code": code}):
                reached.add(index)
                break
    assert {index for index, _ in unreachable(order)} == set(range(len(order))) - reached


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("complexity > 3 and complexity < 4", True),
        ("difficulty >= 50 and difficulty <= 50", True),
        ("difficulty >= 50 and difficulty < 50", False),
        ("ambiguity > 60 and ambiguity < 60.5 and ambiguity != 60.2", True),
        ("ambiguity == 7 and ambiguity != 7", False),
        ("complexity > 100", False),
        ("complexity < 0", False),
    ],
)
def test_scores_are_any_number_from_0_to_100(text: str, holds: bool) -> None:
    assert can_hold(parse(text).node) is holds
