"""Ranks over units drawn again."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.rank_stability import Stability, rank_stability


def ranked(values: object, **more: object) -> Stability:
    found = rank_stability(values, 3, **more)  # type: ignore[arg-type]
    assert isinstance(found, Stability)
    return found


def test_a_clear_order_holds_and_is_the_same_for_a_seed() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(60, 3)) * 0.1 + np.array([0.2, 0.9, 0.5])
    found = ranked(values)
    assert found.order == (1, 2, 0) and found.held == 1.0 and found.first == (0.0, 1.0, 0.0)
    assert found == ranked(values)


def test_equals_share_the_first_place() -> None:
    values = np.repeat(np.random.default_rng(2).random((30, 1)), 2, axis=1)
    found = ranked(values)
    assert found.first == (0.5, 0.5) and found.held == 0.0


def test_a_coin_flip_is_told_as_one() -> None:
    """Of two alike: over 200 tables the order of the means holds in 75 % of resamples on average,
    for it was chosen by these very units.
    """
    rng = np.random.default_rng(3)
    held = [ranked(rng.random((40, 2)), resamples=200).held for _ in range(200)]
    assert 0.65 < float(np.mean(held)) < 0.85


def test_strata_keep_the_mix() -> None:
    values = np.array([[1.0, 0.0]] * 5 + [[0.0, 0.9]] * 5)
    assert ranked(values, strata=["a"] * 5 + ["b"] * 5).held == 1.0
    assert ranked(values).held < 1.0


def test_what_lacks_is_left_out_and_too_little_cannot_be_said() -> None:
    values = np.array([[1.0, 0.0], [np.nan, 0.2], [0.8, np.nan], [0.9, 0.1]])
    assert ranked(values).order == (0, 1)
    assert isinstance(rank_stability(values[:1], 1), CannotSay)
    assert isinstance(rank_stability(np.array([[1.0, np.nan]] * 3), 1), CannotSay)
    with pytest.raises(ExperimentError, match="dimensions"):
        rank_stability([1.0, 2.0], 1)
