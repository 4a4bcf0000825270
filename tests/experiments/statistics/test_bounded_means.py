"""Exact sequences of means in [0, 1] hold at every single look, under policies that learn too."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.bounded_means import (
    Betting,
    WeightedSequence,
    betting_interval,
    log_mixture,
)
from experiments.statistics.moments import Interval
from tests.experiments.statistics.looks import allowed, bernoulli, collect, ever, naive_rejects

LIMIT = math.log(20.0)


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.98])
def test_bets_against_the_truth_do_not_pay(rate: float) -> None:
    """1,000 seeded streams looked at after each of 1,000 values: wealth reaches 1 / alpha in at
    most 5 % + 3 deviations of them; the z-test at 100 looks alarms in more than a quarter.
    """
    values = bernoulli(rate)(np.random.default_rng(7), (1_000, 1_000))
    assert ever(Betting.of(values).log_e(rate) >= LIMIT) <= allowed(0.05, 1_000)
    count = np.arange(10, 1_001, 10)
    mean = values.cumsum(1)[:, count - 1] / count
    spread = np.sqrt(np.maximum(mean * (1 - mean), 1e-12))
    assert ever(naive_rejects((mean - rate) / spread, count)) > 0.25


def test_a_mean_of_anything_bounded() -> None:
    """Skewed values, and values whose spread moves while their mean does not."""
    rng = np.random.default_rng(8)
    skewed = rng.beta(0.05, 0.45, (1_000, 800))
    moving = np.where(np.arange(800) % 200 < 100, rng.beta(50.0, 450.0, (1_000, 800)), skewed)
    for values in (skewed, moving):
        assert ever(Betting.of(values).log_e(0.1) >= LIMIT) <= allowed(0.05, 1_000)


def test_wealth_is_what_the_bets_give_one_by_one() -> None:
    values, alpha, mean = [0.2, 1.0, 0.6, 0.0] * 12, 0.1, 0.3  # the first stakes are cut
    total, squares, up, down = 0.0, 0.0, 1.0, 1.0
    for i, x in enumerate(values, start=1):
        variance = (0.25 + squares) / i
        stake = math.sqrt(2 * math.log(2 / alpha) / (variance * i * math.log(1 + i)))
        up *= 1 + min(stake, 0.5 / mean) * (x - mean)
        down *= 1 - min(stake, 0.5 / (1 - mean)) * (x - mean)
        total += x
        squares += (x - (0.5 + total) / (i + 1)) ** 2
    game = Betting.of(values, alpha)
    assert game.log_wealth_above(mean)[-1] == pytest.approx(math.log(up))
    assert game.log_wealth_below(mean)[-1] == pytest.approx(math.log(down))
    assert game.log_e(mean)[-1] == pytest.approx(math.log(max(up, down) / 2))


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.integers(1, 200), st.floats(0.02, 0.98), st.integers(0, 2**32 - 1))
def test_the_interval_is_all_means_not_refuted(count: int, rate: float, seed: int) -> None:
    """Against a grid of 401 candidates."""
    values = bernoulli(rate)(np.random.default_rng(seed), (count,))
    found, game = betting_interval(values), Betting.of(values)
    assert isinstance(found, Interval)
    for mean in np.linspace(0.0, 1.0, 401):
        kept = game.log_e(mean)[-1] < LIMIT
        inside = found.low <= mean <= found.high
        near = min(abs(mean - found.low), abs(mean - found.high)) < 1e-9
        assert kept == inside or near


def test_the_interval_narrows_and_a_moved_mean_is_told() -> None:
    values = bernoulli(0.8)(np.random.default_rng(1), (4_000,))
    found = betting_interval(values)
    assert isinstance(found, Interval) and found.high - found.low < 0.06
    assert found.low < 0.8 < found.high
    told = betting_interval(np.concatenate([np.ones(10), np.zeros(800)]))
    assert isinstance(told, CannotSay) and "it moved" in str(told)
    assert isinstance(betting_interval([]), CannotSay)
    with pytest.raises(ExperimentError, match=r"values must lie in \[0, 1\], not from 0\.5 to 2"):
        betting_interval([0.5, 2.0])


@pytest.mark.parametrize("kind", ["greedy", "thompson"])
@pytest.mark.parametrize("rates", [(0.95, 0.90), (0.5, 0.5)])
def test_weighted_rewards_cover_under_a_policy_that_learns(
    kind: str, rates: tuple[float, float]
) -> None:
    """500 seeded logs of 1,500 decisions, floor 2 %, looked at after each: the second arm's mean
    is refuted in at most 5 % + 3 deviations of them.
    """
    log = collect(kind, rates, 0.02, (500, 1_500), 4)
    weights = np.where(log.drawn == 1, 1.0 / log.propensities[..., 1], 0.0)
    refuted = np.zeros(log.drawn.shape, dtype=bool)
    time = np.arange(1, 1_501)
    for terms, mean in ((weights * log.rewards, rates[1]),
                        (weights * (1 - log.rewards), 1 - rates[1])):  # fmt: skip
        total = terms.cumsum(1)
        forecast = np.minimum((total - terms + 0.5) / time, 1.0)
        squares = ((terms - forecast) ** 2).cumsum(1)
        refuted |= log_mixture(total - time * mean, squares) > math.log(40.0)
    assert ever(refuted) <= allowed(0.05, 500)
    state, means = WeightedSequence(), []
    for path in range(100):
        state = WeightedSequence().add(weights[path], log.rewards[path])
        found = state.interval()
        assert isinstance(found, Interval)
        inside = found.low - 1e-9 <= rates[1] <= found.high + 1e-9
        assert inside == (not refuted[path, -1]), "the interval is what the evidence says"
        means.append(found.estimate)
    assert np.mean(means) == pytest.approx(rates[1], abs=0.06)  # 3 deviations: unbiased


def test_the_edges_carry_the_evidence_of_half_of_alpha() -> None:
    rng = np.random.default_rng(10)
    state = WeightedSequence().add(rng.exponential(1.0, 900), bernoulli(0.6)(rng, (900,)))
    found = state.interval(0.1)
    assert isinstance(found, Interval)
    for sums, mean in ((state.gained, found.low), (state.missed, 1.0 - found.high)):
        told = float(log_mixture(sums.total - 900 * mean, sums.squares))
        assert told == pytest.approx(math.log(20.0), abs=1e-6)


def test_a_state_takes_rows_in_any_batches() -> None:
    rng = np.random.default_rng(0)
    weights, rewards = rng.exponential(1.0, 90), rng.random(90)
    whole, parts = WeightedSequence().add(weights, rewards), WeightedSequence()
    for rows in np.split(np.arange(90), [1, 1, 30, 77]):
        parts = parts.add(weights[rows], rewards[rows])
    one, two = whole.interval(), parts.interval()
    assert isinstance(one, Interval) and isinstance(two, Interval)
    assert (one.low, one.high) == pytest.approx((two.low, two.high), abs=1e-12)


def test_weights_of_one_narrow_on_the_mean() -> None:
    rewards = bernoulli(0.9)(np.random.default_rng(2), (20_000,))
    found = WeightedSequence().add(np.ones(20_000), rewards).interval()
    assert isinstance(found, Interval) and found.low < 0.9 < found.high
    assert found.high - found.low < 0.03


@pytest.mark.parametrize(("gain", "variance"), [(3.0, 2.0), (0.5, 7.0), (40.0, 11.0)])
def test_the_mixture_is_the_integral(gain: float, variance: float) -> None:
    """Over stakes in [0, 1): exp(stake gain - psi variance), psi = -log(1 - stake) - stake, mixed
    by the gamma density of 1 - stake cut to (0, 1], here by quadrature.
    """

    def density(u: float) -> float:
        return u ** (1.0 - 1.0) * math.exp(-u)

    def wealth(u: float) -> float:
        return math.exp((1 - u) * gain + (math.log(u) + (1 - u)) * variance) * density(u)

    norm = integrate.quad(density, 0.0, 1.0)[0]
    expected = integrate.quad(wealth, 0.0, 1.0, epsabs=0.0, epsrel=1e-10)[0] / norm
    assert float(log_mixture(gain, variance)) == pytest.approx(math.log(expected), rel=1e-8)


def test_forecasts_are_clipped() -> None:
    """A heavy first weight would make the forecast exceed 1, which the proof does not allow."""
    state = WeightedSequence().add([50.0, 0.0], [1.0, 0.0])
    assert state.gained.squares == pytest.approx((50.0 - 0.5) ** 2 + 1.0)


def test_wrong_propensities_and_bad_input() -> None:
    told = WeightedSequence().add(np.full(500, 3.0), np.full(500, 0.5)).interval()
    assert isinstance(told, CannotSay) and "propensities" in str(told)
    assert isinstance(WeightedSequence().interval(), CannotSay)
    with pytest.raises(ExperimentError, match="weights reach -1"):
        WeightedSequence().add([-1.0], [0.5])
    with pytest.raises(ExperimentError, match="lengths differ"):
        WeightedSequence().add([1.0, 1.0], [0.5])
    with pytest.raises(ExperimentError, match="rewards must lie in"):
        WeightedSequence().add([1.0], [1.5])
