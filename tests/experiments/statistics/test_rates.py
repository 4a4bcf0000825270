"""A canary that fails too often is found within a few hundred requests, an equal one is left."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate

from experiments.errors import ExperimentError
from experiments.statistics.rates import (
    MULTIPLES,
    log_evidence,
    rate_guardrail,
    tolerated,
    varying_guardrail,
)
from tests.experiments.statistics.looks import allowed, ever

LIMIT = math.log(20.0)


def failures(
    rates: tuple[float, float], share: float, paths: int, seed: int, requests: int, every: int = 20
) -> tuple[np.ndarray, np.ndarray]:
    """Failures so far of canary and control at each look, [paths, requests / every]."""
    rng = np.random.default_rng(seed)
    ours = rng.random((paths, requests)) < share
    failed = rng.random((paths, requests)) < np.where(ours, *rates)
    return (failed & ours).cumsum(1)[:, ::every], (failed & ~ours).cumsum(1)[:, ::every]


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_equal_rates_raise_no_alarm(rate: float, share: float) -> None:
    """1,000 seeded streams looked at 100 times in 2,000 requests: at most 5 % + 3 deviations."""
    told = log_evidence(*failures((rate, rate), share, 1_000, 1, 2_000), share)
    assert ever(told >= LIMIT) <= allowed(0.05, 1_000)


def test_the_naive_test_is_fooled() -> None:
    """Two proportions compared by z at 100 looks: more than a quarter of false alarms."""
    ours, theirs = failures((0.1, 0.1), 0.5, 1_000, 2, 4_000, 40)
    total = np.maximum(ours + theirs, 1)
    assert ever(np.abs(ours - theirs) / np.sqrt(total) > 1.96) > 0.25


@pytest.mark.slow
def test_one_percent_to_ten_is_found_within_three_hundred_requests() -> None:
    """At a tenth of the traffic: half of 1,000 seeded canaries are rolled back by then, and nine
    of ten within 900.
    """
    told = log_evidence(*failures((0.10, 0.01), 0.1, 1_000, 3, 1_500, 1), 0.1) >= LIMIT
    when = np.where(told.any(1), told.argmax(1) + 1, 1_500)
    assert np.median(when) <= 300
    assert np.quantile(when, 0.9) <= 900


def test_a_tolerance_is_kept_and_exceeding_it_is_found() -> None:
    """A fifth more is allowed: rates at that edge raise at most 5 % + 3 deviations of alarms in
    1,000 streams, twice the rate is found.
    """
    edge = log_evidence(*failures((0.12, 0.10), 0.5, 1_000, 4, 2_000), 0.5, 0.2)
    # odds of a failure's being the canary's: exactly 1.2
    assert ever(edge >= LIMIT) <= allowed(0.05, 1_000)
    worse = log_evidence(*failures((0.20, 0.10), 0.5, 200, 5, 2_000), 0.5, 0.2)
    assert ever(worse >= LIMIT) > 0.9
    better = log_evidence(*failures((0.05, 0.10), 0.5, 500, 6, 2_000), 0.5)
    assert ever(better >= LIMIT) <= 0.05


@pytest.mark.parametrize(("ours", "theirs", "share"), [(0, 0, 0.1), (3, 2, 0.1), (7, 30, 0.5)])
def test_the_evidence_is_the_integral(ours: int, theirs: int, share: float) -> None:
    whole = integrate.quad(lambda p: p**ours * (1 - p) ** theirs, share, 1.0, epsabs=0)[0]
    expected = whole / (1 - share) / (share**ours * (1 - share) ** theirs)
    assert rate_guardrail(ours, theirs, share).e_value == pytest.approx(expected)


def test_great_counts_stay_finite() -> None:
    """A flawless canary beside a million failures, and the other way round."""
    assert -2_000_000 < rate_guardrail(0, 1_000_000, 0.9).log_e < 0.0
    assert rate_guardrail(1_000, 1_000_000, 0.5).log_e < 0.0
    assert rate_guardrail(1_000_000, 0, 0.5).rejects(1e-9)


def test_tolerated_share() -> None:
    assert tolerated(0.1) == pytest.approx(0.1)
    assert tolerated(0.5, 1.0) == pytest.approx(2 / 3)


def test_varying_shares_are_the_average_of_likelihood_ratios() -> None:
    shares, ours, tolerance = [0.1, 0.5, 0.3], [True, False, True], 0.5
    total = 0.0
    for multiple in MULTIPLES:
        ratio = 1.0
        for share, mine in zip(shares, ours, strict=True):
            null = tolerated(share, tolerance)
            worse = multiple * null / (multiple * null + 1 - null)
            ratio *= worse / null if mine else (1 - worse) / (1 - null)
        total += ratio / len(MULTIPLES)
    told = varying_guardrail(shares, np.array(ours), tolerance)
    assert told.e_value == pytest.approx(total)


@pytest.mark.slow
def test_a_ramp_raises_no_alarm_and_finds_a_worse_canary() -> None:
    """Shares 1, 10, 50 % in turn: 600 seeded ramps at equal rates with a look at each failure
    alarm in at most 5 % + 3 deviations; at four times the rate 90 % of 100 are found.
    """
    rng, alarms, found = np.random.default_rng(7), 0, 0
    share = np.repeat([0.01, 0.1, 0.5], 500)
    for path in range(700):
        ours, worse = rng.random(1_500) < share, path >= 600
        failed = rng.random(1_500) < np.where(ours & worse, 0.2, 0.05)
        w, mine = share[failed], ours[failed]
        looks = range(1, len(w) + 1) if not worse else [len(w)]
        alarm = any(varying_guardrail(w[:k], mine[:k]).rejects(0.05) for k in looks)
        alarms, found = alarms + (alarm and not worse), found + (alarm and worse)
    assert alarms / 600 <= allowed(0.05, 600)
    assert found >= 90


def test_bad_input_is_refused() -> None:
    for share in (0.0, 1.0, math.nan):
        with pytest.raises(ExperimentError, match="share is"):
            rate_guardrail(1, 1, share)
    with pytest.raises(ExperimentError, match=r"tolerance is -0\.1"):
        rate_guardrail(1, 1, 0.5, -0.1)
    with pytest.raises(ExperimentError, match="canary must be counts"):
        rate_guardrail(-1, 1, 0.5)
    with pytest.raises(ExperimentError, match="in_canary is of int64: give booleans"):
        varying_guardrail([0.5], np.array([1]))
    with pytest.raises(ExperimentError, match="shares rule out a failure"):
        varying_guardrail([0.0], np.array([True]))
