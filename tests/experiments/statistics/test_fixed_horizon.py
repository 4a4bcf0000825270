"""Two arms compared once: as scipy and as regression do it, and at its level when simulated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats.contingency import relative_risk

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.fixed_horizon import (
    Covaried,
    Cuped,
    Effect,
    Successes,
    Sums,
    Winsorised,
    cuped,
    ratio,
    two_proportions,
    welch,
    winsorised_ratio,
)
from experiments.statistics.moments import Interval, Moments

NEAR = 1e-9


def effect(found: object) -> Effect:
    assert isinstance(found, Effect)
    return found


def bounds(interval: Interval | None) -> tuple[float, float]:
    assert interval is not None
    return interval.low, interval.high


def covers(interval: Interval | None, truth: float) -> bool:
    low, high = bounds(interval)
    return low <= truth <= high


@settings(derandomize=True)
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(2, 40), st.floats(0.01, 0.3))
def test_welch_is_scipys(seed: int, n: int, m: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.normal(3.0, 1.0, n), rng.normal(3.2, 2.5, m)
    found = effect(welch(Moments.of(one), Moments.of(two), alpha))
    told = stats.ttest_ind(two, one, equal_var=False)
    assert found.p_value == pytest.approx(told.pvalue, abs=NEAR)
    assert found.degrees == pytest.approx(told.df, rel=NEAR)
    expected = told.confidence_interval(1.0 - alpha)
    assert bounds(found.difference) == pytest.approx((expected.low, expected.high), abs=1e-8)
    assert found.units == (n, m)


def test_the_relative_gain_by_hand_and_not_where_the_control_may_be_0() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(4.0, 1.0, 500), rng.normal(5.0, 2.0, 400)
    found = effect(welch(Moments.of(one), Moments.of(two)))
    gain = two.mean() / one.mean() - 1.0
    square = two.var(ddof=1) / 400 / one.mean() ** 2
    square += two.mean() ** 2 * one.var(ddof=1) / 500 / one.mean() ** 4
    reach = stats.t.ppf(0.975, found.degrees) * math.sqrt(square)
    assert found.relative is not None and found.relative.estimate == pytest.approx(gain)
    assert bounds(found.relative) == pytest.approx((gain - reach, gain + reach))
    centred = Moments.of(one - one.mean() + 0.001)
    assert effect(welch(centred, Moments.of(two))).relative is None


def test_cuped_is_the_analysis_of_covariance() -> None:
    """Its difference and theta are those of regressing Y on the arm and X (Frisch and Waugh)."""
    rng = np.random.default_rng(1)
    x = [rng.normal(2.0, 1.5, size) for size in (80, 60)]
    y = [1.0 + 0.7 * each + rng.standard_normal(len(each)) + 0.4 * at for at, each in enumerate(x)]
    found = cuped(Covaried(y[0], x[0]), Covaried(y[1], x[1]))
    assert isinstance(found, Cuped)
    arm = np.repeat([0.0, 1.0], [80, 60])
    rows = np.column_stack([np.ones(140), arm, np.concatenate(x)])
    fitted = np.linalg.lstsq(rows, np.concatenate(y), rcond=None)[0]
    assert found.adjusted.difference.estimate == pytest.approx(fitted[1], abs=NEAR)
    assert found.theta == pytest.approx(fitted[2], abs=NEAR)
    errors = [
        (b.var(ddof=1) + found.theta**2 * a.var(ddof=1) - 2 * found.theta * np.cov(a, b)[0, 1])
        / len(a)
        for a, b in zip(x, y, strict=True)
    ]
    assert found.adjusted.standard_error == pytest.approx(math.sqrt(sum(errors)), abs=NEAR)
    kept = sum(errors) / found.plain.standard_error**2
    assert found.explained == pytest.approx(1.0 - kept, abs=NEAR)
    assert 0.3 < found.explained < 0.7
    centre = np.concatenate(x).mean()
    levels = [b.mean() - found.theta * (a.mean() - centre) for a, b in zip(x, y, strict=True)]
    assert (found.adjusted.control, found.adjusted.treatment) == pytest.approx(levels)


def test_cuped_with_a_theta_from_before_and_with_a_covariate_that_says_nothing() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2, 50)), rng.standard_normal((2, 50))
    fixed = cuped(Covaried(y[0], x[0]), Covaried(y[1], x[1]), theta=0.5)
    assert isinstance(fixed, Cuped) and fixed.theta == 0.5
    by_hand = welch(Moments.of(y[0] - 0.5 * x[0]), Moments.of(y[1] - 0.5 * x[1]))
    assert bounds(fixed.adjusted.difference) == pytest.approx(bounds(effect(by_hand).difference))
    none = cuped(Covaried(y[0], np.ones(50)), Covaried(y[1], np.ones(50)))
    assert isinstance(none, Cuped) and none.theta == 0.0 and none.explained == 0.0
    assert none.adjusted == none.plain


def test_cuped_keeps_its_level_and_halves_the_error() -> None:
    """1,000 seeded experiments at a correlation of 0.87: 95 +- 2.1 % (3 sigma) covered, and an
    error half as large as the plain one's.
    """
    rng, covered, halves = np.random.default_rng(3), 0, []
    for _ in range(1_000):
        x = rng.standard_normal((2, 60))
        y = math.sqrt(0.75) * x + 0.5 * rng.standard_normal((2, 60))
        found = cuped(Covaried(y[0], x[0]), Covaried(y[1] + 0.2, x[1]))
        assert isinstance(found, Cuped)
        covered += covers(found.adjusted.difference, 0.2)
        halves.append(found.adjusted.standard_error / found.plain.standard_error)
    assert abs(covered / 1_000 - 0.95) < 0.021
    assert np.mean(halves) == pytest.approx(0.5, abs=0.02)


def test_a_ratio_by_hand() -> None:
    one = Sums(np.array([2.0, 5.0, 4.0, 9.0]), np.array([1.0, 3.0, 2.0, 4.0]))
    two = Sums(np.array([3.0, 4.0, 8.0]), np.array([2.0, 2.0, 3.0]))
    found = effect(ratio(one, two))
    squares = []
    for arm in (one, two):
        n, d = arm.numerator, arm.denominator
        r, cov = n.mean() / d.mean(), np.cov(n, d)
        top = cov[0, 0] - 2 * r * cov[0, 1] + r**2 * cov[1, 1]
        squares.append(top / (len(n) * d.mean() ** 2))
    assert (found.control, found.treatment) == pytest.approx((20 / 10, 15 / 7))
    assert found.standard_error == pytest.approx(math.sqrt(sum(squares)), abs=NEAR)
    assert found.units == (4, 3)


def test_a_ratio_over_ones_is_welch() -> None:
    rng = np.random.default_rng(4)
    one, two = rng.exponential(1.0, 30), rng.exponential(1.5, 40)
    found = effect(ratio(Sums(one, np.ones(30)), Sums(two, np.ones(40))))
    plain = effect(welch(Moments.of(one), Moments.of(two)))
    assert found.p_value == pytest.approx(plain.p_value, abs=NEAR)
    assert bounds(found.relative) == pytest.approx(bounds(plain.relative))


def test_rows_add_up_by_unit_in_any_order() -> None:
    units = np.array(["b", "a", "b", "c", "a", "b"])
    values, per = np.arange(6.0), np.ones(6)
    found = Sums.by_unit(units, values, per)
    assert found.numerator.tolist() == [5.0, 7.0, 3.0]
    assert found.denominator.tolist() == [2.0, 3.0, 1.0]
    turned = Sums.by_unit(units[::-1], values[::-1], per[::-1])
    assert turned.numerator.tolist() == found.numerator.tolist()


def sessions(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Requests of sessions that differ: units [rows] and costs [rows]."""
    sizes = 1 + rng.poisson(4.0, count)
    level = np.exp(0.8 * rng.standard_normal(count))
    units = np.repeat(np.arange(count), sizes)
    return units, np.repeat(level, sizes) * rng.exponential(1.0, int(sizes.sum()))


