"""Sums forget by time, whatever the order; contributions can be taken back exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.decay import DecayClock

events = st.lists(st.tuples(st.floats(0.0, 5_000.0), st.floats(0.0, 1.0)), min_size=1, max_size=30)


def _total(order: list[tuple[float, float]], at_s: float) -> float:
    clock, total = DecayClock(100.0), 0.0
    for when, amount in order:
        total *= clock.rescale(when)
        total += clock.weight(when) * amount
    return total * clock.discount(at_s)


@given(events, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(order: list[tuple[float, float]], shuffle: object) -> None:
    expected = sum(amount * 0.5 ** ((5_000.0 - when) / 100.0) for when, amount in order)
    mixed = list(order)
    shuffle.shuffle(mixed)  # type: ignore[attr-defined]
    assert _total(order, 5_000.0) == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert _total(mixed, 5_000.0) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_the_half_life_halves() -> None:
    assert _total([(0.0, 1.0)], 100.0) == pytest.approx(0.5)


def test_the_reference_moves_before_weights_overflow() -> None:
    clock = DecayClock(1.0)
    assert clock.rescale(0.0) == 1.0
    assert clock.rescale(50.0) == 1.0
    assert clock.rescale(1e6) == 0.0 and clock.reference_s == 1e6


def test_a_clock_set_back_makes_nothing_younger_and_breaks_nothing() -> None:
    clock = DecayClock(1.0)
    clock.rescale(100_000.0)
    assert clock.discount(0.0) == clock.discount(100_000.0) == 1.0
    assert clock.rescale(0.0) == 1.0 and clock.weight(0.0) == 0.0
