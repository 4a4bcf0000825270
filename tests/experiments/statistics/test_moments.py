"""Sums that add give what all values together give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.moments import Moments

values = st.lists(st.floats(-1e3, 1e3), max_size=30).map(np.array)


@given(values, values)
def test_parts_add_to_the_whole(one: np.ndarray, two: np.ndarray) -> None:
    whole = Moments.of(np.concatenate([one, two]))
    parts = Moments.of(one) + Moments.of(two)
    assert parts.count == whole.count
    assert parts.mean == pytest.approx(whole.mean, abs=1e-9)
    assert parts.squares == pytest.approx(whole.squares, rel=1e-9, abs=1e-6)


def test_the_interval_is_students() -> None:
    data = np.random.default_rng(0).normal(3.0, 2.0, 40)
    expected = stats.ttest_1samp(data, 0.0).confidence_interval(0.95)
    found = Moments.of(data).interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_interval_covers() -> None:
    """95 % intervals over 2,000 seeded samples of 12: coverage within 95 +- 1.5 points."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(2_000):
        found = Moments.of(rng.normal(1.0, 1.0, 12)).interval()
        hits += found.low <= 1.0 <= found.high
    assert abs(hits / 2_000 - 0.95) < 0.015


def test_one_value_cannot_say() -> None:
    with pytest.raises(CannotSay, match="two values"):
        Moments.of(np.array([1.0])).interval()
    assert issubclass(CannotSay, ExperimentError)
