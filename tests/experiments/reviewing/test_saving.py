"""Savings beside fixed choices: right by estimate, refused where the log is silent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.errors import CannotSay
from experiments.reviewing import saving
from experiments.reviewing.finding import Table
from tests.experiments.reviewing.tables import RATES, drawn

COST, QUALITY = (0.001, 0.002, 0.004), (0.6, 0.7, 0.9)


def before() -> Table:
    names = ["brook", "granite", "sage"]
    return Table({
        "task": np.array(["extract"] * 3), "deployment": np.array(names),
        "requests": np.full(3, 1_000), "cost_usd": np.array(COST) * 1_000,
        "quality": np.array(QUALITY) * 300, "rated": np.full(3, 300),
    })  # fmt: skip


def test_choices_come_from_the_weeks_before() -> None:
    best, cheapest, strongest = saving.choices_of(before(), RATES)
    assert best.by_task == {"extract": "sage"}  # 0.9 - 0.004 / 0.05 is the most
    assert cheapest.by_task == {"extract": "brook"}
    assert strongest.by_task == {"extract": "sage"}


def test_the_estimate_is_the_truth_within_its_interval() -> None:
    missed = 0
    for seed in range(30):
        made = drawn(np.random.default_rng(seed), 2_000, COST, QUALITY)
        found = saving.always(made, "sage")
        assert not isinstance(found, CannotSay)
        paid = float((made.propensities * np.array(COST)).sum())
        interval = found[0].interval()
        missed += not interval.low <= 0.004 * len(made) - paid <= interval.high
    assert missed <= 5  # 1.5 expected; P(more than 5) < 0.4 %


def test_an_account_says_what_it_covers_and_why_not_all() -> None:
    made = drawn(np.random.default_rng(1), 3_000, COST, QUALITY)
    rare = replace(made, task="write", drawn=np.where(made.drawn == 2, 0, made.drawn))
    choice = saving.Choice(
        "strongest", "always the strongest", {"extract": "sage", "write": "sage"}
    )
    said = [saving.of_task(each, [choice]) for each in (made, rare)]
    (found,) = saving.savings([choice], said, 6_000.0)
    assert found.covered == pytest.approx(0.5) and len(found.refused) == 1
    told = saving.as_finding(found, 6_000.0, "SELECT 1")
    assert "more than was spent" in told.words and "not said: sage in write" in told.words
    (nothing,) = saving.savings([choice], said[1:], 3_000.0)
    assert isinstance(saving.as_finding(nothing, 3_000.0, "").money, CannotSay)


def test_cheaper_is_told_as_less() -> None:
    made = drawn(np.random.default_rng(2), 3_000, COST, QUALITY)
    choice = saving.Choice("cheapest", "always the cheapest", {"extract": "brook"})
    (found,) = saving.savings([choice], [saving.of_task(made, [choice])], 3_000.0)
    assert "less than was spent" in saving.as_finding(found, 3_000.0, "").words
