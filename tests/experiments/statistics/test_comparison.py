"""Two policies on the same decisions: footing, refusals, paired differences, predictions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.adaptive import LoggedDecisions
from experiments.statistics.comparison import Comparison, compare, footing, foreseen
from experiments.statistics.inputs import Floats
from experiments.statistics.moments import Interval
from experiments.statistics.off_policy import Estimator, Limits

MEANS = np.array([0.3, 0.6, 0.8])


def made(count: int, e: tuple[float, ...], seed: int, quality: Floats = MEANS) -> LoggedDecisions:
    rng = np.random.default_rng(seed)
    shares = np.tile(e, (count, 1))
    drawn = (rng.random(count)[:, None] > np.cumsum(shares, 1)).sum(1)
    rewards = (rng.random(count) < quality[drawn]).astype(float)
    return LoggedDecisions(drawn, shares, rewards, np.tile(quality, (count, 1)))


def test_footing_counts_support_by_arm() -> None:
    log = made(200, (0.5, 0.5, 0.0), 1)
    found = footing(log.drawn, log.propensities, np.tile((0.2, 0.3, 0.5), (200, 1)))
    assert (found.unsupported_rows, found.unsupported) == (200, {2: 200})
    refused = found.refusal()
    assert refused is not None and "200 of 200 rows" in str(refused)
    said = compare(log, np.tile((0.2, 0.3, 0.5), (200, 1)))
    assert isinstance(said, CannotSay) and str(said) == str(refused)


def test_an_arm_that_was_not_drawn_yet_does_not_look_like_agreement() -> None:
    """2 % of the draws weigh 25 each. Before one of them came, those drawn weigh alike."""
    e, wanted = (0.49, 0.49, 0.02), np.tile((0.25, 0.25, 0.5), (40, 1))
    log = made(400, e, 3)
    early = log.drawn[:40].copy()
    early[early == 2] = 1
    found = footing(early, log.propensities[:40], wanted)
    assert found.ess == pytest.approx(40 / (0.5**2 / 0.02 + 2 * 0.25**2 / 0.49))
    assert found.ess < 4.0 and found.greatest_weight < 1.0


def test_the_same_policy_differs_by_nothing_and_rests_on_all_rows() -> None:
    log = made(300, (0.2, 0.3, 0.5), 2)
    found = compare(log, log.propensities)
    assert isinstance(found, Comparison)
    assert found.difference == found.difference_at_any_look == Interval(0.0, 0.0, 0.0)
    assert footing(log.drawn, log.propensities, log.propensities).ess == pytest.approx(300.0)


def test_paired_terms_are_narrower_than_two_values() -> None:
    log = made(2_000, (0.3, 0.3, 0.4), 4)
    target = np.tile((0.25, 0.3, 0.45), (2_000, 1))
    found = compare(log, target)
    assert isinstance(found, Comparison)
    truth = float((target - log.propensities)[0] @ MEANS)
    assert found.difference.low <= truth <= found.difference.high
    value = found.values[Estimator.DR]
    assert not isinstance(value, CannotSay)
    width = found.difference.high - found.difference.low
    assert width < 0.4 * (value.mean.high - value.mean.low)
    always = found.difference_at_any_look
    assert isinstance(always, Interval) and always.high - always.low > width


def test_refusals_name_the_number() -> None:
    log = made(150, (0.8, 0.1, 0.1), 5)
    target = np.tile((0.1, 0.1, 0.8), (150, 1))
    said = compare(log, target)
    assert isinstance(said, CannotSay) and "100 is needed, it is" in str(said)
    heavy = compare(log, target, Limits(1.0, 0.0, 7.0))
    assert isinstance(heavy, CannotSay) and "a row weighs 8, at most 7" in str(heavy)
    one = footing(log.drawn[:1], log.propensities[:1], target[:1]).refusal()
    assert one is not None and "two rows" in str(one)
    with pytest.raises(ExperimentError, match="rewards must lie"):
        compare(LoggedDecisions(log.drawn, log.propensities, log.rewards * 2, log.predictions),
                target)  # fmt: skip


def test_the_predictions_followed_are_those_that_erred_least_so_far() -> None:
    log = made(100, (0.3, 0.3, 0.4), 6)
    good, bad = log.predictions, 1.0 - log.predictions
    found = foreseen(log, (bad, good))
    assert np.array_equal(found[0], bad[0])  # nothing is known yet: the first
    assert np.array_equal(found[50:], good[50:])
    turned = LoggedDecisions(log.drawn, log.propensities, np.append(log.rewards[:-1], 0.5),
                             log.predictions)  # fmt: skip
    assert np.array_equal(foreseen(turned, (bad, good)), found)  # its own reward is not looked at


def test_coverage_of_the_difference() -> None:
    """150 logs; a 95 % interval covers fewer than 132 of them once in 10,000, the sequence misses
    far less.
    """
    target = np.tile((0.1, 0.2, 0.7), (400, 1))
    truth, once, always = float((target[0] - (0.4, 0.3, 0.3)) @ MEANS), 0, 0
    for seed in range(150):
        found = compare(made(400, (0.4, 0.3, 0.3), 100 + seed), target)
        assert isinstance(found, Comparison)
        looked = found.difference_at_any_look
        assert isinstance(looked, Interval) and math.isfinite(looked.high)
        once += found.difference.low <= truth <= found.difference.high
        always += looked.low <= truth <= looked.high
    assert once >= 132 and always >= 148
