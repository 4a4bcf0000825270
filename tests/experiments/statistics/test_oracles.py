"""Fixed-horizon numbers agree with statsmodels and tea-tasting, which were written by others."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import tea_tasting as tt
from scipy import stats
from statsmodels.stats import multitest
from statsmodels.stats.power import NormalIndPower, zt_ind_solve_power
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
    proportions_ztest,
)
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from experiments.statistics.fixed_horizon import (
    Covaried,
    Cuped,
    Effect,
    Successes,
    Sums,
    cuped,
    ratio,
    two_proportions,
    welch,
)
from experiments.statistics.moments import Interval, Moments
from experiments.statistics.multiplicity import benjamini_hochberg, holm
from experiments.statistics.power import Comparison, Sizes, detectable, power_of, sizes_for
from experiments.statistics.quantiles import QuantileSequence
from experiments.statistics.response_rate import wilson

SEEDS = range(5)
Frame = dict[str, np.ndarray]


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-12)


def effect(found: object) -> Effect:
    assert isinstance(found, Effect)
    return found


def units(seed: int) -> Frame:
    """Arms and units of unequal sizes, means far from 0, so that a slip of a term would be seen."""
    rng = np.random.default_rng(seed)
    arm = np.repeat([0, 1], [170 + seed, 230])
    level = rng.lognormal(0.0, 0.5, len(arm))
    sizes = 1.0 + rng.poisson(3.0 * level)
    cost = sizes * level * rng.lognormal(0.1 * arm, 0.3)
    return {"variant": arm, "sizes": sizes, "cost": cost, "level": 2.0 + level}


def arms(frame: Frame, *names: str) -> list[list[np.ndarray]]:
    return [[frame[name][frame["variant"] == arm] for name in names] for arm in (0, 1)]


def tea(frame: Frame, metric: object) -> object:
    experiment = tt.Experiment({"m": metric})  # type: ignore[dict-item]
    return experiment.analyze(pa.table(frame))["m"]


def agrees(found: Effect, told: object, relative: bool = False) -> None:
    """Estimate, interval and p-value; tea-tasting's relative interval is of the logarithm, so
    that only its estimate is the same.
    """
    assert found.control == near(told.control)  # type: ignore[attr-defined]
    assert found.treatment == near(told.treatment)  # type: ignore[attr-defined]
    assert found.difference.estimate == near(told.effect_size)  # type: ignore[attr-defined]
    assert found.difference.low == near(told.effect_size_ci_lower)  # type: ignore[attr-defined]
    assert found.difference.high == near(told.effect_size_ci_upper)  # type: ignore[attr-defined]
    assert found.p_value == near(told.pvalue)  # type: ignore[attr-defined]
    assert found.relative is not None
    assert found.relative.estimate == near(told.rel_effect_size)  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", SEEDS)
def test_means(seed: int) -> None:
    frame = units(seed)
    (one,), (two,) = arms(frame, "cost")
    found = effect(welch(Moments.of(one), Moments.of(two)))
    agrees(found, tea(frame, tt.Mean("cost", use_t=True, equal_var=False)))
    compared = CompareMeans(DescrStatsW(two), DescrStatsW(one))
    low, high = compared.tconfint_diff(usevar="unequal")
    assert (found.difference.low, found.difference.high) == (near(low), near(high))
    _, p_value, degrees = compared.ttest_ind(usevar="unequal")
    assert (found.p_value, found.degrees) == (near(p_value), near(degrees))


@pytest.mark.parametrize("seed", SEEDS)
def test_clustered_ratios(seed: int) -> None:
    frame = units(seed)
    (one, below), (two, under) = arms(frame, "cost", "sizes")
    found = effect(ratio(Sums(one, below), Sums(two, under)))
    agrees(found, tea(frame, tt.RatioOfMeans("cost", "sizes", use_t=True, equal_var=False)))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_covariate_taken_away(seed: int) -> None:
    """With one slope for both: tea-tasting's is pooled over all units, so it is given to ours."""
    frame = units(seed)
    pooled = np.cov(frame["cost"], frame["level"])
    slope = float(pooled[0, 1] / pooled[1, 1])
    control, treatment = (Covaried(*arm) for arm in arms(frame, "cost", "level"))
    found = cuped(control, treatment, theta=slope)
    assert isinstance(found, Cuped)
    told = tea(frame, tt.Mean("cost", covariate="level", use_t=True, equal_var=False))
    assert found.adjusted.difference.estimate == near(told.effect_size)  # type: ignore[attr-defined]
    assert found.adjusted.p_value == near(told.pvalue)  # type: ignore[attr-defined]
    assert found.adjusted.difference.low == near(told.effect_size_ci_lower)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("a", "n", "b", "m"), [(30, 200, 60, 210), (480, 500, 470, 500),
                                                (9, 90, 33, 120)])  # fmt: skip
