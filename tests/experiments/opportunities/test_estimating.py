"""Savings of several changes: nothing counted twice, sums to the micro-dollar."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.errors import CannotSay
from experiments.opportunities.changes import Batch, Cache, Cap, Change, Price, Skip, Tier
from experiments.opportunities.estimating import alone, together
from experiments.statistics.moments import Interval
from tests.experiments.opportunities.worlds import with_calls, world

CHANGES: tuple[Change, ...] = (
    Price("wide", 0, 700_000), Skip("code", above=0.5), Cache("code"), Batch("code", factor=0.43),
    Cap("tenant", "acme", 20_000), Tier("code", "small"),
)  # fmt: skip
MADE = with_calls(world(2, days=10, a_day=120).traffic)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.permutations(CHANGES), st.integers(1, 5))
def test_parts_add_up_whatever_is_tried_together(changes: list[Change], number: int) -> None:
    chosen = changes[:number]
    if any(isinstance(each, Cap) for each in chosen):
        chosen = [each for each in chosen if not isinstance(each, Tier)]
    joint = together(MADE, chosen)
    assert joint.before_micro_usd == int(MADE.cost.sum()) + int(MADE.checks.cost.sum())
    parts = sum(each.saved_micro_usd for each in joint.parts)
    assert joint.before_micro_usd - parts == joint.after_micro_usd
    assert isinstance(joint.saved, Interval)
    assert round(joint.saved.estimate) == joint.saved_micro_usd
    first = joint.parts[0]
    assert first.saved_micro_usd == alone(MADE, first.change).saved_micro_usd
    if not any(isinstance(each, Tier) for each in chosen):
        assert joint.after_micro_usd >= 0
        singles = [alone(MADE, each).saved_micro_usd for each in chosen]
        if not any(isinstance(each, Cap) for each in chosen):
            assert joint.saved_micro_usd <= sum(singles)


def test_what_is_cached_is_neither_batched_nor_tiered() -> None:
    joint = together(MADE, (Tier("code", "small"), Batch("code"), Cache("code")))
    assert [type(each.change) for each in joint.parts] == [Cache, Batch, Tier]
    for part in joint.parts[1:]:
        assert 0 < part.saved_micro_usd < alone(MADE, part.change).saved_micro_usd


def test_what_cannot_be_said_takes_nothing_and_says_why() -> None:
    joint = together(MADE, (Tier("code", "fall"), Cache("maths")))
    assert joint.saved_micro_usd == 0 and isinstance(joint.saved, CannotSay)
    assert all(each.refusal is not None for each in joint.parts)
    assert "no request is of that task; there are code" in str(joint.parts[0].refusal)
    empty = together(MADE, ())
    assert isinstance(empty.saved, CannotSay) and empty.after_micro_usd == empty.before_micro_usd


@pytest.mark.slow
def test_intervals_cover_the_truth_at_about_their_level() -> None:
    """150 worlds, 95 % asked: of a tier's money and quality, which are known exactly, and of a
    cache's hits, whose truth is the mean share of all the worlds. Below 89.7 % would be three
    standard errors of the simulation; above is allowed: the wider of two errors is taken.
    """
    money = quality = 0
    shares, intervals = [], []
    for seed in range(150):
        made = world(seed)
        tier = alone(made.traffic, Tier("code", "small"))
        assert isinstance(tier.saved, Interval) and isinstance(tier.quality, Interval)
        money += tier.saved.low <= made.true_saved <= tier.saved.high
        quality += tier.quality.low <= made.true_quality <= tier.quality.high
        cached = alone(made.traffic, Cache("code")).share
        assert isinstance(cached, Interval)
        shares.append(cached.estimate)
        intervals.append(cached)
    truth = float(np.mean(shares))
    hits = sum(each.low <= truth <= each.high for each in intervals)
    assert min(money, quality, hits) >= 135, (money, quality, hits)
