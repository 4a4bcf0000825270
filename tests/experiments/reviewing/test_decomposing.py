"""A change and its parts: exactly additive, and each part what its name says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.reviewing.decomposing import as_finding, decompose, of_week
from tests.experiments.reviewing.tables import LAST_DAY, days

COUNTS = st.lists(st.integers(0, 10_000), min_size=4, max_size=4)
RATE = st.lists(st.floats(0.0, 10.0), min_size=4, max_size=4)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(COUNTS, COUNTS, RATE, RATE)
def test_the_parts_sum_to_the_change(
    n0: list[int], n1: list[int], r0: list[float], r1: list[float]
) -> None:
    before, now = (np.array(n0, float), np.array(n0) * np.array(r0)), (
        np.array(n1, float), np.array(n1) * np.array(r1))  # fmt: skip
    if not sum(n0) and not sum(n1):
        return
    found = decompose(before, now, list("abcd"))
    size = max(1.0, found.now, found.before)
    if not sum(n1):
        assert found.volume == pytest.approx(found.change, abs=1e-9 * size)
        return
    assert found.volume + found.mix + found.within == pytest.approx(found.change, abs=1e-9 * size)
    parts = math.fsum(each.mix + each.within for each in found.parts)
    assert parts == pytest.approx(found.mix + found.within, abs=1e-9 * size)


def test_each_cause_goes_to_its_part() -> None:
    before = np.array([100.0, 100.0]), np.array([100.0, 300.0])
    more = decompose(before, (before[0] * 2, before[1] * 2), ["a", "b"])
    assert (more.volume, more.mix, more.within) == (400.0, 0.0, 0.0)
    moved = decompose(before, (np.array([50.0, 150.0]), np.array([50.0, 450.0])), ["a", "b"])
    assert (moved.volume, moved.mix, moved.within) == (0.0, 100.0, 0.0)
    dearer = decompose(before, (before[0], np.array([100.0, 400.0])), ["a", "b"])
    assert (dearer.volume, dearer.mix, dearer.within) == (0.0, 0.0, 100.0)
    new = decompose(before, (np.array([100.0, 0.0]), np.array([100.0, 0.0])), ["a", "b"])
    assert new.within == 0.0


def test_a_week_with_missing_days_is_compared_with_the_same_weekdays() -> None:
    table = days(np.random.default_rng(0), noise=0.0)
    short = table.where((table["day"] <= LAST_DAY - 7) | (table["day"] == LAST_DAY - 6))
    found = of_week(short, LAST_DAY, "cost_usd", "requests")
    assert found.now == pytest.approx(found.before, rel=0.1)  # a Monday beside Mondays
    assert "by volume" in as_finding(found, "SELECT 1").words