def test_shares(a: int, n: int, b: int, m: int) -> None:
    found = effect(two_proportions(Successes(a, n), Successes(b, m)))
    assert found.p_value == near(proportions_ztest([b, a], [m, n])[1])
    low, high = confint_proportions_2indep(b, m, a, n, method="newcomb", compare="diff")
    assert (found.difference.low, found.difference.high) == (near(low), near(high))
    low, high = confint_proportions_2indep(b, m, a, n, method="log", compare="ratio")
    assert found.relative is not None
    assert (found.relative.low, found.relative.high) == (near(low - 1.0), near(high - 1.0))
    low, high = proportion_confint(a, n, method="wilson")
    told = wilson(a, n)
    assert (told.low, told.high) == (near(low), near(high))


@pytest.mark.parametrize("seed", [0, 1])
def test_many_hypotheses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p_values = np.round(rng.random(40) ** 3, 3)  # with ties
    for ours, method in ((holm, "holm"), (benjamini_hochberg, "fdr_bh")):
        told = multitest.multipletests(p_values, method=method)[1]
        np.testing.assert_allclose(ours(p_values), told, rtol=1e-12)


@pytest.mark.parametrize("share", [0.5, 0.2])
@pytest.mark.parametrize(("alpha", "power"), [(0.05, 0.8), (0.01, 0.9)])
def test_sizes_and_power(share: float, alpha: float, power: float) -> None:
    """One-sided at half of alpha: the formula leaves out that the wrong side is called."""
    asked, odds = Comparison(alpha, power, share), share / (1.0 - share)
    sized, gap = sizes_for(0.3, 1.7, asked), 0.3 / 1.7
    larger = {"alpha": alpha / 2.0, "power": power, "alternative": "larger"}
    assert sized.control == math.ceil(zt_ind_solve_power(gap, ratio=odds, **larger))
    uneven = sized.treatment / sized.control
    told = power_of(0.3, 1.7, sized, asked)
    assert isinstance(told, float)
    assert told == near(NormalIndPower().power(gap, sized.control, alpha, uneven))
    shown = detectable(1.7, Sizes(500, 800), asked)
    assert isinstance(shown, float)
    reached = NormalIndPower().power(shown / 1.7, 500, alpha / 2.0, 1.6, "larger")
    assert reached == near(power), "its solver stops at 1e-8, so its power is compared"


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_an_interval_of_a_mean(confidence: float) -> None:
    values = np.random.default_rng(3).gamma(2.0, 1.0, 77)
    found = Moments.of(values).interval(confidence)
    low, high = DescrStatsW(values).tconfint_mean(1.0 - confidence)
    assert isinstance(found, Interval) and (found.low, found.high) == (near(low), near(high))


def test_a_quantile_is_that_of_the_ranks() -> None:
    """The band of ranks that a sequence keeps holds the binomial interval of one look."""
    from_ranks = stats.quantile_test(np.arange(1.0, 1_001.0), p=0.95).confidence_interval(0.95)
    found = QuantileSequence(0.95).interval(np.arange(1.0, 1_001.0))
    assert isinstance(found, Interval) and found.estimate == 950.0
    assert found.low <= from_ranks.low and from_ranks.high <= found.high
