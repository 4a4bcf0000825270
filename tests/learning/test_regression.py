"""The hierarchy: posterior, evidence and sums against what a direct computation says."""

from __future__ import annotations

import numpy as np
import pytest

from learning.regression import (
    GRID,
    Priors,
    Sums,
    add_outer,
    choose_shrinkage,
    fit,
    penalties,
)

QUALITY = np.array([0.6, 0.8, 0.7])
PRIORS = Priors.flat(QUALITY, np.array([-1, -1, -1]), 4)


def _sums(seed: int = 0, count: int = 60, spread: float = 0.2) -> tuple[Sums, np.ndarray]:
    rng = np.random.default_rng(seed)
    sums, truth = Sums.of(3, 4), spread * rng.standard_normal((3, 4))
    truth[:, -1] += 0.6
    for at in range(3):
        for _ in range(count):
            x = np.append(rng.standard_normal(3), 1.0)
            sums.add(at, x, float(truth[at] @ x + 0.1 * rng.standard_normal()), 1.0)
    return sums, truth


@pytest.mark.parametrize("size", [1, 4, 7, 33, 61, 64, 130])
def test_products_are_added_in_place_to_the_last_bit(size: int) -> None:
    """What was logged by another way of adding is replayed to the same state."""
    rng = np.random.default_rng(size)
    into, x, y = rng.standard_normal((3, size, size)), *rng.standard_normal((2, size))
    before = into.copy()
    add_outer(into[1], 0.37 * x, y)
    assert (into[1] == before[1] + (0.37 * x)[:, None] * y).all()
    assert (into[[0, 2]] == before[[0, 2]]).all()


def test_the_posterior_mean_is_that_of_the_joint_ridge() -> None:
    """theta_a = theta_0 + delta_a as one least-squares problem over all coefficients."""
    sums, _ = _sums(count=7)
    found = fit(sums, 1.0, 30.0, PRIORS)
    own, shared = penalties(4, 30.0)
    offset = np.zeros((3, 4))
    offset[:, -1] = QUALITY - QUALITY.mean()
    centre = np.array([0.0, 0.0, 0.0, QUALITY.mean()])
    big, right = np.zeros((16, 16)), np.zeros(16)  # theta_0, then each theta_a
    big[:4, :4] += np.diag(shared)
    right[:4] += shared * centre
    for at in range(3):
        rows = slice(4 + 4 * at, 8 + 4 * at)
        big[rows, rows] = sums.gram[at] + np.diag(own)
        big[rows, :4] = big[:4, rows] = -np.diag(own)
        big[:4, :4] += np.diag(own)
        right[rows] = sums.moment[at] + own * offset[at]
        right[:4] -= own * offset[at]
    assert found.theta == pytest.approx(np.linalg.solve(big, right)[4:].reshape(3, 4))


def test_a_running_update_is_the_fit_with_one_answer_more() -> None:
    sums, _ = _sums()
    before = fit(sums, 1.0, 30.0, PRIORS)
    x = np.array([0.3, -1.0, 0.5, 1.0])
    before.absorb(1, x, 0.9 - float(before.theta[1] @ x), 1.0)
    matrix = sums.gram[1] + np.outer(x, x) + np.diag(penalties(4, 30.0)[0])
    assert before.covariance[1] == pytest.approx(np.linalg.inv(matrix))
    own = penalties(4, 30.0)[0]
    right = sums.moment[1] + 0.9 * x + own * before.target[1]
    assert before.theta[1] == pytest.approx(np.linalg.solve(matrix, right))


def test_sums_of_two_replicas_are_those_of_one_that_saw_all() -> None:
    rng, whole, parts = np.random.default_rng(3), Sums.of(3, 4), [Sums.of(3, 4), Sums.of(3, 4)]
    for step in range(200):
        x, y = np.append(rng.standard_normal(3), 1.0), float(rng.random())
        for sums in (whole, parts[step % 2]):
            sums.add(step % 3, x, y, 1.0)
    both = fit(parts[0].merged(parts[1]), 1.0, 30.0, PRIORS)
    assert both.theta == pytest.approx(fit(whole, 1.0, 30.0, PRIORS).theta, abs=1e-12)


def test_arms_alike_are_shrunk_hard_and_arms_apart_are_not() -> None:
    alike, apart = _sums(3, count=300, spread=0.0)[0], _sums(3, count=300, spread=0.4)[0]
    assert choose_shrinkage(alike, 1.0, PRIORS) == GRID[-1]
    assert choose_shrinkage(apart, 1.0, PRIORS) == GRID[0]


def test_the_noise_is_found() -> None:
    sums, _ = _sums(4, count=500)
    assert fit(sums, 1.0, 10.0, PRIORS).noise == pytest.approx(np.full(3, 0.01), rel=0.2)


def test_an_arm_that_resembles_another_starts_as_that_one() -> None:
    sums, truth = _sums(5, count=200)
    sums.gram[2], sums.moment[2], sums.square[2], sums.count[2] = 0.0, 0.0, 0.0, 0.0
    alike = fit(sums, 1.0, 30.0, Priors.flat(QUALITY, np.array([-1, -1, 1]), 4))
    assert alike.theta[2] == pytest.approx(alike.theta[1])
    assert alike.theta[1] == pytest.approx(truth[1], abs=0.05)


def test_without_answers_the_priors_hold() -> None:
    found = fit(Sums.of(3, 4), 1.0, 100.0, PRIORS)
    assert found.theta[:, -1] == pytest.approx(QUALITY)
    assert not found.theta[:, :-1].any()
