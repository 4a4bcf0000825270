"""Families of hypotheses keep their error rates, as brute force and simulation say."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.errors import ExperimentError
from experiments.statistics.evidence import Evidence
from experiments.statistics.multiplicity import (
    OnlineDiscoveries,
    benjamini_hochberg,
    e_benjamini_hochberg,
    holm,
)
from tests.experiments.statistics.looks import allowed

p_values = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6)


@settings(derandomize=True, max_examples=80, deadline=None)
@given(p_values)
def test_holm_is_closed_testing_by_bonferroni(values: list[float]) -> None:
    """Adjusted p of i: the greatest Bonferroni p over all subsets that hold i."""
    found = holm(values)
    number = len(values)
    for i in range(number):
        worst = 0.0
        for size in range(1, number + 1):
            for chosen in itertools.combinations(range(number), size):
                if i in chosen:
                    worst = max(worst, min(1.0, size * min(values[k] for k in chosen)))
        assert found[i] == pytest.approx(worst)


@settings(derandomize=True, max_examples=80, deadline=None)
@given(p_values)
def test_benjamini_hochberg_is_scipys(values: list[float]) -> None:
    assert benjamini_hochberg(values) == pytest.approx(stats.false_discovery_control(values))


def test_adjusted_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert benjamini_hochberg([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.04, 0.04])
    assert len(holm([])) == len(benjamini_hochberg([])) == len(e_benjamini_hochberg([])) == 0


@settings(derandomize=True, max_examples=80, deadline=None)
@given(st.lists(st.floats(0.0, 400.0), min_size=1, max_size=8), st.sampled_from([0.05, 0.2]))
def test_e_bh_rejects_the_largest_consistent_set(values: list[float], alpha: float) -> None:
    number, best = len(values), 0
    for size in range(1, number + 1):
        if sum(e >= number / (alpha * size) for e in values) >= size:
            best = size
    with np.errstate(divide="ignore"):
        found = e_benjamini_hochberg(np.log(values), alpha)
    bound = number / (alpha * best) if best else math.inf
    assert found.sum() >= best
    assert set(np.flatnonzero(found)) >= {i for i, e in enumerate(values) if e > bound * 1.001}
    assert all(values[i] >= bound * 0.999 for i in np.flatnonzero(found))


def log_e(rng: np.random.Generator, shape: tuple[int, ...], shared: float) -> np.ndarray:
    """Of normal means against 0, bet on a shift of 2; nulls hold, values share a factor."""
    noise = math.sqrt(1 - shared) * rng.normal(size=shape)
    z = math.sqrt(shared) * rng.normal(size=(shape[0], 1)) + noise
    return np.asarray(2.0 * z - 2.0)


@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_false_discoveries_stay_below_alpha_under_dependence(shared: float) -> None:
    """2,000 seeded families of 40, eight of them real: mean false share at most 10 % + 3
    deviations, by e-BH and by e-LOND; testing each at 10 % exceeds it.
    """
    rng, families = np.random.default_rng(1), 2_000
    told = log_e(rng, (families, 40), shared)
    real = np.zeros(40, dtype=bool)
    real[::5] = True
    told[:, real] += 8.0
    shares: dict[str, list[float]] = {"e-bh": [], "e-lond": [], "naive": []}
    power = 0
    for row in told:
        state, online = OnlineDiscoveries(0.1), np.zeros(40, dtype=bool)
        for place, value in enumerate(row):
            online[place], state = state.test(Evidence(float(value)))
        chosen = {
            "e-bh": e_benjamini_hochberg(row, 0.1),
            "e-lond": online,
            "naive": (row + 2.0) / 2.0 > stats.norm.ppf(0.9),
        }
        power += int(chosen["e-bh"][real].sum())
        for name, flags in chosen.items():
            shares[name].append(float((flags & ~real).sum() / max(flags.sum(), 1)))
    assert np.mean(shares["e-bh"]) <= allowed(0.1, families)
    assert np.mean(shares["e-lond"]) <= allowed(0.1, families)
    assert np.mean(shares["naive"]) > 0.1
    assert power / (8 * families) > 0.5


def test_e_lond_by_hand() -> None:
    """Levels alpha / 2, then (after a discovery) 2 alpha / 6, then 2 alpha / 12."""
    state = OnlineDiscoveries(0.1)
    assert state.next_level == pytest.approx(0.05)
    rejected, state = state.test(Evidence(math.log(20.0)))
    assert rejected and state.next_level == pytest.approx(0.1 / 3)
    rejected, state = state.test(Evidence(math.log(29.0)))
    assert not rejected and state.next_level == pytest.approx(0.1 / 6)
    assert (state.tested, state.discoveries) == (2, 1)


def test_levels_add_to_alpha() -> None:
    total, state = 0.0, OnlineDiscoveries(0.05)
    for _ in range(10_000):
        total += state.next_level
        _, state = state.test(Evidence(0.0))
    assert total == pytest.approx(0.05, abs=1e-5) and total < 0.05


def test_bad_input_is_refused() -> None:
    for wrong in ([1.5], [-0.1]):
        with pytest.raises(ExperimentError, match="p_values must lie in"):
            holm(wrong)
    with pytest.raises(ExperimentError, match="log_e must be"):
        e_benjamini_hochberg([math.nan])
    with pytest.raises(ExperimentError, match="discoveries are 3 of 2"):
        OnlineDiscoveries(0.05, 2, 3)
