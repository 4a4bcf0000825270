"""Time blocks: a schedule that all can compute, and a test that shared weather cannot fool."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats

from experiments.errors import CannotSay, ExperimentError
from experiments.switchback import (
    MICRO,
    Blocks,
    SwitchbackEffect,
    least_pairs,
    pair_up,
    randomisation_test,
)

PLAN = Blocks("routing/1", start_us=1_790_000_000 * MICRO, length_s=1_800, burn_in_s=300)
RNG = np.random.default_rng(0)


def found(differences: np.ndarray, alpha: float = 0.05) -> SwitchbackEffect:
    told = randomisation_test(differences, np.random.default_rng(1), alpha)
    assert isinstance(told, SwitchbackEffect)
    return told


def test_the_schedule_is_the_same_for_ever() -> None:
    golden = "".join("TC"[not PLAN.treated(block)] for block in range(24))
    assert golden == "CTTCTCCTCTTCCTTCCTCTTCCT"


def test_every_pair_has_one_of_each_and_the_order_is_fair() -> None:
    first = []
    for pair in range(2_000):
        one, two = PLAN.treated(2 * pair), PLAN.treated(2 * pair + 1)
        assert one != two
        first.append(one)
    assert stats.binomtest(sum(first), 2_000).pvalue > 1e-3
    follows = sum(one == two for one, two in itertools.pairwise(first))
    assert stats.binomtest(follows, 1_999).pvalue > 1e-3


@settings(derandomize=True)
@given(st.integers(-(10**13), 10**13))
def test_a_time_lies_in_one_block_and_is_settled_after_the_burn_in(offset: int) -> None:
    at_us = PLAN.start_us + offset
    block = PLAN.block(at_us)
    into = at_us - PLAN.start_us - block * 1_800 * MICRO
    assert 0 <= into < 1_800 * MICRO
    assert PLAN.settled(at_us) == (offset >= 0 and into >= 300 * MICRO)


def test_blocks_are_paired_by_hand() -> None:
    plan = Blocks("hand", start_us=0, length_s=10, burn_in_s=2)
    seconds = np.array([-1, 1, 3, 4, 12, 15, 22, 35, 45], dtype=np.int64)
    values = np.array([9.0, 9.0, 1.0, 2.0, 5.0, 7.0, 8.0, 4.0, 6.0])
    pairs = pair_up(plan, seconds * MICRO, values, np.ones(9), until_us=50 * MICRO)
    sign = [1.0 if plan.treated(2 * pair + 1) else -1.0 for pair in range(2)]
    assert pairs.differences == pytest.approx([sign[0] * (6.0 - 1.5), sign[1] * (4.0 - 8.0)])
    assert pairs.dropped == 0 and pairs.burnt == 2  # 45 s lies in a pair that has not ended
    assert pairs.treatment - pairs.control == pytest.approx(pairs.differences.mean())
    lost = pair_up(plan, seconds[:7] * MICRO, values[:7], np.ones(7), until_us=40 * MICRO)
    assert len(lost.differences) == 1 and lost.dropped == 1
    none = pair_up(plan, seconds[:0], values[:0], values[:0], until_us=5 * MICRO)
    assert len(none.differences) == 0 and none.dropped == 0


def test_a_block_is_settled_in_rows_as_it_is_one_by_one() -> None:
    at_us = PLAN.start_us + RNG.integers(-(10**10), 10**11, 500)
    pairs = pair_up(PLAN, at_us, np.ones(500), np.ones(500), PLAN.start_us + 10**11)
    assert pairs.burnt == sum(not PLAN.settled(int(at)) for at in at_us)
    assert (pairs.differences == 0.0).all()


@settings(derandomize=True, max_examples=60)
@given(st.lists(st.floats(-5, 5), min_size=6, max_size=10))
def test_few_pairs_are_fishers_test_by_enumeration(values: list[float]) -> None:
    differences = np.array(values)
    means = [
        abs(np.dot(signs, differences)) for signs in itertools.product((1, -1), repeat=len(values))
    ]
    expected = np.mean(np.array(means) >= abs(differences.sum()) - 1e-9)
    assert found(differences).p_value == pytest.approx(expected)


def test_it_is_scipys_permutation_test() -> None:
    differences = np.random.default_rng(3).normal(0.6, 1.0, 12)
    told = stats.permutation_test(
        (differences, np.zeros(12)),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
    )
    assert found(differences).p_value == pytest.approx(told.pvalue)


@pytest.mark.parametrize("pairs", [8, 30])
def test_the_interval_holds_what_the_test_does_not_refuse(pairs: int) -> None:
    differences = np.random.default_rng(pairs).normal(1.0, 1.0, pairs)
    span = found(differences).difference
    assert span.low < span.estimate < span.high
    inside = (span.high - 1e-6, span.low + 1e-6)
    outside = (span.high + 1e-6, span.low - 1e-6)
    assert all(found(differences - effect).p_value > 0.05 for effect in inside)
    assert all(found(differences - effect).p_value <= 0.05 for effect in outside)
    student = stats.t.interval(0.95, pairs - 1, differences.mean(), stats.sem(differences))
    assert span.high - span.low == pytest.approx(student[1] - student[0], rel=0.25)


def weather(rng: np.random.Generator, hours: int, effect: float, carried: float):
    """Requests at 20 a minute whose latency follows the day and an AR(1) of minutes; what a block
    does to the queue lingers for five minutes of the next one.
    """
    minutes = np.arange(hours * 60)
    noise = signal.lfilter([0.1], [1.0, -0.97], rng.standard_normal(len(minutes)))
    plan = Blocks(f"w{rng.integers(1 << 60)}", 0, 1_800, 300)
    treated = np.repeat([float(plan.treated(block)) for block in range(2 * hours)], 30)
    before = np.concatenate([treated[:30], treated[:-30]])
    lingering = np.where(minutes % 30 < 5, carried * (before - treated), 0.0)
    level = 2.0 + np.sin(minutes / 229.0) + noise + effect * (treated + lingering)
    at_us = np.repeat(minutes, 20) * 60 * MICRO + rng.integers(0, 60 * MICRO, 20 * len(minutes))
    return plan, at_us, np.repeat(level, 20) + rng.standard_normal(20 * len(minutes)), treated


@pytest.mark.slow
def test_shared_weather_makes_no_false_alarm_where_a_t_test_of_requests_does() -> None:
    """300 seeded days and a half without effect: at most 5 + 3.8 % (3 sigma) below 5 %; the
    t-test over requests, which share their blocks' weather, is wrong in more than half.
    """
    rng, alarms, naive = np.random.default_rng(4), 0, 0
    for _ in range(300):
        plan, at_us, values, treated = weather(rng, 36, 0.0, 0.0)
        pairs = pair_up(plan, at_us, values, np.ones(len(values)), 36 * 3_600 * MICRO)
        alarms += found(pairs.differences).p_value <= 0.05
        on = np.repeat(treated, 20) > 0
        naive += stats.ttest_ind(values[on], values[~on], equal_var=False).pvalue <= 0.05
    assert alarms / 300 <= 0.05 + 0.038
    assert naive / 300 > 0.5


def test_an_effect_is_found_and_the_interval_covers_it() -> None:
    """100 seeded runs of 72 hours, 0.3 on a level of 2: found in 90, covered in 88 at least."""
    rng, covered, detected = np.random.default_rng(5), 0, 0
    for _ in range(100):
        plan, at_us, values, _ = weather(rng, 72, 0.3, 0.0)
        pairs = pair_up(plan, at_us, values, np.ones(len(values)), 72 * 3_600 * MICRO)
        told = found(pairs.differences)
        covered += told.difference.low <= 0.3 <= told.difference.high
        detected += told.p_value <= 0.05
    assert covered >= 88 and detected >= 90


def test_the_burn_in_drops_what_the_block_before_left() -> None:
    """An effect of 1 that comes in only after five minutes: biased without a burn-in, not with."""
    rng, kept, whole = np.random.default_rng(6), [], []
    for _ in range(20):
        plan, at_us, values, _ = weather(rng, 72, 1.0, 1.0)
        bare = Blocks(plan.salt, 0, 1_800, 0)
        for blocks, told in ((plan, kept), (bare, whole)):
            pairs = pair_up(blocks, at_us, values, np.ones(len(values)), 72 * 3_600 * MICRO)
            told.append(pairs.differences.mean())
    assert np.mean(kept) == pytest.approx(1.0, abs=0.04)
    assert np.mean(whole) < 0.92


def test_too_few_pairs_cannot_say() -> None:
    assert least_pairs(0.05) == 6 and least_pairs(0.01) == 8
    told = randomisation_test(np.ones(5), RNG)
    assert isinstance(told, CannotSay) and "6 whole pairs" in str(told)
    equal = found(np.full(6, 2.0))
    assert (equal.difference.low, equal.difference.high) == (2.0, 2.0)
    assert equal.p_value == 2 / 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"salt": ""}, "salt is empty"),
        ({"start_us": -1}, "start_us"),
        ({"length_s": 0}, "length_s"),
        ({"burn_in_s": 1_800}, "burn_in_s is 1800: leave some"),
        ({"burn_in_s": -1}, "burn_in_s"),
    ],
)
def test_blocks_that_cannot_be_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        Blocks(**{"salt": "s", "start_us": 0, **changes})  # type: ignore[arg-type]


def test_numbers_that_cannot_be_are_refused() -> None:
    one, two = np.ones(1), np.ones(2)
    with pytest.raises(ExperimentError, match="one of each a request"):
        pair_up(PLAN, np.zeros(1, np.int64), two, two, 0)
    with pytest.raises(ExperimentError, match="finite"):
        pair_up(PLAN, np.zeros(1, np.int64), one * np.nan, one, 0)
    with pytest.raises(ExperimentError, match="differences must be finite"):
        randomisation_test(np.full(9, np.nan), RNG)
    with pytest.raises(ExperimentError, match="alpha is 1"):
        randomisation_test(np.ones(9), RNG, 1.5)
