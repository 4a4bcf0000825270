"""Checks skipped by a foreseen chance: their money, and what they would have found."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.errors import CannotSay
from experiments.opportunities.changes import Skip
from experiments.opportunities.checking import skipped
from experiments.statistics.moments import Interval
from tests.experiments.opportunities.worlds import checks, no_checks


def test_money_and_missed_are_counted() -> None:
    chance = np.repeat([0.95, 0.5], 100)
    value = np.ones(200)
    value[:3] = 0.0  # three of the sure ones were bad
    found = skipped(checks(chance, value, cost=301), Skip("code", above=0.9, audit=0.1), 0.05)
    assert not isinstance(found, CannotSay)
    assert found.skipped == 100 and int(found.saved.sum()) == 100 * (301 - 30)
    assert found.share.estimate == pytest.approx(0.03)
    assert found.missed.estimate == pytest.approx(2.7)
    assert found.share.low == pytest.approx(0.00623, abs=1e-4)  # Clopper and Pearson, of tables
    assert found.share.high == pytest.approx(0.08518, abs=1e-4)


def test_few_or_unforeseen_judgings_say_nothing() -> None:
    unread = checks(np.full(40, 0.95), np.full(40, np.nan))
    blind = checks(np.full(40, np.nan), np.ones(40))
    for given, said in ((no_checks(), "judged"), (blind, "prediction"), (unread, "there are 0")):
        found = skipped(given, Skip("code"), 0.05)
        assert isinstance(found, CannotSay) and said in str(found)


@pytest.mark.slow
def test_the_share_of_bad_ones_is_covered() -> None:
    """400 samples of 60; Clopper and Pearson hold at least 95 %: below 91.7 % is three errors."""
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(400):
        given = checks(np.full(60, 0.95), (rng.random(60) > 0.08).astype(float))
        found = skipped(given, Skip("code"), 0.05)
        assert not isinstance(found, CannotSay) and isinstance(found.share, Interval)
        covered += found.share.low <= 0.08 <= found.share.high
    assert covered >= 367
