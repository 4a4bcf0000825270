"""Trust in authors: whole for strangers, lost by contradiction, regained, never below the least."""

from __future__ import annotations

import numpy as np
import pytest

from learning.agreement import MOST, Believed, Standing


def test_a_stranger_is_believed_and_a_liar_is_not() -> None:
    believed = Believed(0.1)
    assert believed.trust("stranger") == 1.0
    for _ in range(10):
        believed.observe("liar", 0.0, 1.0)
        believed.observe("honest", 0.9, 1.0)
    assert believed.trust("liar") == 0.1 and believed.trust("honest") == 1.0
    assert believed.trust("stranger") == 1.0


def test_trust_falls_with_each_contradiction_and_one_costs_little() -> None:
    believed, seen = Believed(0.1), []
    for _ in range(6):
        believed.observe("a", 0.0, 0.5)
        seen.append(believed.trust("a"))
    assert seen == sorted(seen, reverse=True) and seen[0] > 0.9 and seen[-1] == pytest.approx(0.1)


def test_people_who_differ_by_taste_keep_most_of_their_word() -> None:
    rng = np.random.default_rng(5)
    for right in (0.75, 0.9):
        believed = Believed(0.1)
        for _ in range(300):
            believed.observe("a", float(rng.random() < right), 1.0)
        assert believed.trust("a") > 0.8


def test_who_betters_itself_is_believed_again() -> None:
    believed = Believed(0.2)
    for _ in range(1_000):
        believed.observe("a", 0.0, 1.0)
    assert believed.trust("a") == 0.2 and believed.standing("a").seen == pytest.approx(MOST)
    for _ in range(400):
        believed.observe("a", 1.0, 1.0)
    assert believed.trust("a") == 1.0


def test_equal_observations_give_equal_bits() -> None:
    rng = np.random.default_rng(2)
    told = [(f"a{rng.integers(4)}", float(rng.random()), float(rng.random())) for _ in range(2_000)]
    one, two = Believed(0.1), Believed(0.1)
    for each in told:
        one.observe(*each)
    for each in told:
        two.observe(*each)
    assert [one.standing(f"a{at}") for at in range(4)] == [
        two.standing(f"a{at}") for at in range(4)
    ]
    assert Standing().mean == 0.8


def test_a_least_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="least"):
        Believed(0.0)
