"""A rate that is held is seldom called broken; one that rose is found soon, after a good time too.

False alarms: the bound at 5 %, the test of the last values once in a thousand values on average.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.errors import ExperimentError
from experiments.statistics.held_rate import held_rate, risen


def test_it_is_not_held_before_the_bound_says_so() -> None:
    assert not held_rate([], 0.1).held and not held_rate([0.0] * 5, 0.1).held
    found = held_rate([0.0] * 200, 0.1)
    assert found.held and found.interval.low == 0.0 and found.interval.high < 0.1
    assert found.broken == "" and found.events == 0 and found.count == 200


def test_a_rate_above_what_is_allowed_is_hardly_ever_held() -> None:
    rng = np.random.default_rng(5)
    wrong = sum(held_rate(rng.random(400) < 0.11, 0.1).held for _ in range(200))
    assert wrong <= 10  # 5 % of 200


def test_a_good_rate_comes_to_be_held() -> None:
    rng = np.random.default_rng(6)
    assert sum(held_rate(rng.random(600) < 0.04, 0.1).held for _ in range(50)) >= 45


def test_a_rise_after_a_long_good_time_is_found_by_the_last_values() -> None:
    rng = np.random.default_rng(7)
    delays = []
    for _ in range(40):
        x = np.concatenate([rng.random(1_500) < 0.03, rng.random(200) < 0.4])
        over = np.flatnonzero(risen(x, 0.1) >= math.log(1_000.0))
        delays.append(int(over[0]) - 1_500 if len(over) else 200)
    assert np.median(delays) < 40 and min(delays) >= 0
    found = held_rate(x, 0.1)
    assert found.rose and not found.held and "rose" in found.broken


def test_false_alarms_are_a_thousand_values_apart() -> None:
    rng = np.random.default_rng(8)
    alarms = sum(bool((risen(rng.random(500) < 0.1, 0.1) >= math.log(1_000.0)).any())
                 for _ in range(200))  # fmt: skip
    assert alarms / (200 * 500) < 1.0 / 1_000.0


def test_evidence_is_the_sum_over_starts() -> None:
    x, allowed, rate = np.array([1.0, 0.0, 1.0]), 0.1, 0.15
    ratio = np.where(x > 0.5, rate / allowed, (1 - rate) / (1 - allowed))
    by_hand = [sum(float(np.prod(ratio[s : t + 1])) for s in range(t + 1)) for t in range(3)]
    others = []
    for each in (0.2, 0.3, 0.5):
        r = np.where(x > 0.5, each / allowed, (1 - each) / (1 - allowed))
        others.append([sum(float(np.prod(r[s : t + 1])) for s in range(t + 1)) for t in range(3)])
    wanted = np.log(np.mean([by_hand, *others], axis=0))
    assert risen(x, allowed) == pytest.approx(wanted)


@pytest.mark.parametrize("allowed", [0.0, 1.0, -1.0])
def test_what_cannot_be_allowed_is_refused(allowed: float) -> None:
    with pytest.raises(ExperimentError, match="allowed"):
        held_rate([0.0], allowed)
