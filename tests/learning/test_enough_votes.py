"""The stop rule: the paper's numbers, and how often stopping changes who wins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.enough_votes import by_beta, by_dirichlet, decided, enough
from learning.errors import InvalidInteraction

SURE = 0.9
RUNS = 800  # three standard errors of a rate of 0.1: 0.032


def test_the_beta_rule_by_hand() -> None:
    assert by_beta([3]) == pytest.approx(1 - 0.5**4)
    assert by_beta([4]) == pytest.approx(1 - 0.5**5)
    assert by_beta([2, 2]) == pytest.approx(0.5)
    assert by_beta([]) == pytest.approx(0.5)
    assert enough("beta", [3], 10, 0.95) == "" and enough("beta", [4], 10, 0.95) == "beta"


def test_the_dirichlet_rule_is_the_beta_rule_for_two_answers_and_more_careful_for_more() -> None:
    assert by_dirichlet([5]) == pytest.approx(by_beta([5]), abs=1e-4)
    drawn = np.random.default_rng(3).dirichlet([5, 3, 2, 1], 200_000)
    assert by_dirichlet([4, 2, 1]) == pytest.approx((drawn.argmax(1) == 0).mean(), abs=0.005)
    assert by_dirichlet([4, 2, 1]) < by_beta([4, 2, 1])


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(0, 9))
def test_what_is_decided_stays_so_whatever_comes(counts: list[int], left: int) -> None:
    if enough("beta", counts, left, 0.999_999) != "decided":
        return
    ordered = sorted(counts, reverse=True)
    second = ordered[1] if len(ordered) > 1 else 0
    assert ordered[0] > second + left and ordered[0] > left
    assert decided([float(each) for each in counts], float(left))


@pytest.mark.parametrize("rule", ["beta", "dirichlet"])
def test_stopping_early_rarely_changes_the_winner_and_saves_votes(rule: str) -> None:
    """Vote distributions drawn uniformly: another winner than after all votes in at most 10 % of
    runs (the stated bound), and half the votes or more are left where two answers are possible.
    """
    chance = np.random.default_rng(11)
    for answers, most in ((2, 15), (4, 12)):
        changed = used = 0
        for _ in range(RUNS // 2 if rule == "dirichlet" else RUNS):
            votes = chance.choice(answers, most, p=chance.dirichlet(np.ones(answers)))
            counts = np.zeros(answers, dtype=int)
            for taken, vote in enumerate(votes, 1):
                counts[vote] += 1
                if enough(rule, counts.tolist(), most - taken, SURE):
                    break
            used += taken
            whole = np.bincount(votes, minlength=answers)
            changed += int(whole[counts.argmax()] < whole.max())
        runs = RUNS // 2 if rule == "dirichlet" else RUNS
        assert changed / runs <= 1.0 - SURE
        assert used / runs <= most * (0.6 if answers == 2 else 0.95)


def test_bad_input_is_named() -> None:
    for sure in (0.5, 1.0):
        with pytest.raises(InvalidInteraction, match="sure"):
            enough("beta", [1], 1, sure)
    with pytest.raises(InvalidInteraction, match="counts"):
        by_beta([-1])
    assert enough("beta", [], 3, 0.9) == "" and not decided([], 1.0)
