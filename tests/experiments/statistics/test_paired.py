"""Paired differences: against SciPy, at the bounds, and how often their intervals miss."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.moments import Moments
from experiments.statistics.paired import (
    Foretold,
    Paired,
    bounded_mean,
    foretold,
    pair_difference,
    paired,
    pairs_for,
    sd_of_difference,
    smallest_shown,
)
from experiments.statistics.power import Comparison, Sizes, detectable


def test_the_plain_one_is_students() -> None:
    values = np.random.default_rng(1).normal(0.3, 1.0, 40)
    found = paired(values, 0.05)
    assert isinstance(found, Paired)
    want = stats.ttest_1samp(values, 0.0)
    low, high = want.confidence_interval(0.95)
    assert found.p_value == pytest.approx(want.pvalue)
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high))


def test_scores_that_never_differ_have_an_interval_all_the_same() -> None:
    found = paired(np.zeros(20), 0.05, span=1.0)
    assert isinstance(found, Paired)
    assert found.difference.estimate == 0.0 and found.p_value == 1.0
    assert found.difference.low < -0.05 and found.difference.high > 0.05
    always = paired(np.ones(20), 0.05, span=1.0)
    assert isinstance(always, Paired)
    assert 0.5 < always.difference.low < 1.0 and always.difference.high == 1.0


def test_thin_and_wrong_data_are_refused() -> None:
    assert isinstance(paired([0.1], 0.05), CannotSay)
    assert isinstance(bounded_mean([1.0], 0.05), CannotSay)
    assert isinstance(smallest_shown(0.5, 1, Comparison()), CannotSay)
    with pytest.raises(ExperimentError, match="must lie in"):
        paired([0.0, 2.0], 0.05, span=1.0)
    with pytest.raises(ExperimentError, match="correlation"):
        sd_of_difference(0.5, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 6])
@pytest.mark.parametrize("shares", [(0.9, 0.9), (0.95, 0.6), (0.5, 0.5), (0.8, 0.3)])
def test_intervals_of_right_and_wrong_miss_no_more_often_than_they_say(
    shares: tuple[float, float], alpha: float
) -> None:
    """1,000 benchmarks of 24 prompts; the bound is three standard errors above the level."""
    rng, runs = np.random.default_rng(5), 1_000
    first, second = (rng.random((runs, 24)) < share for share in shares)
    missed = 0
    for row in first.astype(float) - second:
        found = paired(row, alpha, span=1.0)
        assert isinstance(found, Paired)
        gap = found.difference
        missed += not gap.low <= shares[0] - shares[1] <= gap.high
    assert missed / runs <= alpha + 3.0 * np.sqrt(alpha * (1.0 - alpha) / runs)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.97])
def test_a_means_interval_covers_and_stays_within_its_bounds(share: float) -> None:
    rng, runs = np.random.default_rng(6), 1_000
    covered = 0
    for row in (rng.random((runs, 25)) < share).astype(float):
        found = bounded_mean(row)
        assert not isinstance(found, CannotSay)
        assert 0.0 <= found.low <= found.estimate <= found.high <= 1.0
        covered += found.low <= share <= found.high
    assert covered / runs >= 0.95 - 3.0 * np.sqrt(0.05 * 0.95 / runs)


def test_a_covariate_helps_where_it_foretells_and_more_units_are_known() -> None:
    rng = np.random.default_rng(7)
    hard = rng.random(1_000)
    gaps = 0.2 + 0.8 * hard + rng.normal(0.0, 0.05, 1_000)
    true, missed, helped = float(gaps.mean()), 0, 0
    for _ in range(300):
        rows = rng.choice(1_000, 40, replace=False)
        found = foretold(gaps[rows], hard[rows], Moments.of(hard))
        assert isinstance(found, Foretold)
        helped += found.best is found.adjusted
        missed += not found.adjusted.difference.low <= true <= found.adjusted.difference.high
        assert found.explained > 0.5
    assert helped == 300 and missed <= 300 * 0.05 + 3 * np.sqrt(300 * 0.05 * 0.95)


def test_a_covariate_gains_nothing_where_all_units_were_asked() -> None:
    rng = np.random.default_rng(8)
    hard = rng.random(50)
    gaps = hard + rng.normal(0.0, 0.1, 50)
    found = foretold(gaps, hard, Moments.of(hard))
    assert isinstance(found, Foretold)
    assert found.best is found.plain
    assert found.adjusted.difference.estimate == pytest.approx(float(gaps.mean()))
    with pytest.raises(ExperimentError, match="fewer than"):
        foretold(gaps, hard, Moments.of(hard[:10]))


def test_sizes_are_those_of_two_arms_where_scores_are_unrelated() -> None:
    asked = Comparison()
    alone = smallest_shown(sd_of_difference(0.5, 0.0), 100, asked)
    assert alone == pytest.approx(detectable(0.5, Sizes(100, 100), asked))
    needed = pairs_for(0.05, 0.5, asked)
    shown = smallest_shown(0.5, needed, asked)
    assert isinstance(shown, float) and shown <= 0.05 < smallest_shown(0.5, needed - 1, asked)


def test_units_that_lack_a_treatment_leave_the_pair() -> None:
    found = pair_difference([1.0, np.nan, 0.5], [0.0, 1.0, 0.25])
    assert found.tolist() == [1.0, 0.25]
