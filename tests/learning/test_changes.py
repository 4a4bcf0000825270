"""A change of quality is answered: the sums are cut, the old state kept, and given back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from learning.changes import Changes, Rated
from learning.regression import Fit, Priors, Sums, fit

PRIORS = Priors.flat(np.array([0.7, 0.7]), np.array([-1, -1]), 2)


class World:
    """Arm 0 answers at a level that moves; every answer goes through the sums and the watch."""

    def __init__(self, seed: int = 0) -> None:
        self.sums, self.changes = Sums.of(2, 2), Changes(2, 2, 0.35, 12.0)
        self.rng = np.random.default_rng(seed)
        self.fit: Fit = fit(self.sums, 1.0, 10.0, PRIORS)
        self.step = 0

    def run(self, level: float, count: int) -> list[bool]:
        changed = []
        for _ in range(count):
            x = np.array([self.rng.standard_normal(), 1.0])
            y = level + 0.1 * float(self.rng.standard_normal())
            error = y - float(self.fit.theta[0] @ x)
            variance = 1.0 + float(x @ self.fit.covariance[0] @ x)
            spread = math.sqrt(self.fit.noise[0] * variance)
            self.sums.add(0, x, y, 1.0)
            self.step += 1
            rated = Rated(x, y, 1.0, error, spread, float(self.step))
            changed.append(self.changes.observe(0, rated, self.sums, self.fit, 1.0))
            self.fit = fit(self.sums, 1.0, 10.0, PRIORS)
        return changed


def test_a_drop_is_seen_believed_and_undone_when_the_old_state_fits_again() -> None:
    world = World()
    assert not any(world.run(0.9, 200))
    assert any(world.run(0.6, 12))
    assert world.changes.alarms[0] == 1 and 0 in world.changes.kept
    world.run(0.6, 40)
    assert world.fit.theta[0, -1] == pytest.approx(0.6, abs=0.06)
    assert world.changes.kept[0].chance() < 0.2
    world.run(0.9, 20)
    assert 0 not in world.changes.kept
    assert world.fit.theta[0, -1] == pytest.approx(0.9, abs=0.03)
    assert world.sums.count[0] > 150


def test_a_rating_of_before_the_change_counts_as_the_cut_sums_do() -> None:
    world = World()
    world.run(0.9, 200)
    world.run(0.6, 12)
    assert world.changes.worth(0, 10.0) < 0.1
    assert world.changes.worth(0, float(world.step)) == 1.0
    assert world.changes.worth(1, 10.0) == 1.0


def test_few_answers_raise_no_alarm() -> None:
    world = World()
    world.run(0.9, 10)
    assert not any(world.run(0.2, 10))


def test_the_state_returns() -> None:
    world = World()
    world.run(0.9, 200)
    world.run(0.6, 20)
    other = Changes(2, 2, 0.35, 12.0)
    arrays = {k: v.copy() for k, v in world.changes.arrays().items()}
    features = np.arange(2)
    other.restore(arrays, {0: 0, 1: 1}, features, features)
    for name, array in other.arrays().items():
        assert np.array_equal(array, arrays[name]), name


def test_what_stays_away_is_looked_for_ever_less_and_still_found() -> None:
    world = World()
    world.run(0.9, 200)
    chances = []
    for _ in range(4):
        world.run(0.3, 600)
        chances.append(world.changes.kept[0].chance())
    assert chances[0] > 0.07 and chances == sorted(chances, reverse=True)
    assert chances[-1] < 0.03
    world.run(0.9, 20)
    assert 0 not in world.changes.kept