def test_clustered_ratios_keep_their_level_where_a_test_of_requests_does_not() -> None:
    """1,000 seeded experiments of 400 sessions without effect: at most 5 + 2.1 % (3 sigma) below
    5 %; Welch's test over requests, which forgets the sessions, in more than 12 %.
    """
    rng, alarms, naive = np.random.default_rng(5), 0, 0
    for _ in range(1_000):
        (u, x), (v, y) = sessions(rng, 200), sessions(rng, 200)
        one, two = (Sums.by_unit(a, b, np.ones(len(b))) for a, b in ((u, x), (v, y)))
        alarms += effect(ratio(one, two)).p_value <= 0.05
        naive += effect(welch(Moments.of(x), Moments.of(y))).p_value <= 0.05
    assert alarms / 1_000 <= 0.05 + 0.021
    assert naive / 1_000 > 0.12


def test_a_ratio_whose_denominator_may_be_0_cannot_say() -> None:
    fine = Sums(np.ones(5), np.ones(5))
    rare = Sums(np.ones(50), np.concatenate([[1.0], np.zeros(49)]))
    for pair, name in (((rare, fine), "control"), ((fine, rare), "treatment")):
        found = ratio(*pair)
        assert isinstance(found, CannotSay) and f"of the {name} cannot be told" in str(found)
    nobody = ratio(fine, Sums(np.ones(1), np.ones(1)))
    assert isinstance(nobody, CannotSay) and "the treatment has 1" in str(nobody)


