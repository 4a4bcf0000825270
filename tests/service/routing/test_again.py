"""Asking nearly the same again is noticed: of the same asker, for a while."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from service.routing import again
from service.routing.again import Again, alike, sketch_of

QUESTION = "how wide is the river at its mouth in spring when the snow has gone"
words = st.lists(st.sampled_from(QUESTION.split()), max_size=30).map(" ".join)


@settings(derandomize=True, max_examples=30)
@given(words, words)
def test_likeness_is_a_share_and_whole_for_the_same(one: str, two: str) -> None:
    a, b = sketch_of(one), sketch_of(two)
    assert 0.0 <= alike(a, b) <= 1.0 and alike(a, b) == alike(b, a)
    assert alike(a, a) == (1.0 if a else 0.0)


def test_a_word_more_is_nearly_the_same_and_another_question_is_not() -> None:
    asked = sketch_of(QUESTION)
    assert alike(asked, sketch_of(QUESTION.upper() + " please")) > 0.8
    assert alike(asked, sketch_of("write a friendly note to the bakers of the town")) < 0.2


def test_it_is_of_the_same_asker_and_for_a_while() -> None:
    kept = Again(60.0, 0.8)
    kept.answered(["ann"], sketch_of(QUESTION), "small", 0.0)
    assert kept.before(["ann"], sketch_of(QUESTION), 59.0) == "small"
    assert kept.before(["ben"], sketch_of(QUESTION), 1.0) is None
    assert kept.before(["ann"], sketch_of("what else is there to say of it"), 1.0) is None
    assert kept.before(["ann"], sketch_of(QUESTION), 61.0) is None
    kept.answered(["ann"], sketch_of(QUESTION), "wide", 30.0)
    assert kept.before(["nobody", "ann"], sketch_of(QUESTION), 31.0) == "wide"


def test_it_is_bounded() -> None:
    kept = Again(60.0, 0.8)
    for at in range(again.BOUND + 10):
        kept.answered([str(at)], frozenset([at]), "small", 0.0)
    assert kept.before(["0"], frozenset([0]), 1.0) is None
    for at in range(10):
        kept.answered(["ann"], frozenset([at]), f"d{at}", 0.0)
    assert kept.before(["ann"], frozenset([0]), 1.0) is None
    assert kept.before(["ann"], frozenset([9]), 1.0) == "d9"
