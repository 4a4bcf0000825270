"""AUC and its standard error: by counting pairs, by groups, and by drawing again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from learning.ranking import auc, auc_gain


def drawn(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n)
    good = rng.random(n) < 1.0 / (1.0 + np.exp(-score))
    return np.round(score, 1), good, score + rng.normal(size=n)


def test_it_is_the_share_of_pairs_in_order_ties_by_half() -> None:
    score, good, _ = drawn(1)
    assert auc(score, good).value == pytest.approx(roc_auc_score(good, score), abs=1e-12)


def test_within_groups_a_constant_of_each_tells_nothing() -> None:
    score, good, _ = drawn(2)
    group = (score > 0).astype(np.int64)
    assert auc(group.astype(float), good).value > 0.55
    assert auc(group.astype(float), good, group).value == 0.5
    parts = [auc(score[group == g], good[group == g]).value for g in (0, 1)]
    sizes = [(group == g).sum() for g in (0, 1)]
    whole = float(np.average(parts, weights=sizes))
    assert auc(score, good, group).value == pytest.approx(whole)
    assert math.isnan(auc(score, np.ones(len(score), bool)).value)


def test_the_standard_errors_are_those_of_drawing_again() -> None:
    single, paired, errors = [], [], []
    for seed in range(300):
        score, good, other = drawn(seed, 200)
        single.append(auc(score, good).value)
        gain = auc_gain(score, other, good)
        paired.append(gain.value)
        errors.append((auc(score, good).error, gain.error))
    told = np.mean(errors, axis=0)
    assert told[0] == pytest.approx(np.std(single), rel=0.12)
    assert told[1] == pytest.approx(np.std(paired), rel=0.12)
    assert told[1] < 2.0 * told[0] and np.mean(paired) > 0.02