def test_winsorising_reports_both() -> None:
    rng = np.random.default_rng(6)
    one, two = (Sums(rng.lognormal(0.0, 1.0, 999), np.ones(999)) for _ in range(2))
    two.numerator[7] = 9_000.0
    found = winsorised_ratio(one, two, 0.99)
    assert isinstance(found, Winsorised)
    both = np.concatenate([one.numerator, two.numerator])
    assert found.cap == np.quantile(both, 0.99) and sum(found.cut) == (both > found.cap).sum()
    assert found.raw.difference.estimate > 5.0 and abs(found.capped.difference.estimate) < 0.3
    assert found.capped.standard_error < found.raw.standard_error / 50
    same = winsorised_ratio(one, one, 0.99)
    assert isinstance(same, Winsorised) and same.cut[0] == same.cut[1]
    with pytest.raises(ExperimentError, match="percentile is 99"):
        winsorised_ratio(one, two, 99.0)
    assert isinstance(winsorised_ratio(Sums(np.ones(1), np.ones(1)), two, 0.99), CannotSay)


@settings(derandomize=True, max_examples=200)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 90), st.integers(0, 90))
def test_two_proportions_are_scipys(n: int, m: int, a: int, b: int) -> None:
    a, b = min(a, n), min(b, m)
    found = effect(two_proportions(Successes(a, n), Successes(b, m)))
    table = np.array([[a, n - a], [b, m - b]])
    if min(a + b, n + m - a - b) * min(n, m) / (n + m) < 5:
        assert found.p_value == pytest.approx(stats.fisher_exact(table).pvalue, abs=NEAR)
    else:
        told = stats.chi2_contingency(table, correction=False).pvalue
        assert found.p_value == pytest.approx(told, abs=NEAR)
    assert -1.0 <= found.difference.low <= b / m - a / n <= found.difference.high <= 1.0
    if a and b:
        span = relative_risk(b, m, a, n).confidence_interval()
        expected = (span.low - 1.0, span.high - 1.0)
        assert bounds(found.relative) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    else:
        assert found.relative is None


def test_newcombes_own_example() -> None:
    """56 of 70 against 48 of 80, as the paper prints it: 0.0524 to 0.3339."""
    found = effect(two_proportions(Successes(48, 80), Successes(56, 70)))
    assert bounds(found.difference) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.slow
def test_proportions_keep_their_level() -> None:
    """4,000 seeded experiments of 40 and 60 units at 0.1: at most 5 + 1.1 % (3 sigma) below 5 %,
    and 95 - 1.1 % or more covered.
    """
    rng, alarms, covered = np.random.default_rng(7), 0, 0
    for a, b in zip(rng.binomial(40, 0.1, 4_000), rng.binomial(60, 0.1, 4_000), strict=True):
        found = effect(two_proportions(Successes(int(a), 40), Successes(int(b), 60)))
        alarms += found.p_value <= 0.05
        covered += covers(found.difference, 0.0)
    assert alarms / 4_000 <= 0.061
    assert covered / 4_000 >= 0.939


def test_thin_data_cannot_say() -> None:
    some = Moments.of(np.array([1.0, 2.0]))
    one = welch(Moments.of(np.array([1.0])), some)
    assert isinstance(one, CannotSay) and "one has 1" in str(one)
    flat = Moments.of(np.ones(9))
    still = welch(flat, flat)
    assert isinstance(still, CannotSay) and "do not vary" in str(still)
    single = Covaried(np.ones(1), np.ones(1))
    assert isinstance(cuped(single, single), CannotSay)
    line = Covaried(np.arange(9.0), np.arange(9.0))
    assert isinstance(cuped(line, line), CannotSay)  # nothing is left that varies
    none = two_proportions(Successes(0, 0), Successes(1, 2))
    assert isinstance(none, CannotSay) and "no units" in str(none)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Covaried(np.ones(2), np.ones(3)), r"outcome \(2,\), covariate \(3,\)"),
        (lambda: Covaried(np.ones(1), np.array([math.nan])), "covariate holds numbers"),
        (lambda: Sums(np.array([math.inf]), np.ones(1)), "numerator holds numbers"),
        (lambda: Sums(np.ones(1), -np.ones(1)), "denominator falls below 0"),
        (lambda: Sums.by_unit(np.array(["a"]), np.ones(2), np.ones(2)), "one number of each"),
        (lambda: Successes(3, 2), "count is 3 of 2"),
        (lambda: welch(Moments(), Moments(), 0.0), "alpha is 0.0"),
        (
            lambda: welch(Moments.of(np.array([1.0, math.nan])), Moments.of(np.arange(3.0))),
            "is not finite: drop",
        ),
        (lambda: two_proportions(Successes(1, 2), Successes(1, 2), 1.0), "alpha is 1.0"),
        (
            lambda: cuped(*[Covaried(np.arange(3.0), np.arange(3.0))] * 2, theta=math.nan),
            "theta is nan",
        ),
    ],
)
def test_bad_input_is_named(make, message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        make()
