"""Sizes are those of the textbook, and simulations keep what the sizes promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.mean_sequences import tuned
from experiments.statistics.power import (
    Comparison,
    Sizes,
    Traffic,
    days,
    design_effect,
    detectable,
    power_of,
    relative_detectable,
    sequential_factor,
    sizes_for,
    sizes_for_proportions,
)

ONCE, ALL_ALONG = Comparison(), Comparison(sequential=True)
NOBODY = Sizes(0, 0)


@pytest.mark.parametrize(("better", "needed"), [(0.82, 6_039), (0.85, 906), (0.90, 199)])
def test_telling_80_per_cent_good_from_more(better: float, needed: int) -> None:
    assert sizes_for_proportions(0.8, better, ONCE) == Sizes(needed, needed)
    assert sizes_for_proportions(better, 0.8, ONCE) == Sizes(needed, needed)


def test_the_sizes_of_proportions_keep_their_power() -> None:
    """20,000 seeded experiments of 906 an arm: found in 80 +- 0.9 % (3 sigma)."""
    rng = np.random.default_rng(0)
    n = sizes_for_proportions(0.8, 0.85, ONCE).control
    one, two = rng.binomial(n, 0.8, 20_000) / n, rng.binomial(n, 0.85, 20_000) / n
    middle = (one + two) / 2.0
    z = (two - one) / np.sqrt(2.0 * middle * (1.0 - middle) / n)
    assert abs((np.abs(z) > 1.959964).mean() - 0.8) < 0.009


def test_sizes_of_means_by_hand() -> None:
    reach = 1.9599639845 + 0.8416212336
    assert sizes_for(0.5, 2.0, ONCE).control == math.ceil(2.0 * (reach * 2.0 / 0.5) ** 2)
    uneven = sizes_for(0.5, 2.0, Comparison(treatment_share=0.1))
    assert uneven.control == pytest.approx(9 * uneven.treatment, abs=9)
    assert uneven.total > sizes_for(0.5, 2.0, ONCE).total * 2.5


@settings(derandomize=True)
@given(
    st.floats(0.01, 5.0), st.floats(0.1, 9.0), st.floats(0.05, 0.95), st.floats(0.5, 0.99),
    st.booleans(),
)  # fmt: skip
def test_effect_size_and_power_go_round_in_a_circle(
    effect: float, sd: float, share: float, power: float, sequential: bool
) -> None:
    asked = Comparison(0.05, power, share, sequential)
    sizes = sizes_for(effect, sd, asked)
    shown = detectable(sd, sizes, asked)
    assert isinstance(shown, float) and shown <= effect * (1 + 1e-9)
    reached = power_of(effect, sd, sizes, asked)
    assert isinstance(reached, float) and reached >= power - 1e-9
    fewer = Sizes(sizes.control - 1, sizes.treatment - 1)
    if min(fewer.control, fewer.treatment) > 0:
        less = detectable(sd, fewer, asked)
        assert isinstance(less, float) and less > effect * (1 - 1e-9)


def test_a_relative_effect_is_found_as_often_as_asked() -> None:
    """The root solves its equation; and 10,000 seeded experiments find it in 80 +- 1.5 %."""
    sizes, sds = Sizes(400, 300), (2.0, 2.5)
    d = relative_detectable(1.5, sds, sizes, ONCE)
    assert isinstance(d, float)
    variance = 2.5**2 / (1.5**2 * 300) + (1 + d) ** 2 * 2.0**2 / (1.5**2 * 400)
    assert d == pytest.approx(ONCE.reach * math.sqrt(variance))
    rng = np.random.default_rng(1)
    control = 1.5 + 2.0 / 20.0 * rng.standard_normal(10_000)
    treatment = 1.5 * (1 + d) + 2.5 / math.sqrt(300) * rng.standard_normal(10_000)
    told = treatment / control
    error = np.sqrt(2.5**2 / 300 + told**2 * 2.0**2 / 400) / np.abs(control)
    assert ((told - 1) / error > 1.959964).mean() == pytest.approx(0.8, abs=0.08)
    small = relative_detectable(1.5, sds, Sizes(10**7, 10**7), ONCE)
    absolute = detectable(math.sqrt((2.0**2 + 2.5**2) / 2), Sizes(10**7, 10**7), ONCE)
    assert isinstance(small, float) and isinstance(absolute, float)
    assert small == pytest.approx(absolute / 1.5, rel=1e-3)


def _width(x: float, alpha: float) -> float:
    """Squared half-width at the planned size, times that size."""
    return 2.0 * (x + 1.0) / x * math.log(math.sqrt(x + 1.0) / alpha)


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05, 0.1])
def test_the_tuning_is_the_narrowest(alpha: float) -> None:
    best = optimize.minimize_scalar(
        _width, bounds=(0.1, 60.0), args=(alpha,), method="bounded", options={"xatol": 1e-9}
    )
    assert tuned(alpha) == pytest.approx(best.x, rel=1e-4)
    assert _width(tuned(alpha), alpha) == pytest.approx(tuned(alpha) + 1.0)


def test_looking_all_along_costs_1_55_in_width_and_2_4_in_units() -> None:
    assert tuned(0.05) == pytest.approx(8.212, abs=5e-4)
    assert sequential_factor(0.05) == pytest.approx(1.5486, abs=1e-4)
    once, along = sizes_for(0.1, 1.0, ONCE), sizes_for(0.1, 1.0, ALL_ALONG)
    assert along.control / once.control == pytest.approx(2.398, abs=0.01)
    assert sizes_for_proportions(0.8, 0.82, ALL_ALONG).control == pytest.approx(14_482, abs=3)


def test_a_sequential_size_keeps_its_power() -> None:
    """2,000 seeded paths at 40 looks up to the planned size: found in over 80 % by four
    fifths of it and in over 90 % by its end; without an effect in at most 5 + 1.5 % (3 sigma).
    """
    rng, alpha = np.random.default_rng(2), 0.05
    n = 2 * sizes_for(0.2, 1.0, ALL_ALONG).control
    looks = np.linspace(n / 40, n, 40).astype(int)
    steps = np.diff(looks, prepend=0)
    x = tuned(alpha) * looks / n
    half = np.sqrt(2.0 * (x + 1.0) / (looks * x) * np.log(np.sqrt(x + 1.0) / alpha))
    noise = np.cumsum(np.sqrt(steps) * rng.standard_normal((2_000, 40)), axis=1) / looks
    ever = (np.abs(noise + 0.1) > half).cumsum(axis=1) > 0  # a gap of 0.2 is 0.1 sd at 1/2 each
    assert ever[:, 31].mean() > 0.8 and ever[:, -1].mean() > 0.9
    assert (np.abs(noise) > half).any(axis=1).mean() <= 0.065


def test_power_is_the_normals() -> None:
    sizes = Sizes(50, 80)
    error = 2.0 * math.sqrt(1 / 50 + 1 / 80)
    expected = stats.norm.sf(1.959964 - 1.0 / error) + stats.norm.cdf(-1.959964 - 1.0 / error)
    assert power_of(1.0, 2.0, sizes, ONCE) == pytest.approx(expected, abs=1e-6)
    assert power_of(-1.0, 2.0, sizes, ONCE) == power_of(1.0, 2.0, sizes, ONCE)
    assert power_of(0.0, 2.0, sizes, ONCE) == pytest.approx(0.05)


def test_days_are_those_of_the_slower_arm_at_todays_traffic() -> None:
    traffic = Traffic(5_000, exposed=0.5, measured=0.1)
    needed = sizes_for_proportions(0.8, 0.82, ONCE)
    assert days(needed, NOBODY, traffic, 0.5) == pytest.approx(2 * 6_039 / 250)
    assert days(needed, Sizes(6_039, 6_000), traffic, 0.5) == pytest.approx(2 * 39 / 250)
    assert days(needed, Sizes(9_999, 6_039), traffic, 0.5) == 0.0
    assert days(Sizes(900, 100), NOBODY, Traffic(100), 0.1) == pytest.approx(10.0)
    for nothing in (Traffic(0), Traffic(9, exposed=0.0), Traffic(9, measured=0.0)):
        told = days(needed, NOBODY, nothing, 0.5)
        assert isinstance(told, CannotSay) and "never ends" in str(told)
        assert days(NOBODY, NOBODY, nothing, 0.5) == 0.0


def test_clusters_cost_rows() -> None:
    assert design_effect(1.0, 0.9) == 1.0 and design_effect(5.0, 0.0) == 1.0
    assert design_effect(5.0, 0.25) == 2.0


def test_what_cannot_be_said_is_said() -> None:
    for found in (
        detectable(1.0, Sizes(0, 5), ONCE),
        power_of(1.0, 1.0, Sizes(5, 0), ONCE),
        relative_detectable(1.0, (1.0, 1.0), NOBODY, ONCE),
    ):
        assert isinstance(found, CannotSay) and "no units" in str(found)
    found = relative_detectable(1.0, (5.0, 5.0), Sizes(20, 2_000), ONCE)
    assert isinstance(found, CannotSay) and "control is too small" in str(found)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Comparison(alpha=0.0), "alpha is 0.0"),
        (lambda: Comparison(power=1.0), "power is 1.0"),
        (lambda: Comparison(power=0.04), "more than alpha"),
        (lambda: Comparison(treatment_share=1.0), "treatment_share"),
        (lambda: Traffic(-1.0), "units is -1.0"),
        (lambda: Traffic(1.0, exposed=1.1), "exposed is 1.1"),
        (lambda: Traffic(1.0, measured=math.nan), "measured is nan"),
        (lambda: sizes_for(0.0, 1.0, ONCE), "effect is 0.0"),
        (lambda: sizes_for(1.0, 0.0, ONCE), "sd is 0.0"),
        (lambda: sizes_for_proportions(0.8, 0.8, ONCE), "effect is 0.0"),
        (lambda: sizes_for_proportions(1.1, 0.8, ONCE), "control is 1.1"),
        (lambda: relative_detectable(0.0, (1.0, 1.0), NOBODY, ONCE), "mean is 0.0"),
        (lambda: relative_detectable(1.0, (1.0, math.inf), NOBODY, ONCE), "sds is inf"),
        (lambda: days(NOBODY, NOBODY, Traffic(1.0), 0.0), "treatment_share is 0.0"),
        (lambda: tuned(1.0), "alpha is 1.0"),
        (lambda: design_effect(0.5, 0.1), "mean_size is 0.5"),
        (lambda: design_effect(2.0, -0.1), "correlation is -0.1"),
    ],
)
def test_bad_input_is_named(make, message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        make()
