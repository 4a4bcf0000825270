"""What people did: overrides with their cost, experiments, promotions and rollbacks."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.errors import CannotSay
from experiments.reviewing import conduct
from experiments.reviewing.finding import Table
from experiments.statistics.moments import Interval


def texts(**columns: list[object]) -> Table:
    return Table({name: np.array(values, dtype=object) for name, values in columns.items()}, "q")


OVERRIDES = texts(id=["o1", "o2"], action=["force", "exclude"], deployment=["sage", "brook"],
                  task=["write", ""], author=["ann", "bob"], reason=["a demo", "it fails"],
                  since=["a", "b"], until=["c", "d"])  # fmt: skip


def sums(task: str, number: float, mean: float, override: str = "") -> dict[str, object]:
    return {"override_id": override, "task": task, "requests": number, "cost_usd": number * mean,
            "squares": number * mean**2 * 1.25}  # fmt: skip


def table(*rows: dict[str, object]) -> Table:
    names = ("override_id", "task", "requests", "cost_usd", "squares")
    return texts(**{name: [row[name] for row in rows] for name in names})


def test_an_override_costs_what_it_cost_beside_the_drawn() -> None:
    under, beside = table(sums("write", 200.0, 0.004, "o1")), table(sums("write", 900.0, 0.001))
    forced, excluded = conduct.overrides(OVERRIDES, under, beside)
    assert isinstance(forced.money, Interval) and forced.money.estimate == pytest.approx(0.6)
    assert forced.money.low > 0.0 and "no randomised comparison" in forced.words
    assert isinstance(excluded.money, CannotSay) and "no decision" in str(excluded.money)
    few = conduct.overrides(OVERRIDES, table(sums("write", 5.0, 0.004, "o1")), beside)[0]
    assert isinstance(few.money, CannotSay)


def test_steps_and_rollbacks_are_told() -> None:
    steps = texts(experiment=["a@1", "a@1"], at=["x", "y"], step=["start", "roll back"],
                  after=["running", "rolled back"], percent=[1, 0], author=["ann", "headgate"],
                  reason=["go", "errors"])  # fmt: skip
    exposed = texts(experiment=["a@1", "b@1"], variant=["control", "small"], requests=[10, 20])
    back, other = conduct.steps(steps, exposed)
    assert back.title == "a@1 was rolled back" and "errors" in back.words
    assert other.title.startswith("b@1") and "small 20" in other.words


def test_promotions_are_told() -> None:
    made = texts(at=["x"], version_id=["0193f2aa-1"], from_version_id=[""], how=["rolled back"],
                 author=["headgate"], reason=["errors"])  # fmt: skip
    (found,) = conduct.promotions(made)
    assert "0193f2aa" in found.title and "rolled back" in found.title
