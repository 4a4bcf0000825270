"""Votes: the order never matters, ties are settled alike, weights follow accuracy."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.errors import InvalidInteraction
from learning.voting import Vote, calibrated, majority, weight, weighted

VOTES = st.lists(
    st.tuples(st.sampled_from("abcd"), st.floats(0.0, 1.0)), min_size=1, max_size=12
).map(lambda each: [Vote(answer, rank, sure) for rank, (answer, sure) in enumerate(each)])
FEW = settings(derandomize=True, max_examples=60, deadline=None)


@FEW
@given(VOTES, st.integers(2, 10), st.integers(0, 1000))
def test_the_order_of_the_votes_changes_nothing(votes: list[Vote], answers: int, seed: int) -> None:
    other = list(votes)
    random.Random(seed).shuffle(other)
    assert majority(votes) == majority(other)
    assert weighted(votes, answers) == weighted(other, answers)


@FEW
@given(VOTES)
def test_the_winner_has_most_and_a_voter_of_its_own_stands_for_it(votes: list[Vote]) -> None:
    found = majority(votes)
    assert found is not None
    counts = [sum(v.answer == each for v in votes) for each in {v.answer for v in votes}]
    assert sum(v.answer == found.answer for v in votes) == max(counts)
    assert next(v for v in votes if v.rank == found.rank).answer == found.answer
    assert (counts.count(max(counts)) > 1) == bool(found.tied)
    assert found.lead >= 0.0 and 0.0 < found.share <= 1.0


def test_a_tie_goes_to_the_most_accurate_voter_then_to_the_first() -> None:
    even = [Vote("x", 0, 0.6), Vote("y", 1, 0.8)]
    found = majority(even)
    assert found is not None and (found.answer, found.tied, found.lead) == ("y", ("x", "y"), 0.0)
    alike = majority([Vote("x", 1), Vote("y", 0)])
    assert alike is not None and alike.answer == "y"
    same = weighted([Vote("x", 0, 0.8), Vote("y", 1, 0.8)], 4)
    assert same is not None and same.answer == "x" and same.tied == ("x", "y")


def test_one_accurate_voter_outweighs_two_poor_ones_and_guesses_weigh_nothing() -> None:
    votes = [Vote("x", 0, 0.3), Vote("x", 1, 0.3), Vote("y", 2, 0.9)]
    by_weight, by_number = weighted(votes, 4), majority(votes)
    assert by_weight is not None and by_weight.answer == "y"
    assert by_number is not None and by_number.answer == "x"
    assert weight(0.25, 4) == weight(0.1, 4) == 0.0 < weight(0.5, 4) < weight(0.9, 4)
    assert weight(1.0, 4) == weight(0.99, 4)  # nobody counts without end
    only_guesses = weighted([Vote("x", 0, 0.2), Vote("x", 1, 0.2), Vote("y", 2, 0.25)], 4)
    assert only_guesses is not None and only_guesses.answer == "x"
    assert majority([]) is None and weighted([], 2) is None


def test_accuracy_is_what_was_seen_shrunk_to_belief() -> None:
    assert calibrated(0, 0, 0.7) == 0.7
    assert calibrated(90, 100, 0.5) == pytest.approx(95 / 110)
    for wrong in ((2.0, 1.0, 0.5), (0.0, 1.0, 1.5)):
        with pytest.raises(InvalidInteraction):
            calibrated(*wrong)
    with pytest.raises(InvalidInteraction):
        weight(1.2, 4)
    with pytest.raises(InvalidInteraction):
        weight(0.5, 1)
