"""Length and style are taken off where they work, and nothing where they do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from experiments.errors import CannotSay
from experiments.statistics.length_control import (
    ControlledPreference,
    ControlledScores,
    controlled_preference,
    controlled_scores,
)


def pairs(seed: int, n: int, slope: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The second is longer by 80 on average, and not better."""
    chance = np.random.default_rng(seed)
    longer, style = chance.normal(80.0, 60.0, n), chance.normal(0.0, 2.0, n)
    scaled = np.tanh(longer / np.sqrt((longer**2).mean()))
    liked = chance.random(n) < special.expit(slope * scaled)
    return liked.astype(float), longer, style


def test_a_preference_that_is_length_alone_goes_to_a_half() -> None:
    found = controlled_preference(*pairs(3, 2_000, 2.0))
    assert isinstance(found, ControlledPreference)
    assert found.raw.low > 0.7, "it looks a good deal better"
    assert found.controlled.low < 0.5 < found.controlled.high
    assert found.length.low > 1.0 and found.style.low < 0.0 < found.style.high
    assert found.explained > 0.05


def test_a_preference_without_length_stays_as_it_is() -> None:
    chance = np.random.default_rng(5)
    liked = (chance.random(2_000) < 0.7).astype(float)
    found = controlled_preference(liked, chance.normal(0, 9, 2_000), chance.normal(0, 2, 2_000))
    assert isinstance(found, ControlledPreference)
    assert found.controlled.estimate == pytest.approx(found.raw.estimate, abs=0.01)
    assert found.explained < 0.005


def test_the_controlled_share_is_covered() -> None:
    """Of 200 seeded samples at least 90 % hold the true half."""
    held = 0
    for seed in range(200):
        found = controlled_preference(*pairs(seed, 400, 1.0))
        assert isinstance(found, ControlledPreference)
        held += found.controlled.low <= 0.5 <= found.controlled.high
    assert held / 200 >= 0.90


def test_scores_at_equal_length() -> None:
    """Arm 1 is longer by a deviation and no better; its scores rise by 0.1 a deviation."""
    chance = np.random.default_rng(7)
    arm = np.repeat([0, 1], 600)
    length = chance.normal(200, 40, 1_200) + 60 * arm
    score = 0.5 + 0.0025 * (length - 200) + chance.normal(0, 0.05, 1_200)
    found = controlled_scores(score, list(arm), length, np.zeros(1_200))
    assert isinstance(found, ControlledScores)
    raw = found.raw[1].estimate - found.raw[0].estimate
    left = found.controlled[1].estimate - found.controlled[0].estimate
    assert raw > 0.13 and abs(left) < 0.03, "the bounded covariate takes off nearly all of it"
    assert found.explained > 0.6 and found.style.estimate == pytest.approx(0.0)


def test_too_little_is_said() -> None:
    assert isinstance(controlled_preference([1.0] * 5, [1.0] * 5, [0.0] * 5), CannotSay)
    assert isinstance(controlled_preference([1.0] * 50, [1.0] * 50, [0.0] * 50), CannotSay)
    assert isinstance(
        controlled_scores([1.0] * 12, [0] * 9 + [1] * 3, [1.0] * 12, [0.0] * 12), CannotSay
    )
