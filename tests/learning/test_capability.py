"""Sums that forget and add, sources pooled by their evidence, priors that count by it."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from learning.capability import (
    DECLARED_N,
    CellSums,
    LiveSums,
    Measured,
    at_rest,
    declared,
    pooled,
    prior_from,
    prior_of,
    says_more,
)
from learning.errors import SnapshotSchema
from learning.snapshot import Frozen, freeze, thaw

DAY = 86_400.0
FEATURES = ("length", "task:code", "task:chat", "constant")


def told(sums: LiveSums, at_s: float, quality: float, key: tuple[str, str] = ("a", "t")) -> None:
    reference = sums.reference_s(at_s)
    cell = CellSums(last_s=at_s)
    cell.sums["quality"].add(quality, math.exp((at_s - reference) / sums.tau_s))
    sums.take({key: cell})


def test_what_is_old_counts_for_less_and_nothing_becomes_zero() -> None:
    sums = LiveSums(DAY)
    for _ in range(8):
        told(sums, 0.0, 0.9)
    told(sums, DAY, 0.1)
    now = sums.read(DAY)["a", "t"].measures["quality"]
    assert now.n == pytest.approx(5.0) and now.mean == pytest.approx((4 * 0.9 + 0.1) / 5.0)
    later = sums.read(11 * DAY)["a", "t"].measures["quality"]
    assert later.n == pytest.approx(5.0 / 1_024) and later.mean == pytest.approx(now.mean)
    assert not sums.read(DAY)["a", "t"].measures["latency_s"].known
    assert math.isnan(Measured().mean)


def test_the_order_does_not_matter_and_two_replicas_add_to_the_whole() -> None:
    chance = random.Random(3)
    seen = [(chance.uniform(0.0, 90.0 * DAY), chance.random()) for _ in range(200)]
    whole, one, two = (LiveSums(DAY) for _ in range(3))  # over 60 taus: the reference has moved
    for at_s, quality in sorted(seen):
        told(whole, at_s, quality)
    for at, (at_s, quality) in enumerate(sorted(seen)):
        told(one if at % 2 else two, at_s, quality)
    one.merge(two)
    now_s = 91.0 * DAY
    for mine, other in zip(whole.read(now_s).values(), one.read(now_s).values(), strict=True):
        a, b = mine.measures["quality"], other.measures["quality"]
        assert (a.n, a.mean, a.variance) == pytest.approx((b.n, b.mean, b.variance), rel=1e-9)
        assert mine.last_s == other.last_s


def test_a_revision_takes_back_what_was() -> None:
    cell, again = CellSums(), CellSums()
    cell.sums["quality"].add(0.2, 3.0)
    cell.sums["quality"].revise(0.2, 0.8, 3.0)
    again.sums["quality"].add(0.8, 3.0)
    a, b = cell.sums["quality"].measured(1.0), again.sums["quality"].measured(1.0)
    assert (a.n, a.mean, a.variance) == pytest.approx((b.n, b.mean, b.variance), abs=1e-12)


def test_sources_count_by_their_evidence_and_their_quarrel_shows() -> None:
    both = pooled([declared(0.9), Measured(98.0, 0.5, 0.04), Measured()])
    assert both.n == 98.0 + DECLARED_N
    assert both.mean == pytest.approx((98.0 * 0.5 + DECLARED_N * 0.9) / 100.0)
    agreeing = pooled([Measured(50.0, 0.5, 0.01), Measured(50.0, 0.5, 0.01)])
    at_odds = pooled([Measured(50.0, 0.2, 0.01), Measured(50.0, 0.8, 0.01)])
    assert at_odds.variance == pytest.approx(agreeing.variance + 0.09)
    assert not pooled([]).known
    faded = Measured(80.0, 0.7, 0.1).faded(60.0 * DAY, 30.0 * DAY)
    assert (faded.n, faded.mean) == (pytest.approx(20.0), 0.7)


def test_a_prior_has_the_level_as_its_constant_and_a_task_by_its_evidence() -> None:
    cells = {"code": Measured(100.0, 0.9, 0.0), "chat": Measured(1.0, 0.1, 0.0)}
    prior = prior_from({"a": (0.7, cells), "b": (0.4, {})}, FEATURES)
    level = (2 * 0.7 + 100 * 0.9 + 0.1) / 103.0
    length, code, chat, constant = prior.theta[0]
    assert (length, constant) == (0.0, pytest.approx(level))
    assert constant + code == pytest.approx((100 * 0.9 + 2 * level) / 102.0)
    assert constant + chat == pytest.approx((0.1 + 2 * level) / 3.0)  # one answer moves it a third
    assert prior.theta[1].tolist() == [0.0, 0.0, 0.0, pytest.approx(0.4)]


def test_only_news_is_told() -> None:
    cells = {"code": Measured(100.0, 0.9, 0.0)}
    one = prior_from({"a": (0.7, cells), "b": (0.4, cells)}, FEATURES)
    fewer = prior_from({"b": (0.4, cells)}, FEATURES)
    other = prior_from({"a": (0.7, {"code": Measured(100.0, 0.8, 0.0)})}, FEATURES)
    assert says_more(one, None, 0.02) and not says_more(one, one, 0.02)
    assert not says_more(fewer, one, 0.02) and says_more(one, fewer, 0.02)
    assert says_more(other, one, 0.02) and not says_more(other, one, 0.2)
    assert says_more(one, prior_from({"a": (0.7, cells)}, FEATURES[1:]), 0.02)


def test_a_prior_rests_and_comes_back() -> None:
    prior = prior_from({"a": (0.7, {"code": Measured(9.0, 0.9, 0.0)})}, FEATURES)
    back = prior_of(thaw(freeze(at_rest(prior))))
    assert (back.arms, back.features) == (prior.arms, prior.features)
    assert np.array_equal(back.theta, prior.theta)
    with pytest.raises(SnapshotSchema):
        prior_of(Frozen("quality", {}, {}))
