"""Ratios fade by time, jump when the stream changes, and say on which side."""

from __future__ import annotations

import numpy as np
import pytest

from learning.drift import DOWN, UP
from learning.live import Alarm, WatchedRatio


def _side(alarm: Alarm | None) -> int | None:
    return alarm.side if alarm else None


def _latencies(values: list[float]) -> tuple[WatchedRatio, list[int | None]]:
    ratio = WatchedRatio.of(2, 0.5, 8.0)
    return ratio, [_side(ratio.positive(1, (value, 1.0), 1.0, 1.0)) for value in values]


def _around(level: float, count: int, seed: int) -> list[float]:
    rng = np.random.default_rng(seed)
    return (level * np.exp(0.3 * rng.standard_normal(count))).tolist()


def test_the_ratio_is_that_of_the_sums_with_the_prior_mixed_in() -> None:
    ratio, _ = _latencies([1.0, 3.0])
    assert ratio.ratio(1.0, np.array([2.0, 2.0]), 2.0) == pytest.approx([2.0, (4 + 4) / 4])
    ratio.scale(0.5)
    assert ratio.ratio(1.0, 2.0, 0.0001)[1] == pytest.approx(2.0, abs=1e-3)


@pytest.mark.parametrize(("factor", "side"), [(2.0, UP), (0.4, DOWN)])
def test_a_changed_latency_is_taken_up_within_fifteen_calls(factor: float, side: int) -> None:
    for seed in range(10):
        ratio, alarms = _latencies(_around(1.0, 100, seed))
        assert alarms == [None] * 100
        found = [ratio.positive(1, (v, 1.0), 1.0, 1.0) for v in _around(factor, 15, seed + 100)]
        alarm = next(each for each in found if each)
        assert alarm.side == side and alarm.before == pytest.approx(1.05, rel=0.15)
        assert ratio.ratio(1.0, 1.0, 1e-9)[1] == pytest.approx(factor, rel=0.4)


def test_a_burst_of_errors_is_taken_up_within_eight_calls() -> None:
    ratio = WatchedRatio.of(1, 0.35, 7.0)
    for _ in range(200):
        ratio.event(0, False, 1.0, 0.01)
    alarms = [_side(ratio.event(0, True, 1.0, 0.01)) for _ in range(8)]
    assert UP in alarms
    assert ratio.ratio(1.0, 0.01, 4.0)[0] > 0.3


def test_the_state_returns() -> None:
    ratio, _ = _latencies(_around(1.0, 40, 3))
    other = WatchedRatio.of(2, 0.5, 8.0)
    other.restore("x", {k: v.copy() for k, v in ratio.arrays("x").items()}, 0, 1)
    for name, array in other.arrays("x").items():
        assert (array[0] == ratio.arrays("x")[name][1]).all()
