"""Sums that forget and add, sources pooled by their evidence, priors that count by it."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from learning.capability import (
    AMONG,
    APART,
    DECLARED_N,
    Belief,
    Beliefs,
    CellSums,
    LiveSums,
    Measured,
    apart,
    at_rest,
    declared,
    pooled,
    prior_from,
    prior_of,
    says_more,
)
from learning.errors import SnapshotSchema
from learning.policies.base import Prior
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


def of(**arms: Belief) -> Prior:
    return prior_from(Beliefs(arms), FEATURES)


def bench(n: float, mean: float, said: float = 0.7) -> Belief:
    return Belief(said, {}, {"code": Measured(n, mean, 0.1)})


def test_a_prior_has_the_level_as_its_constant_and_a_task_by_its_precision() -> None:
    cells = {"code": Measured(100.0, 0.9, 0.1), "chat": Measured(1.0, 0.1, 0.1)}
    prior = of(a=Belief(0.7, {}, cells), b=Belief(0.4, {"chat": 0.9}, {}))
    many, one, said = 1 / (0.001 + APART), 1 / (0.1 + APART), 1 / AMONG
    level = (said * 0.7 + many * 0.9 + one * 0.1) / (said + many + one)
    length, code, chat, constant = prior.theta[0]
    assert (length, constant) == (0.0, pytest.approx(level))
    assert constant + code == pytest.approx((many * 0.9 + said * level) / (many + said))
    assert constant + chat == pytest.approx((one * 0.1 + said * level) / (one + said))
    assert constant + code > 0.88 and constant + chat > 0.6  # one answer moves it little
    assert prior.theta[1].tolist() == [0.0, 0.0, pytest.approx(0.5), pytest.approx(0.4)]


def test_benchmarks_that_answers_contradict_lose_their_say() -> None:
    right = (Measured(50.0, 0.8, 0.1), Measured(100.0, 0.81, 0.1))
    wrong = (Measured(50.0, 0.4, 0.1), Measured(100.0, 0.9, 0.1))
    assert apart([]) == APART and apart([right] * 4) < APART
    assert apart([wrong]) > 0.05 and apart([wrong] * 4) > 0.1
    assert apart([(Measured(), Measured(9.0, 0.1, 0.1))]) == APART
    cold = {"a": bench(100.0, 0.3)}
    believed, doubted = (
        prior_from(Beliefs(cold, distance), FEATURES).theta[0, -1]
        for distance in (apart([right]), apart([wrong] * 4))
    )
    assert believed < 0.35 and doubted > 0.5


def test_only_news_is_told() -> None:
    one, fewer = of(a=bench(100.0, 0.9), b=bench(100.0, 0.9, 0.4)), of(b=bench(100.0, 0.9, 0.4))
    other = of(a=bench(100.0, 0.8))
    assert says_more(one, None, 0.02) and not says_more(one, one, 0.02)
    assert not says_more(fewer, one, 0.02) and says_more(one, fewer, 0.02)
    assert says_more(other, one, 0.02) and not says_more(other, one, 0.2)
    narrower = prior_from(Beliefs({"a": bench(100.0, 0.9)}), FEATURES[1:])
    assert says_more(one, narrower, 0.02) and not says_more(of(), None, 0.02)


def test_a_prior_rests_and_comes_back() -> None:
    prior = of(a=bench(9.0, 0.9))
    back = prior_of(thaw(freeze(at_rest(prior))))
    assert (back.arms, back.features) == (prior.arms, prior.features)
    assert np.array_equal(back.theta, prior.theta)
    with pytest.raises(SnapshotSchema):
        prior_of(Frozen("quality", {}, {}))
