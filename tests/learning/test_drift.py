"""The detector sees a shift within the promised observations and is silent without one."""

from __future__ import annotations

import numpy as np

from learning.drift import DOWN, UP, Cusum


def _until_alarm(shift: float, seed: int, most: int = 50_000) -> tuple[int, int | None]:
    cusum, rng = Cusum.of(2, 0.35, 12.0), np.random.default_rng(seed)
    for count in range(1, most + 1):
        side = cusum.push(1, float(rng.standard_normal() + shift))
        if side is not None:
            return count, side
    return most, None


def test_a_shift_of_a_deviation_is_seen_within_forty() -> None:
    for seed in range(20):
        count, side = _until_alarm(-1.0, seed, 200)
        assert side == DOWN and count <= 40
        assert _until_alarm(1.0, seed, 200)[1] == UP


def test_without_a_shift_it_is_silent() -> None:
    """Ten streams of 5,000; the mean run to a false alarm is about 60,000 (Siegmund 1985)."""
    assert sum(_until_alarm(0.0, seed, 5_000)[1] is not None for seed in range(10)) <= 2


def test_the_run_says_when_it_began() -> None:
    cusum = Cusum.of(1, 0.35, 12.0)
    for _ in range(30):
        cusum.push(0, 0.0)
    count = 0
    while cusum.push(0, -2.0) is None:
        count += 1
    assert cusum.run[0][DOWN] == count + 1
    cusum.rest(0)
    assert cusum.level == [[0.0, 0.0]] and cusum.run == [[0, 0]]


def test_a_single_wild_value_is_not_a_change() -> None:
    assert Cusum.of(1, 0.35, 12.0).push(0, 1e9) is None
