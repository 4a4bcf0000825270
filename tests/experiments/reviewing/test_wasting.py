"""Dominated and dear deployments: found with confidence, and silent where all are alike."""

from __future__ import annotations

import numpy as np

from experiments.reviewing import wasting
from experiments.reviewing.finding import Finding, Rates, discovered
from experiments.reviewing.swapping import swaps
from experiments.statistics.moments import Interval
from tests.experiments.reviewing.tables import RATES, drawn


def asked(seed: int, rates: Rates = RATES, **truth: object) -> list[Finding]:
    found = list(swaps(drawn(np.random.default_rng(seed), **truth), ("acme", "bolt")))  # type: ignore[arg-type]
    candidates = [*wasting.dominated(found), *wasting.high_cost_low_value(found, rates)]
    return wasting.best_of(discovered(candidates))


def test_worse_and_dearer_is_dominated_and_told_once() -> None:
    found = asked(0, cost=(0.001, 0.001, 0.004), quality=(0.8, 0.8, 0.5))
    assert [(each.kind, each.subject["deployment"]) for each in found] == [("dominated", "sage")]
    money = found[0].money
    assert isinstance(money, Interval) and 0.0 < money.low < money.high
    assert "effective draws" in found[0].words and "<<since>>" in found[0].sql


def test_dearer_and_no_better_is_waste_and_names_the_price_of_a_point() -> None:
    found = asked(1, number=8_000, cost=(0.001, 0.001, 0.06), quality=(0.8, 0.8, 0.8))
    assert found and all(each.kind in ("waste", "dominated") for each in found)
    assert {each.subject["deployment"] for each in found} == {"sage"}
    assert "quality" in found[0].words


def test_what_is_worth_its_money_is_left_alone() -> None:
    assert asked(2, cost=(0.001, 0.001, 0.002), quality=(0.5, 0.5, 0.9)) == []


def test_all_alike_is_silent() -> None:
    # False discoveries at most one in twenty reviews: P(2 of 6) < 4 %, and e-BH is cautious.
    assert sum(bool(asked(seed)) for seed in range(10, 16)) <= 1


def test_without_rates_or_ratings_only_domination_can_be_told() -> None:
    dear = {"cost": (0.001, 0.001, 0.004), "quality": (0.8, 0.8, 0.5)}
    assert {each.kind for each in asked(3, Rates(), **dear)} == {"dominated"}
    assert asked(3, rated=0.0, **dear) == []
