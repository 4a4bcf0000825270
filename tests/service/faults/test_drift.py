"""Faults that no status tells of: slower and slower, or worse and worse, in a simulated world."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.offline.world import Weather, World
from tests.experiments.offline.test_world import ARMS, WELL, policy

PER_SECOND = 2.0


@pytest.mark.slow
def test_F27_latency_that_doubles_slowly_loses_weight() -> None:
    """Over twenty minutes, a twentieth more each minute; no call fails and no rating tells."""
    from_s, steps = 600.0, 20
    changes = {
        from_s + 60.0 * (step + 1): (0, Weather(0.85, latency_s=1.0 + (step + 1) / steps))
        for step in range(steps)
    }
    for seed in range(3):
        seen = World(ARMS, WELL, changes, PER_SECOND).run(policy(), 4_800, seed)
        before = seen.shares[(seen.at_s > from_s - 120) & (seen.at_s <= from_s), 0].mean()
        after = seen.shares[seen.at_s > from_s + 60.0 * (steps + 1), 0].mean()
        assert before > 0.7 and after < 0.5 * before


@pytest.mark.slow
def test_F28_quality_that_collapses_behind_healthy_answers_is_found() -> None:
    """Every call succeeds as fast as before; only the ratings are worse."""
    for seed in range(3):
        world = World(ARMS, WELL, {600.0: (0, Weather(0.3))}, PER_SECOND)
        seen = world.run(policy(), 2_400, seed)
        before = seen.shares[(seen.at_s > 480) & (seen.at_s <= 600), 0].mean()
        fallen = np.flatnonzero((seen.at_s > 600) & (seen.shares[:, 0] < 0.5 * before))[0]
        own_calls = int((seen.arm[(seen.at_s > 600)][: fallen - 1_200] == 0).sum())
        assert before > 0.7 and own_calls <= 40
        assert seen.shares[seen.at_s > 900, 0].mean() < 0.2  # looked at now and then
