"""Intervals of means at every look: they hold, they widen with what is forgotten, they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from experiments.errors import CannotSay
from experiments.statistics.fading_means import (
    bounded_interval,
    positive_interval,
    share_interval,
)
from experiments.statistics.moments import Interval

LOOKS = [*range(2, 60, 6), *range(60, 400, 40)]


@pytest.mark.parametrize("truth", [0.05, 0.5, 0.9])
def test_the_truth_is_left_out_at_any_look_in_fewer_than_alpha_of_streams(truth: float) -> None:
    """100 streams, seeded; at 5 % allowed, 11 or more would come by chance once in a hundred."""
    rng, missed = np.random.default_rng(7), 0
    for _ in range(100):
        sums = np.cumsum(rng.random(400) < truth)
        means = [(n, float(sums[n - 1]) / n) for n in LOOKS]
        found = [bounded_interval(n, mean, mean * (1.0 - mean)) for n, mean in means]
        missed += any(not each.low <= truth <= each.high for each in found)
    assert missed <= 10


def test_graded_values_of_the_same_mean_are_covered_by_what_covers_coins() -> None:
    rng, missed = np.random.default_rng(8), 0
    for _ in range(100):
        sums = np.cumsum(rng.beta(2.0, 1.0, 99))
        found = [share_interval(n, float(sums[n - 1]) / n) for n in range(3, 99, 8)]
        missed += any(not each.low <= 2.0 / 3.0 <= each.high for each in found)
    assert missed <= 10


def test_the_ends_solve_the_mixtures_equation() -> None:
    found = share_interval(40.0, 0.7, 0.05)
    for at in (found.low, found.high):
        log_m = special.betaln(29.0, 13.0) - special.xlogy(28.0, at) - special.xlog1py(12.0, -at)
        assert log_m == pytest.approx(np.log(20.0), abs=1e-6)


def test_what_is_forgotten_widens_it_and_nothing_known_is_everything() -> None:
    widths = [
        (found.high - found.low) for n in (1_000.0, 300.0, 90.0, 20.0, 2.0, 0.1)
        for found in [bounded_interval(n, 0.7, 0.21)]
    ]  # fmt: skip
    assert widths == sorted(widths) and widths[-1] > 0.9
    assert (share_interval(0.0, 0.5).low, share_interval(0.0, 0.5).high) == (0.0, 1.0)
    sure = share_interval(50.0, 0.0)
    assert sure.low == 0.0 and 0.05 < sure.high < 0.15
    alike = bounded_interval(500.0, 0.8, 0.0)  # answers that were all alike are not for ever
    assert alike.high - alike.low > 0.001


def test_seconds_and_money_need_ten_values_and_never_fall_below_zero() -> None:
    assert isinstance(positive_interval(9.0, 1.0, 1.0), CannotSay)
    found = positive_interval(12.0, 1.0, 9.0)
    assert isinstance(found, Interval) and found.low == 0.0 and found.high > 2.0
    held = positive_interval(100.0, 2.0, 0.0)
    assert isinstance(held, Interval) and held.low < 2.0 < held.high
    rng, missed = np.random.default_rng(9), 0
    for _ in range(100):
        values = np.exp(0.3 * rng.standard_normal(400))
        for n in range(10, 400, 30):
            each = positive_interval(n, values[:n].mean(), values[:n].var())
            assert isinstance(each, Interval)
            if not each.low <= np.exp(0.045) <= each.high:
                missed += 1
                break
    assert missed <= 10
