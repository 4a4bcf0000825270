"""A tier's money and quality off policy: refused where the history cannot carry it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from experiments.errors import CannotSay
from experiments.opportunities.changes import Tier
from experiments.opportunities.estimating import alone
from experiments.opportunities.tiering import tiered
from experiments.statistics.moments import Interval
from tests.experiments.opportunities.worlds import world

TIER = Tier("code", "small")


def test_the_estimate_is_near_the_truth_where_plain_means_are_not() -> None:
    made = world(7, days=28, a_day=400)
    found = alone(made.traffic, TIER)
    assert isinstance(found.saved, Interval) and isinstance(found.quality, Interval)
    assert found.saved.low <= made.true_saved <= found.saved.high
    assert found.quality.low <= made.true_quality <= found.quality.high
    small = made.traffic.deployment == "small"
    naive = float(made.traffic.cost.sum() - made.traffic.cost[small].mean() * len(small))
    assert naive > found.saved.high  # the small one was given the easy ones
    assert found.risk is not None and found.risk > 0.0 and "effective draws" in found.assumes


def test_without_overlap_nothing_is_said() -> None:
    made = world(3, days=7).traffic
    never = made.draws.propensities.copy()
    never[:] = [0.0, 1.0]
    wide = np.ones(len(never), dtype=np.int64)
    cases = (
        (replace(made, draws=replace(made.draws, propensities=never, drawn=wide)), "no chance"),
        (world(3, days=7, a_day=20).traffic, "effective sample"),
        (replace(made, draws=made.draws.of(np.zeros(len(made), bool)), draw=made.draw * 0 - 1),
         "nothing of code was drawn"),
    )  # fmt: skip
    for traffic, said in cases:
        found = tiered(traffic, traffic.cost, TIER, 0.05)
        assert isinstance(found, CannotSay) and said in str(found)


def test_quality_that_nobody_rated_is_not_said() -> None:
    made = world(3).traffic
    none = np.full(len(made), np.nan)
    found = alone(replace(made, draws=replace(made.draws, quality=none)), TIER)
    assert isinstance(found.saved, Interval) and isinstance(found.quality, CannotSay)
    assert found.risk is None
