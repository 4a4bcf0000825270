"""What moved: found where it did, silent where weeks are alike, honest where weeks differ."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.errors import CannotSay
from experiments.reviewing import moving
from experiments.reviewing.finding import Table, discovered
from experiments.statistics.moments import Interval
from tests.experiments.reviewing.tables import LAST_DAY, RATES, SHAPE, days


def stands(table: object) -> set[str]:
    found = discovered(moving.as_findings(table, LAST_DAY, RATES))  # type: ignore[arg-type]
    return {each.slug for each in found}


def test_weeks_that_are_alike_are_silent() -> None:
    # At most one in twenty of reviews may report anything (all would be false): P(2 of 6) < 4 %,
    # and e-BH is cautious.
    rng = np.random.default_rng(1)
    assert sum(bool(stands(days(rng))) for _ in range(6)) <= 1


@pytest.mark.parametrize(
    ("lift", "figure"),
    [({"cost_usd": 1.3}, "spend"), ({"requests": 1.4}, "requests"), ({"quality": 0.85}, "quality"),
     ({"failed": 3.0}, "error_rate")],
)  # fmt: skip
def test_what_moved_is_found_and_sized(lift: dict[str, float], figure: str) -> None:
    table = days(np.random.default_rng(2), lift)
    found = {each.slug: each for each in moving.as_findings(table, LAST_DAY, RATES)}
    assert f"moved-{figure}" in stands(table)
    change = float(found[f"moved-{figure}"].subject["change"].rstrip("%")) / 100.0
    assert change == pytest.approx(next(iter(lift.values())) - 1.0, abs=0.3 if "f" in lift else 0.6)


def test_a_move_of_one_task_is_told_of_it() -> None:
    found = stands(days(np.random.default_rng(3), {"cost_usd": 1.5}, "write"))
    assert "moved-cost_per_request-task-write" in found
    assert "moved-cost_per_request-task-extract" not in found


def test_a_deployment_that_got_worse_in_a_task_is_named() -> None:
    table = days(np.random.default_rng(8))
    here = ((table["task"] == "write") & (table["deployment"] == "sage")
            & (table["day"] > LAST_DAY - 7))  # fmt: skip
    quality = np.where(here, 0.75 * table.number("quality"), table.number("quality"))
    worse = Table({**table.columns, "quality": quality})
    found = {slug for slug in stands(worse) if "pair" in slug}
    assert found == {"moved-quality-pair-write on sage"}


def test_money_of_spend_is_what_was_spent_more() -> None:
    table = days(np.random.default_rng(4), {"cost_usd": 1.5})
    spend = next(each for each in moving.as_findings(table, LAST_DAY, RATES)
                 if each.slug == "moved-spend")  # fmt: skip
    assert isinstance(spend.money, Interval)
    rows = table["day"] > LAST_DAY - 7
    assert spend.money.estimate == pytest.approx(table.number("cost_usd")[rows].sum() / 3, rel=0.1)
    assert spend.money.low < spend.money.estimate < spend.money.high


def test_where_weeks_differ_as_wholes_a_week_that_differs_as_much_is_no_news() -> None:
    # Level 5 % of a single comparison; with weeks that wander, days alone would alarm far more.
    rng, alarms = np.random.default_rng(5), 0
    for _ in range(100):
        level = np.exp(0.1 * rng.normal(size=5))[:, None]
        values = np.log(level * SHAPE * np.exp(0.02 * rng.normal(size=(5, 7))))
        found = moving.compare_days(values[-1], values[:-1])
        assert not isinstance(found, CannotSay)
        alarms += not found[0].low <= 0.0 <= found[0].high
    assert alarms <= 13  # 5 expected; P(more than 13) < 0.1 %


def test_missing_days_are_left_out_and_too_little_is_said_so() -> None:
    rng = np.random.default_rng(6)
    values = SHAPE + 0.05 * rng.normal(size=(5, 7))
    values[-1, 2] = values[0, 2] = np.nan
    assert not isinstance(moving.compare_days(values[-1], values[:-1]), CannotSay)
    assert isinstance(moving.compare_days(values[-1], values[:1]), CannotSay)
    assert isinstance(moving.compare_days(np.full(7, np.nan), values[:-1]), CannotSay)
    assert isinstance(moving.compare_days(values[-1], np.ones((4, 7))), CannotSay)


def test_slices_that_moved_with_the_whole_are_told_with_it() -> None:
    table = days(np.random.default_rng(7), {"cost_usd": 1.5})
    kept = discovered(moving.as_findings(table, LAST_DAY, RATES))
    folded = moving.folded(list(kept))
    lead = next(each for each in folded if each.slug == "moved-spend")
    assert "Likewise in" in lead.words and "task write" in lead.words
    assert len(folded) < len(kept)
