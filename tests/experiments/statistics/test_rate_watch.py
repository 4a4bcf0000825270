"""Failure by failure the watch says what the guardrail says, finds harm early, and dates it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.errors import ExperimentError
from experiments.statistics import rate_watch
from experiments.statistics.rate_watch import RateWatch
from experiments.statistics.rates import varying_guardrail
from tests.experiments.statistics.looks import allowed


def failures(
    rates: tuple[float, float], requests: int, seed: int, share: float = 0.1, after: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Requests that failed, by number, and whether they were the canary's; it fails at its rate
    from a request on, and at the control's before.
    """
    rng = np.random.default_rng(seed)
    ours = rng.random(requests) < share
    late = ours & (np.arange(requests) >= after)
    failed = np.flatnonzero(rng.random(requests) < np.where(late, *rates))
    return failed, ours[failed]


def watched(at: np.ndarray, ours: np.ndarray, share: float = 0.1, alpha: float = 0.05) -> RateWatch:
    watch = RateWatch(alpha)
    watch.replay(np.full(len(at), share), ours, [str(number) for number in at], at)
    return watch


@pytest.mark.parametrize("tolerance", [0.0, 0.3])
def test_it_is_the_guardrail_at_every_failure(tolerance: float) -> None:
    """400 failures of shares that vary: the same evidence to 1e-9, one by one and at once."""
    rng = np.random.default_rng(0)
    shares = rng.uniform(0.05, 0.6, 400)
    ours = rng.random(400) < np.minimum(1.5 * shares, 0.95)
    watch = RateWatch(0.05, tolerance)
    for number in range(400):
        told = watch.failed(float(shares[number]), bool(ours[number]), f"u{number}", number)
        same = varying_guardrail(shares[: number + 1], ours[: number + 1], tolerance)
        assert told.log_e == pytest.approx(same.log_e, abs=1e-9)
    whole = RateWatch(0.05, tolerance)
    whole.replay(shares, ours, [f"u{number}" for number in range(400)], np.arange(400))
    assert whole.log_e == pytest.approx(watch.log_e, abs=1e-9)
    assert (whole.peak, whole.crossed_us, whole.onset_us, whole.failures) == (
        pytest.approx(watch.peak), watch.crossed_us, watch.onset_us, watch.failures,
    )  # fmt: skip
    assert whole.failures == (400 - int(ours.sum()), int(ours.sum()))


def test_one_percent_to_ten_is_found_within_three_hundred_requests() -> None:
    """At a tenth of the traffic: the median of 400 seeded canaries, and nine of ten within 900."""
    found = [watched(*failures((0.10, 0.01), 2_000, seed)).crossed_us for seed in range(400)]
    when = np.array([2_000 if each is None else each + 1 for each in found])
    assert np.median(when) <= 300
    assert np.quantile(when, 0.9) <= 900


def test_equal_rates_raise_no_alarm() -> None:
    """500 seeded canaries looked at with every failure: at most 5 % + 3 deviations."""
    alarms = [watched(*failures((0.05, 0.05), 4_000, seed)).breached for seed in range(500)]
    assert np.mean(alarms) <= allowed(0.05, 500)


@pytest.mark.parametrize("after", [0, 5_000, 20_000])
def test_the_onset_lies_near_the_change(after: int) -> None:
    """2 % to 20 % at a tenth of the traffic, 100 seeded canaries: half are dated within 300
    requests of the change, nine of ten within 1,500, and the alarm never comes before the onset.
    """
    off = []
    for seed in range(100):
        watch = watched(*failures((0.2, 0.02), after + 8_000, seed, after=after))
        assert watch.onset_us is not None and watch.crossed_us is not None
        assert watch.onset_us <= watch.crossed_us
        off.append(abs(watch.onset_us - after))
    assert np.median(off) <= 300
    assert np.quantile(off, 0.9) <= 1_500


def test_the_onset_is_fixed_at_the_alarm_and_the_alarm_stays() -> None:
    watch = RateWatch(0.05, since_us=7)
    assert not watch.breached and watch.onset_us is None
    for number in range(10):
        watch.failed(0.1, True, f"a{number}", 100 + number)
    onset, crossed, peak = watch.onset_us, watch.crossed_us, watch.peak
    assert watch.breached and onset == 7 and crossed is not None and peak >= math.log(20.0)
    for number in range(200):
        watch.failed(0.1, False, f"b{number}", 1_000 + number)
    assert watch.evidence.log_e < math.log(20.0)
    assert (watch.breached, watch.onset_us, watch.crossed_us) == (True, onset, crossed)
    assert watch.peak >= peak


def test_a_unit_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no more units are remembered than are meant to be, the latest."""
    watch = RateWatch(0.05)
    once = watch.failed(0.1, True, "a", 1).log_e
    assert watch.failed(0.1, True, "a", 2).log_e == once and watch.failures == (0, 1)
    assert watch.replay([0.1, 0.1], [True, True], ["b", "b"], [3, 3]).log_e > once
    assert watch.failures == (0, 2)
    monkeypatch.setattr(rate_watch, "REMEMBERED", 3)
    for unit in ("c", "d", "d", "c", "b", "a"):
        watch.failed(0.1, True, unit, 4)
    assert watch.failures == (0, 5)  # c and d, and a, which was forgotten


def test_history_in_parts_is_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    at, ours = failures((0.2, 0.02), 6_000, 1, after=3_000)
    whole = watched(at, ours)
    monkeypatch.setattr(rate_watch, "PART", 7)
    parts = watched(at, ours)
    assert parts.log_e == pytest.approx(whole.log_e, abs=1e-9)
    assert (parts.onset_us, parts.crossed_us) == (whole.onset_us, whole.crossed_us)


def test_what_cannot_be_is_refused() -> None:
    for share, ours in ((0.0, True), (1.0, False)):
        with pytest.raises(ExperimentError, match="rule out a failure that was seen"):
            RateWatch(0.05).failed(share, ours, "a", 0)
    with pytest.raises(ExperimentError, match="shares must lie in"):
        RateWatch(0.05).failed(1.5, True, "a", 0)
    with pytest.raises(ExperimentError, match="alpha is 0"):
        RateWatch(0.0)
    with pytest.raises(ExperimentError, match="tolerance is -1"):
        RateWatch(0.05, -1.0)
    with pytest.raises(ExperimentError, match="lengths differ"):
        RateWatch(0.05).replay([0.1], [True], ["a", "b"], [0])
