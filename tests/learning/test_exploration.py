"""Probabilities are exact, sum to one, hold the floor, and equal the frequency of the draw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from learning import exploration
from learning.errors import InvalidInteraction

scores = arrays(np.float64, st.integers(1, 12), elements=st.floats(-50.0, 50.0))


@given(scores, st.floats(0.0, 1e6), st.floats(0.0, 0.2))
def test_inverse_gap_sums_to_one_and_holds_the_floor(
    values: np.ndarray, gamma: float, floor: float
) -> None:
    weights = exploration.with_floor(exploration.inverse_gap(values, gamma), floor)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert weights.min() >= min(floor, 1.0 / len(values)) - 1e-12
    assert weights[int(values.argmax())] >= weights.max() - 1e-12


def test_inverse_gap_is_the_papers_formula() -> None:
    weights = exploration.inverse_gap(np.array([0.5, 0.9, 0.8]), 10.0)
    assert weights[0] == pytest.approx(1 / (3 + 10 * 0.4))
    assert weights[2] == pytest.approx(1 / (3 + 10 * 0.1))


@given(scores, st.floats(0.0, 1.0))
def test_epsilon_greedy_sums_to_one(values: np.ndarray, epsilon: float) -> None:
    assert exploration.epsilon_greedy(values, epsilon).sum() == pytest.approx(1.0)


def test_the_draw_has_the_probabilities_frequency() -> None:
    """Chi-square at p < 1e-4: a false alarm once in ten thousand seeds; this seed is fixed."""
    weights = exploration.with_floor(exploration.inverse_gap(np.array([0.1, 0.6, 0.5]), 8), 0.02)
    rng = np.random.default_rng(3)
    counts = np.bincount([exploration.draw(weights, u) for u in rng.random(60_000)], minlength=3)
    assert stats.chisquare(counts, weights * 60_000).pvalue > 1e-4
    wrong = np.array([weights[1], weights[0], weights[2]])
    assert stats.chisquare(counts, wrong * 60_000).pvalue < 1e-4


def test_the_draw_is_inverse_by_running_sum() -> None:
    weights = np.array([0.25, 0.0, 0.75])
    assert [exploration.draw(weights, u) for u in (0.0, 0.2499, 0.25, 0.9999)] == [0, 0, 2, 2]
    with pytest.raises(InvalidInteraction):
        exploration.draw(weights, 1.0)
    with pytest.raises(InvalidInteraction):
        exploration.draw(np.zeros(3), 0.5)


def test_uniform() -> None:
    assert exploration.uniform(4).tolist() == [0.25] * 4


@given(
    arrays(float, 5, elements=st.floats(0.0, 1.0)), arrays(float, 5, elements=st.floats(0.01, 1.0))
)
def test_caps_hold_and_the_rest_keeps_its_proportions(
    weights: np.ndarray, caps: np.ndarray
) -> None:
    weights = (weights + 1e-3) / (weights + 1e-3).sum()
    found = exploration.with_caps(weights, caps)
    assert found.sum() == pytest.approx(1.0)
    if caps.sum() <= 1.0:
        assert found == pytest.approx(caps / caps.sum())
        return
    assert (found <= caps + 1e-9).all()
    free = found < caps - 1e-9
    if free.sum() > 1:
        ratio = found[free] / weights[free]
        assert ratio == pytest.approx(np.full(free.sum(), ratio[0]), rel=1e-3)


def test_what_a_cap_takes_goes_to_the_probable_not_to_the_hopeless() -> None:
    found = exploration.with_caps(np.array([[0.9, 0.0999, 0.0001]]), np.array([0.2, 1.0, 1.0]))
    assert found[0] == pytest.approx([0.2, 0.8, 0.0008], abs=1e-3)
    nobody = exploration.with_caps(np.array([1.0, 0.0, 0.0]), np.array([0.5, 1.0, 1.0]))
    assert nobody == pytest.approx([0.5, 0.25, 0.25])


@pytest.mark.parametrize("count", [2, 3, 8])
def test_chances_are_near_those_of_independent_posteriors(count: int) -> None:
    """Against quadrature: exact for two and for ties, otherwise near; rows as one."""
    rng = np.random.default_rng(count)
    for _ in range(50):
        utility, spread = 0.05 * rng.standard_normal(count), rng.uniform(0.01, 0.1, count)
        found, true = exploration.chances(utility, spread), exploration.thompson(utility, spread)
        assert np.abs(found - true).sum() / 2 < (0.02 if count == 2 else 0.35)
        rows = exploration.probability_matching(utility[None], spread[None])[0]
        assert found == pytest.approx(rows, abs=1e-12)
    alike = exploration.chances(np.zeros(count), np.full(count, 0.1))
    assert alike == pytest.approx(np.full(count, 1.0 / count))


SHARES = st.integers(2, 7).flatmap(
    lambda count: st.tuples(
        arrays(np.float64, count, elements=st.floats(0.0, 1.0)),
        arrays(np.float64, count, elements=st.floats(0.0, 1.0)),
        arrays(np.float64, count, elements=st.floats(0.01, 1.0)),
    )
)


@settings(derandomize=True, max_examples=100)
@given(SHARES)
def test_between_bounds_it_is_the_scaled_and_clipped_distribution(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    weights, least, greatest = drawn
    whole = weights.sum()
    shares = weights / whole if whole > 0.0 else np.full(len(weights), 1.0 / len(weights))
    least = np.minimum(least, greatest)
    found = exploration.between(shares, least, greatest)
    assert abs(found.sum() - 1.0) < 1e-9 and (found >= 0.0).all()
    if greatest.sum() < 1.0:  # no room: widened in proportion
        np.testing.assert_allclose(found, greatest / greatest.sum())
    elif least.sum() > 1.0:
        np.testing.assert_allclose(found, least / least.sum())
    else:
        assert (found >= least - 1e-9).all() and (found <= greatest + 1e-9).all()
        if ((shares >= least) & (shares <= greatest)).all():
            assert found is shares
        free = (found > least + 1e-7) & (found < greatest - 1e-7) & (shares > 1e-6)
        if free.sum() > 1:  # those that no bound holds keep their proportions
            ratio = found[free] / shares[free]
            np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)


def test_between_bounds_nothing_lies_nearer_in_relative_entropy() -> None:
    shares, least = np.array([0.7, 0.2, 0.1]), np.array([0.0, 0.0, 0.3])
    greatest = np.array([0.5, 1.0, 1.0])
    found = exploration.between(shares, least, greatest)
    rng = np.random.default_rng(4)
    others = rng.dirichlet(np.ones(3), 20_000)
    others = others[((others >= least) & (others <= greatest)).all(1)]
    apart = (others * np.log(others / shares)).sum(1)
    assert len(others) > 500 and (found * np.log(found / shares)).sum() <= apart.min() + 1e-9
