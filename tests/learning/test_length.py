"""Length is learned from all arms together, the level from each arm alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from learning.length import PRIOR_TOKENS, LengthModel


def _taught(count: int = 600, seed: int = 0) -> LengthModel:
    """Two arms of 100 and 400 tokens; a feature that makes answers e^0.5 times longer."""
    model, rng = LengthModel(3, 2), np.random.default_rng(seed)
    for step in range(count):
        at, slope = step % 2, float(rng.choice([-1.0, 1.0]))
        tokens = (100.0, 400.0)[at] * math.exp(0.5 * slope + 0.2 * rng.standard_normal())
        model.learn(at, np.array([slope, 1.0]), tokens, 1.0, 1.0)
    return model


def test_the_factor_and_the_levels_are_found() -> None:
    model = _taught()
    assert float(model.factor(np.array([1.0, 1.0]))) == pytest.approx(math.exp(0.5), rel=0.1)
    assert model.usual_tokens(1.0)[:2] == pytest.approx([100.0, 400.0], rel=0.15)


def test_an_arm_without_answers_is_taken_as_the_others_are() -> None:
    assert LengthModel(2, 2).usual_tokens(1.0) == pytest.approx([PRIOR_TOKENS] * 2)
    assert 100.0 < _taught().usual_tokens(1.0)[2] < 400.0


def test_an_absurd_feature_cannot_blow_the_length_up() -> None:
    assert float(_taught().factor(np.array([1e6, 1.0]))) == pytest.approx(math.exp(1.5))


def test_an_arm_that_starts_to_ramble_is_believed_soon() -> None:
    model, rng = _taught(), np.random.default_rng(9)
    for _ in range(40):
        model.learn(0, np.array([0.0, 1.0]), 1000.0 * math.exp(0.2 * rng.standard_normal()), 1, 1)
    assert model.usual_tokens(1.0)[0] == pytest.approx(1000.0, rel=0.3)
