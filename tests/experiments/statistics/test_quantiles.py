"""Bands of order statistics hold the quantile at every look, ties and all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.moments import Interval
from experiments.statistics.quantiles import QuantileSequence
from tests.experiments.statistics.looks import allowed, ever

pytestmark = pytest.mark.slow

LIMIT = math.log(20.0)


@pytest.mark.parametrize("probability", [0.5, 0.95, 0.99])
def test_the_quantile_stays_in_its_band(probability: float) -> None:
    """2,000 seeded streams, 100 looks to 10,000 values: the true quantile is refuted in at most 5 %
    + 3 deviations; the binomial interval for one look fails on the same data in a quarter.
    """
    rng, count = np.random.default_rng(5), np.arange(100, 10_001, 100)
    below = rng.binomial(100, probability, (2_000, 100)).cumsum(1)
    told = QuantileSequence(probability).log_e(below, count)
    assert ever(told >= LIMIT) <= allowed(0.05, 2_000)
    low, high = stats.binom.ppf([[0.025], [0.975]], count, probability)
    assert ever((below < low) | (below > high)) > 0.25


@pytest.mark.parametrize("digits", [8, 0])
def test_the_band_of_a_sample_holds_the_quantile(digits: int) -> None:
    """200 seeded streams of lognormal latencies, 15 looks, once rounded to many ties: the 95th
    percentile leaves the bands in at most 5 % + 3 deviations.
    """
    rng, sequence, missed = np.random.default_rng(6), QuantileSequence(0.95), 0
    truth = float(np.round(stats.lognorm.ppf(0.95, 1.0), digits))
    for _ in range(200):
        values = np.round(rng.lognormal(0.0, 1.0, 1_500), digits)
        bands = [sequence.interval(values[:count]) for count in range(100, 1_501, 100)]
        assert all(isinstance(band, Interval) for band in bands)
        missed += any(not b.low <= truth <= b.high for b in bands if isinstance(b, Interval))
    assert missed / 200 <= allowed(0.05, 200)


@pytest.mark.parametrize(
    ("count", "low", "high"), [(100, 0.87, 0.99), (1_000, 0.927, 0.970), (10_000, 0.9421, 0.9574)]
)
def test_bands_have_the_known_ranks(count: int, low: float, high: float) -> None:
    least, most = QuantileSequence(0.95).kept(count)
    assert (least / count, most / count) == pytest.approx((low, high), abs=1.01 / count)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("count", [1, 2, 7, 60, 333])
def test_what_is_kept_is_what_brute_force_keeps(probability: float, count: int) -> None:
    sequence = QuantileSequence(probability)
    told = sequence.log_e(np.arange(count + 1), count)
    kept = np.flatnonzero(told < LIMIT)
    assert sequence.kept(count) == (kept[0], kept[-1])
    assert len(kept) == kept[-1] - kept[0] + 1, "no gap"
    assert told[sequence.least_told(count)] == pytest.approx(told.min())


@pytest.mark.parametrize("digits", [8, 0])
@pytest.mark.parametrize("probability", [0.3, 0.9])
def test_the_band_is_all_values_not_refuted(digits: int, probability: float) -> None:
    """Candidates are the values themselves: one is kept if any split of its ties is."""
    sequence = QuantileSequence(probability)
    values = np.round(np.random.default_rng(2).lognormal(0.0, 1.0, 150), digits)
    found = sequence.interval(values)
    assert isinstance(found, Interval)
    for x in np.unique(values):
        ranks = np.arange((values < x).sum(), (values <= x).sum() + 1)
        kept = bool((sequence.log_e(ranks, 150) < LIMIT).any())
        assert kept == (found.low <= x <= found.high)


def test_the_evidence_by_hand() -> None:
    """Median, concentration 2: a uniform prior; 3 of 4 below: B(4, 2) / (1 / 2)^4 = 16 / 20."""
    told = QuantileSequence(0.5, concentration=2.0).log_e(3, 4)
    assert math.exp(float(told)) == pytest.approx(16 / 20)


def _refuted_everywhere(sequence: QuantileSequence, one: np.ndarray, two: np.ndarray) -> float:
    """The least evidence over candidates at, between and beyond the values, by brute force."""
    points = np.unique(np.concatenate([one, two]))
    between = np.concatenate([[points[0] - 1], (points[1:] + points[:-1]) / 2, [points[-1] + 1]])
    best = math.inf
    for x in np.concatenate([points, between]):
        total = 0.0
        for arm in (one, two):
            ranks = np.arange((arm < x).sum(), (arm <= x).sum() + 1)
            total += float(sequence.log_e(ranks, len(arm)).min())
        best = min(best, total)
    return best


@pytest.mark.parametrize("seed", range(6))
def test_two_arms_are_compared_as_brute_force_does(seed: int) -> None:
    rng, sequence = np.random.default_rng(seed), QuantileSequence(0.8)
    one = np.round(rng.lognormal(0.0, 1.0, 40), 1)
    two = np.round(rng.lognormal(0.3 * seed, 1.0, 55), 1)
    told = sequence.evidence_of_difference(one, two).log_e
    assert told == pytest.approx(_refuted_everywhere(sequence, one, two))
    assert told == sequence.evidence_of_difference(two, one).log_e


def test_two_equal_arms_raise_no_alarm_and_a_slower_one_does() -> None:
    """300 seeded pairs, 20 looks to 1,000 values an arm: at most 5 % + 3 deviations; a 95th
    percentile 60 % higher is found in at least 90 % of 100.
    """
    rng, sequence, alarms, found = np.random.default_rng(9), QuantileSequence(0.95), 0, 0
    for path in range(300):
        one, two = rng.lognormal(0.0, 0.5, (2, 1_000))
        looks = [sequence.evidence_of_difference(one[:n], two[:n]) for n in range(50, 1_001, 50)]
        alarms += any(look.rejects(0.05) for look in looks)
        if path < 100:
            found += sequence.evidence_of_difference(one, 1.6 * two).rejects(0.05)
    assert alarms / 300 <= allowed(0.05, 300)
    assert found >= 90


def _one_sided(sequence: QuantileSequence, below: int, count: int, few: bool) -> float:
    """The mixture over the chances on one side of the probability, by numerical integration."""
    p, c = sequence.probability, sequence.concentration
    prior = stats.beta(c * p, c * (1.0 - p))
    low, high = (0.0, p) if few else (p, 1.0)

    def told(x: float) -> float:
        ratio = (x / p) ** below * ((1.0 - x) / (1.0 - p)) ** (count - below)
        return float(ratio * prior.pdf(x))

    mass = prior.cdf(high) - prior.cdf(low)
    return math.log(float(integrate.quad(told, low, high, limit=200)[0]) / mass)


@pytest.mark.parametrize("shift", [-0.5, 0.0, 1.0])
def test_an_excess_is_the_least_that_any_value_leaves(shift: float) -> None:
    """By brute force at, between and beyond the values, ties in favour of no excess."""
    rng, sequence = np.random.default_rng(4), QuantileSequence(0.8)
    one = np.round(rng.lognormal(shift, 1.0, 30), 1)
    two = np.round(rng.lognormal(0.0, 1.0, 25), 1)
    points = np.unique(np.concatenate([one, two]))
    between = np.concatenate([[points[0] - 1], (points[1:] + points[:-1]) / 2, [points[-1] + 1]])
    least = min(
        _one_sided(sequence, int((one <= x).sum()), 30, few=True)
        + _one_sided(sequence, int((two < x).sum()), 25, few=False)
        for x in np.concatenate([points, between])
    )
    assert sequence.evidence_of_excess(one, two).log_e == pytest.approx(least, abs=1e-6)


def test_an_excess_is_found_and_neither_equal_arms_nor_a_faster_one_are() -> None:
    """100 seeded pairs, 5 looks to 1,000 values an arm: equal and slightly faster ones alarm in
    at most 5 % + 3 deviations; a 95th percentile half as high again is found in 90 of 100; much
    data stays finite.
    """
    rng, sequence = np.random.default_rng(10), QuantileSequence(0.95)
    alarms, faster, found = 0, 0, 0
    for _ in range(100):
        one, two = rng.lognormal(0.0, 0.5, (2, 1_000))
        for factor in (1.0, 0.95):
            looks = [sequence.evidence_of_excess(factor * one[:n], two[:n])
                     for n in range(200, 1_001, 200)]  # fmt: skip
            alarm = any(look.rejects(0.05) for look in looks)
            alarms, faster = alarms + (alarm and factor == 1.0), faster + (alarm and factor < 1.0)
        found += sequence.evidence_of_excess(1.5 * one, two).rejects(0.05)
    assert max(alarms, faster) / 100 <= allowed(0.05, 100)
    assert found >= 90
    one, two = rng.lognormal(0.0, 0.5, (2, 100_000))
    assert math.isfinite(sequence.evidence_of_excess(one, two).log_e)
    assert sequence.evidence_of_excess(1.1 * one, two).rejects(0.05)
    assert sequence.evidence_of_excess([], []).log_e == 0.0


def test_the_difference_of_quantiles() -> None:
    rng, sequence = np.random.default_rng(3), QuantileSequence(0.9)
    one, two = rng.lognormal(0.7, 0.4, 5_000), rng.lognormal(0.0, 0.4, 4_000)
    found = sequence.difference(one, two)
    assert isinstance(found, Interval)
    truth = stats.lognorm.ppf(0.9, 0.4) * (math.exp(0.7) - 1.0)
    assert 0.0 < found.low < truth < found.high < 2.5
    half = QuantileSequence(0.9, 0.025)
    bands = half.interval(one), half.interval(two)
    assert isinstance(bands[0], Interval) and isinstance(bands[1], Interval)
    assert found.low == bands[0].low - bands[1].high


def test_few_values_cannot_say_or_bound_one_side() -> None:
    sequence = QuantileSequence(0.95)
    for count in (0, 1):
        assert isinstance(sequence.interval(np.arange(float(count))), CannotSay)
    found = sequence.interval(np.arange(30.0))
    assert isinstance(found, Interval) and found.high == math.inf and found.low > 0.0
    told = sequence.difference(np.arange(500.0), [1.0])
    assert isinstance(told, CannotSay) and str(told).startswith("control")
    told = sequence.difference([1.0], np.arange(500.0))
    assert isinstance(told, CannotSay) and str(told).startswith("treatment")
    assert sequence.evidence_of_difference([], []).log_e == 0.0


def test_bad_input_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"probability is 1\.0"):
        QuantileSequence(1.0)
    with pytest.raises(ExperimentError, match="concentration is 0"):
        QuantileSequence(0.9, concentration=0.0)
    with pytest.raises(ExperimentError, match="treatment holds NaN"):
        QuantileSequence(0.9).evidence_of_difference([math.nan], [1.0])
