"""Intervals of a part of spend from sums by day."""

from __future__ import annotations

import numpy as np

from experiments.errors import CannotSay
from experiments.opportunities.by_day import part_of
from experiments.statistics.moments import Interval


def test_a_constant_part_is_sure_and_few_days_say_nothing() -> None:
    whole = np.array([100.0, 50.0, 80.0, 120.0, 90.0, 40.0, 60.0])
    found = part_of(0.2 * whole, whole)
    assert isinstance(found, Interval)
    assert abs(found.high - found.low) < 1e-6 and abs(found.estimate - 0.2 * whole.sum()) < 1e-9
    assert isinstance(part_of(whole[:6], whole[:6]), CannotSay)
    wider = part_of(0.2 * whole, whole, least_error=10.0)
    assert isinstance(wider, Interval) and abs(wider.high - wider.estimate - 19.6) < 0.01


def test_it_covers_at_about_its_level_though_days_hang_together() -> None:
    """1,000 spans of 28 days, residuals AR(1) of 0.3: 95 % asked; fewer than 91.5 % would be five
    standard errors of the simulation below it.
    """
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(1_000):
        whole = rng.uniform(50.0, 150.0, 28)
        noise = rng.normal(size=29)
        for at in range(1, 29):
            noise[at] += 0.3 * noise[at - 1]
        found = part_of((0.2 + 0.03 * noise[1:]) * whole, whole)
        assert isinstance(found, Interval)
        covered += found.low <= 0.2 * whole.sum() <= found.high
    assert 915 <= covered <= 995, covered
