"""How often an answer may stand for another: the paper's bound, held in a seeded play."""

from __future__ import annotations

import numpy as np
import pytest

from learning.errors import InvalidInteraction
from learning.verified_reuse import VerifiedReuse

ENTRIES, ASKED = 12, 200


def played(seed: int, delta: float, most_false: float, drifts: bool = False) -> tuple[int, int]:
    """Of ENTRIES times ASKED questions: how many were answered again, and how many wrongly. Curves
    are drawn off the grid; where it drifts, an answer is all but never right from the middle on,
    until it is thrown away. One of twenty that are given is looked at.
    """
    chance = np.random.default_rng(seed)
    given = wrong = 0
    for _ in range(ENTRIES):
        threshold, slope = chance.uniform(0.3, 1.0), chance.uniform(4.0, 60.0)
        known, stale = VerifiedReuse(), False
        for number in range(ASKED):
            stale = stale or (drifts and number == ASKED // 2)
            similarity = float(chance.uniform(0.4, 1.0))
            likely = 0.02 if stale else 1.0 / (1.0 + np.exp(-slope * (similarity - threshold)))
            right = bool(chance.random() < likely)
            again = chance.random() >= known.anew(similarity, delta, most_false)
            given += again
            wrong += again and not right
            if not again or chance.random() < 0.05:
                known.see(similarity, right)
            if known.changed:
                known, stale = VerifiedReuse(), False
    return given, wrong


@pytest.mark.parametrize("drifts", [False, True])
def test_no_more_are_wrong_than_is_allowed(drifts: bool) -> None:
    """The bound is on the mean; over 2,400 questions the count lies three deviations above at the
    most once in 700 plays.
    """
    given, wrong = played(3, 0.05, 1.0, drifts)
    count = ENTRIES * ASKED
    assert wrong <= 0.05 * count + 3.0 * np.sqrt(0.05 * 0.95 * count)
    assert given > 0.1 * count, "a bound that gives nothing is easily held"


def test_of_those_that_are_given_no_more_are_wrong_than_is_said() -> None:
    given, wrong = played(5, 0.05, 0.05)
    assert given > 150
    assert wrong <= 0.05 * given + 3.0 * np.sqrt(0.05 * 0.95 * given)


def test_nothing_is_given_before_anything_is_known() -> None:
    known = VerifiedReuse()
    assert known.anew(1.0, 0.05) >= 0.94 and known.anew(1.0, 0.05, 0.1) == 1.0
    for _ in range(100):
        known.see(0.8, True)
    assert known.anew(0.9, 0.05) < 0.1 < known.anew(0.5, 0.05)
    assert known.anew(0.9, 0.05) < known.anew(0.9, 0.01), "a smaller error costs looks"


def test_the_bound_below_is_a_bound_and_a_wrong_answer_lowers_it() -> None:
    known = VerifiedReuse()
    for _ in range(40):
        known.see(0.8, True)
    before = known.least_right(0.8)
    assert 0.8 < before < 1.0
    known.see(0.8, False)
    assert known.least_right(0.8) < before and not known.changed
    known.see(0.8, False)
    assert known.changed, "twice wrong where it was right forty times"


def test_wrong_where_it_was_never_right_is_no_change() -> None:
    known = VerifiedReuse()
    for _ in range(30):
        known.see(0.9, True)
        known.see(0.4, False)
    assert not known.changed
    assert known.anew(0.9, 0.05) < 1.0 - 0.05 < known.anew(0.4, 0.05) + 0.01


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidInteraction):
        VerifiedReuse().see(1.5, True)
    with pytest.raises(InvalidInteraction):
        VerifiedReuse().anew(0.5, 0.0)
