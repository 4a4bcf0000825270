"""The fit: few rows stand for many, shared strength, calibration on what was not fitted to."""

from __future__ import annotations

import numpy as np
import pytest

from learning import quality_fit
from learning.quality import calibration_error
from learning.quality_fit import ISOTONIC_LEAST, Squares, calibration, fit
from tests.learning.worlds import World, joined


def test_squares_of_two_folds_add() -> None:
    world = World(1)
    one, two = world.rows(80), world.rows(90)
    together, added = Squares.of(joined(one, two)), Squares.of(one) + Squares.of(two)
    assert added.ridge(10.0) == pytest.approx(together.ridge(10.0), abs=1e-12)


def test_many_arms_are_solved_by_iteration_to_the_same_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    squares = Squares.of(World(2).rows(1_500))
    direct = squares.ridge(30.0)
    monkeypatch.setattr(quality_fit, "DIRECT", 10)
    assert np.abs(squares.ridge(30.0) - direct).max() < 1e-9


def test_an_arm_with_few_rows_leans_on_the_others() -> None:
    world = World(6, arms=5, bend=1.5)
    world._own[:] = world._own.mean(0)  # all alike
    rows = world.rows(3_000)
    few = rows.take(np.flatnonzero((rows.arm != 0) | (rows.order % 40 == 0)))
    fitted, x = fit(few), world.requests(500)
    arm = np.zeros(500, dtype=np.int64)
    off = fitted.predict(x, arm) - world.truth(x)[:, 0]
    assert off.var() < 0.25 * world.truth(x)[:, 0].var()  # its level is its own to learn


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_calibration_mends_a_world_that_bends(seed: int) -> None:
    world = World(seed, bend=5.0)
    fitted, new = fit(world.rows(8_000)), world.rows(8_000)
    raw = np.clip(fitted.scores(new.x, new.arm), 0.0, 1.0)
    calibrated = fitted.predict(new.x, new.arm)
    before, after = calibration_error(raw, new.quality), calibration_error(calibrated, new.quality)
    assert after < 0.5 * before and after < 0.03
    assert ((calibrated - new.quality) ** 2).mean() < ((raw - new.quality) ** 2).mean()


def test_few_rows_are_calibrated_by_a_line_and_many_by_steps() -> None:
    rng = np.random.default_rng(1)
    score = rng.random(ISOTONIC_LEAST)
    quality = np.clip(0.2 + 0.5 * score, 0.0, 1.0)
    at, to = calibration(score[:100], quality[:100], np.ones(100))
    assert len(at) == 2 and np.interp(0.5, at, to) == pytest.approx(0.45)
    at, to = calibration(score, quality, np.ones(len(score)))
    assert len(at) > 2 and (np.diff(to) >= 0.0).all()
    assert np.interp(0.5, at, to) == pytest.approx(0.45, abs=0.01)
    falling = calibration(score[:100], 1.0 - quality[:100], np.ones(100))
    assert falling[0][0] < falling[0][1]  # never turned around
