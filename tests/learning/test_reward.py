"""One reward in [0, 1], made of parts at their exchange rates."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.errors import InvalidInteraction
from learning.reward import Reward, RewardScale, value

unit = st.floats(0.0, 1.0)
positive = st.floats(0.0, 1e6)


def test_value_is_quality_less_cost_and_waiting() -> None:
    scale = RewardScale(worth_usd=0.1, patience_s=20.0)
    assert value(Reward(quality=0.9, cost_usd=0.01, latency_s=2.0), scale) == pytest.approx(0.7)


def test_a_failure_is_worth_nothing_and_an_unrated_answer_nothing_yet() -> None:
    scale = RewardScale()
    assert value(Reward(failed=True), scale) == 0.0
    assert value(Reward(failed=False, cost_usd=0.1), scale) is None


@given(unit, positive, positive, st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_value_stays_in_the_unit_interval(
    quality: float, cost: float, latency: float, worth: float, patience: float
) -> None:
    found = value(
        Reward(quality=quality, cost_usd=cost, latency_s=latency), RewardScale(worth, patience)
    )
    assert found is not None and 0.0 <= found <= 1.0


def test_infinite_worth_switches_a_part_off() -> None:
    scale = RewardScale(math.inf, math.inf)
    assert value(Reward(quality=0.4, cost_usd=1e6, latency_s=1e6), scale) == pytest.approx(0.4)


def test_a_scale_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInteraction, match="above zero"):
        RewardScale(worth_usd=0.0)
