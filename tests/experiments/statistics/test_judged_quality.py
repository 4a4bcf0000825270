"""A biased judge's mean is off; corrected by people's ratings the interval covers the truth."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.errors import CannotSay
from experiments.statistics.judged import prediction_powered
from experiments.statistics.judged_quality import (
    Alike,
    JudgedQuality,
    Sampled,
    judged_quality,
    rated_alike,
)

TRUE = 0.6


def drawn(seed: int, n: int = 3_000, by_lot: bool = True, noise: float = 0.1) -> Sampled:
    """Quality of mean 0.6, drawn to be judged by a chance that goes with it; the judge is 0.15 too
    kind; 15 % are rated, by lot, or (not by lot) the better the judge thinks the likelier.
    """
    chance = np.random.default_rng(seed)
    quality = chance.beta(3, 2, n)
    probability = np.where(quality > TRUE, 0.5, 0.2)
    judged = chance.random(n) < probability
    score = np.clip(quality + 0.15 + chance.normal(0, noise, n), 0, 1)
    asked = np.full(n, 0.15) if by_lot else np.where(score > 0.8, 0.3, 0.1)
    label = np.where(chance.random(n) < asked, quality, np.nan)
    shown = np.full(n, 0.15) if by_lot else np.full(n, np.nan)
    return Sampled(score[judged], label[judged], probability[judged], shown[judged],
                   np.arange(n, dtype=float)[judged])  # fmt: skip


@pytest.mark.parametrize("by_lot", [True, False], ids=["asked-by-lot", "rating-of-themselves"])
def test_the_judge_alone_is_off_and_corrected_it_covers(by_lot: bool) -> None:
    """Of 200 seeded samples the corrected 95 % interval holds the truth in at least 90 %, the
    judge's own in none; the mean of the corrected estimates is the truth.
    """
    held, naive, means = 0, 0, []
    for seed in range(200):
        found = judged_quality(drawn(seed, by_lot=by_lot))
        assert isinstance(found, JudgedQuality)
        assert found.known is by_lot
        held += found.corrected.low <= TRUE <= found.corrected.high
        naive += found.judge.low <= TRUE <= found.judge.high
        means.append(found.corrected.estimate)
    assert naive == 0 and held / 200 >= 0.90
    assert np.mean(means) == pytest.approx(TRUE, abs=0.006)


def test_the_bias_is_told_and_labels_are_saved() -> None:
    found = judged_quality(drawn(1, 20_000))
    assert isinstance(found, JudgedQuality)
    assert found.bias == pytest.approx(0.13, abs=0.03) and found.labels_saved > 200
    blind = judged_quality(drawn(1, 20_000, noise=50.0))
    assert isinstance(blind, JudgedQuality)
    assert abs(blind.scale) < 0.1 and blind.corrected.low < TRUE < blind.corrected.high


def test_with_equal_chances_it_is_prediction_powered_inference() -> None:
    chance = np.random.default_rng(4)
    f = chance.random(400)
    y = np.clip(f + chance.normal(0, 0.2, 400), 0, 1)
    label = np.where(np.arange(400) < 80, y, np.nan)
    ones = np.ones(400)
    found = judged_quality(Sampled(f, label, ones, ones * 0.2, np.arange(400.0)))
    known = prediction_powered(y[:80], f[:80], f[80:])
    assert isinstance(found, JudgedQuality) and not isinstance(known, CannotSay)
    assert found.corrected.estimate == pytest.approx(known.mean.estimate, abs=0.01)
    width = known.mean.high - known.mean.low
    assert found.corrected.high - found.corrected.low == pytest.approx(width, rel=0.15)


def test_ratings_that_never_come_for_some_scores_are_refused_with_the_reason() -> None:
    sampled = drawn(2, by_lot=False)
    nobody = np.where(sampled.scores < 0.8, np.nan, sampled.labels)
    found = judged_quality(Sampled(sampled.scores, nobody, sampled.drawn, sampled.asked,
                                   sampled.units))  # fmt: skip
    assert isinstance(found, CannotSay), "a third is without"
    assert "people rate of themselves" in str(found)


def test_too_few_are_said() -> None:
    ones = np.ones(30)
    bare = Sampled(ones, np.full(30, np.nan), ones, ones, ones)
    assert "20 ratings" in str(judged_quality(bare))
    same = Sampled(ones, ones, ones, ones, np.arange(30.0))
    assert "commonest" in str(judged_quality(same))


def test_whether_the_rated_look_like_the_others() -> None:
    sampled = drawn(3, by_lot=False)
    found = rated_alike(sampled.scores, np.isfinite(sampled.labels))
    assert isinstance(found, Alike) and found.gap.low > 0.0 and found.p_value < 0.01
    fair = drawn(3)
    found = rated_alike(fair.scores, np.isfinite(fair.labels))
    assert isinstance(found, Alike) and found.p_value > 0.01
