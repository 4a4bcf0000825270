"""Newcomers are tried within bounds; what has failed is held back and rises again."""

from __future__ import annotations

import numpy as np
import pytest

from learning.policies.base import STATES
from learning.policies.linear_parameters import LinearParameters
from learning.policies.linear_standing import GREATEST_TRIAL, Standing

P = LinearParameters(budget_usd=0.001)
WELL = np.full(3, np.inf)


def _standing(
    count: list[float], changed: tuple[int, ...] = (), risen: object = WELL, new: float = 30.0
) -> Standing:
    """Those below ``new`` answers are new."""
    counts = np.array(count, dtype=float)
    return Standing.of((counts, 3 * counts), counts < new, changed, np.asarray(risen, float), P)


def test_at_the_first_start_nobody_is_on_trial() -> None:
    standing = _standing([0, 3, 40], new=0.0)
    assert not standing.trial.any() and (standing.caps(P) == 1.0).all()
    assert standing.states() == ("steady",) * 3


def test_a_newcomer_is_tried_at_a_bounded_share_and_price() -> None:
    standing = _standing([200, 200, 0])
    exploring, caps = standing.exploring(P), standing.caps(P)
    assert standing.states() == ("steady", "steady", "on trial")
    assert exploring.hopeful is not None and exploring.hopeful[2] == P.first_share == caps[2]
    assert exploring.floor_usd[2] == pytest.approx(P.trial_budget * 0.001)
    later = _standing([200, 200, 10])
    assert later.caps(P)[2] == P.trial_share
    assert later.exploring(P).hopeful[2] == P.trial_floor  # type: ignore[index]
    assert _standing([200, 200, P.trial_answers]).states() == ("steady",) * 3


def test_several_newcomers_share_what_one_may_have() -> None:
    for count in (0.0, 10.0):
        standing = _standing([500, count, count])
        assert standing.caps(P)[1:].sum() <= GREATEST_TRIAL + 1e-12
        assert standing.exploring(P).hopeful.sum() <= GREATEST_TRIAL + 1e-12  # type: ignore[union-attr]


def test_where_ratings_are_rare_calls_end_the_first_share() -> None:
    none, calls = np.array([200.0, 0.0]), np.array([900.0, 9.0])
    new = np.array([False, True])
    standing = Standing.of((none, calls), new, (), np.full(2, np.inf), P)
    assert standing.trial[1] and not standing.untried[1]
    later = Standing.of((none, calls * 40), new, (), np.full(2, np.inf), P)
    assert not later.trial.any()


def test_an_alarm_holds_back_and_the_bound_rises() -> None:
    for risen, cap in ((0.0, 0.05), (0.5, 0.55), (2.0, 1.0)):
        standing = _standing([200, 200, 200], risen=[risen, np.inf, np.inf])
        assert standing.caps(P).tolist() == [pytest.approx(cap), 1.0, 1.0]
        assert standing.states()[0] == ("held back" if cap < 1.0 else "steady")


def test_the_alarm_shows_before_the_change_and_the_change_before_the_trial() -> None:
    standing = _standing([200, 20, 20], (0, 1), [0.0, np.inf, np.inf])
    assert standing.states() == ("held back", "re-exploring", "on trial")
    assert set(standing.states()) <= set(STATES)


def test_after_a_change_all_are_explored_without_tempering_for_a_while() -> None:
    assert (_standing([200, 20, 200], (1,), new=0.0).exploring(P).temper == 1.0).all()
    known = P.temper + (1.0 - P.temper) * P.wary / (P.wary + 200)
    later = _standing([200, 200, 200], (1,)).exploring(P).temper
    assert later.tolist() == pytest.approx([known] * 3)


def test_who_is_little_known_is_explored_more() -> None:
    found = _standing([0, 100, 1e9], new=0.0).exploring(P).temper
    assert found == pytest.approx([1.0, (1.0 + P.temper) / 2, P.temper])
