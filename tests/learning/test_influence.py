"""An author's share of the evidence: bounded in every stretch, and no deadlock among equals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from learning.influence import Quota, ShareRule, Shares, greatest_pull, pull

CELL = ("arm", "task")
RULE = ShareRule(0.1, 5.0)


def test_the_ratio_of_a_share_and_where_few_are_about() -> None:
    assert RULE.ratio(20) == pytest.approx(1.0 / 9.0) == RULE.ratio(1_000)
    assert RULE.ratio(10) == pytest.approx(0.25)  # a fifth each: two over their number
    assert math.isinf(RULE.ratio(2)) and math.isinf(RULE.ratio(1))
    assert math.isinf(ShareRule(1.0, 5.0).ratio(1_000))


def test_what_an_author_can_move() -> None:
    assert pull(0.0, 0.0) == 0.0 and pull(3.0, 0.0) == 1.0 and pull(1.0, 9.0) == pytest.approx(0.1)
    assert greatest_pull(RULE, 900.0, 20) == pytest.approx(105.0 / 1_005.0)
    assert greatest_pull(RULE, 0.0, 20) == 1.0 == greatest_pull(RULE, 1e9, 2)


@pytest.mark.parametrize("seed", range(4))
def test_in_every_stretch_one_author_stays_below_burst_and_ratio(seed: int) -> None:
    rng, shares, told = np.random.default_rng(seed), Shares(RULE), []
    for _ in range(3_000):
        flood = rng.random() < rng.choice([0.02, 0.9])
        who = "false" if flood else f"honest {rng.integers(30)}"
        amount = float(rng.choice([1.0, 0.3]))
        if shares.allowance(who, CELL, 0) >= amount:
            shares.spend(who, CELL, 0, amount, amount)
            told.append(amount if who != "false" else -amount)
    # From where thirty authors are about, so that the ratio is the share's own.
    walk = np.array([-each if each < 0 else -RULE.ratio(30) * each for each in told[300:]])
    path = np.concatenate([[0.0], np.cumsum(walk)])
    worst = float((path - np.minimum.accumulate(path)).max())
    assert worst <= RULE.burst + 1e-6
    faded = 0.5 ** (np.arange(len(walk))[::-1] / 200.0)  # sums that forget keep the bound
    assert float(walk @ faded) <= RULE.burst + 1e-6


def test_a_few_equals_do_not_keep_one_another_from_being_learned() -> None:
    for authors in (1, 2, 3, 5, 9, 40):
        shares, counted = Shares(RULE), 0
        for step in range(400 * authors):
            who = f"a{step % authors}"
            if shares.allowance(who, CELL, 0) >= 1.0:
                shares.spend(who, CELL, 0, 1.0, 1.0)
                counted += 1
        assert counted >= 0.95 * 400 * authors, authors


def test_cells_are_apart_and_what_did_not_come_to_be_is_given_back() -> None:
    shares = Shares(RULE)
    for who in range(30):
        shares.spend(f"honest {who}", ("other", "task"), 0, 1.0, 1.0)
    for _ in range(5):
        shares.spend("false", CELL, 0, 1.0, 1.0)
    assert shares.allowance("false", CELL, 0) == 0.0
    assert shares.allowance("false", ("other", "task"), 0) == RULE.burst
    shares.give_back("false", CELL, 1.0, 1.0)
    assert shares.allowance("false", CELL, 0) == 1.0
    assert shares.authors("new", 1) == 32 and shares.authors("new", 3) == 1


def test_a_quota_counts_by_hour_and_day() -> None:
    quota, hour = Quota(), Quota.HOUR_US
    for at_us in (0, hour - 1, hour, 25 * hour):
        quota.add("a", at_us)
    assert [quota.count("a", hour, at) for at in (25 * hour, 24 * hour)] == [1, 0]
    assert quota.count("a", Quota.DAY_US, 0) == 3 and quota.count("a", Quota.DAY_US, 25 * hour) == 1
    quota.add("a", 25 * hour, -1)
    assert quota.count("a", hour, 25 * hour) == 0 == quota.count("b", hour, 0)


@pytest.mark.parametrize("wrong", [(0.0, 1.0), (1.1, 1.0), (0.5, -1.0), (0.5, math.nan)])
def test_rules_that_cannot_be_are_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"share|burst"):
        ShareRule(*wrong)
