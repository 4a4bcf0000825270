"""The quarterly review: whom to retire, who earns a place, what prices did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.reviewing import quarterly
from experiments.reviewing.finding import Finding, Table
from experiments.reviewing.swapping import Drawn
from tests.experiments.reviewing.tables import RATES, drawn

QUARTER = quarterly.Quarter("2026-Q4", "2026-10-01", "2026-12-31", "four weeks", "now")
WORSE = {"cost": (0.001, 0.001, 0.004), "quality": (0.8, 0.8, 0.5)}


def weeks(task: str = "extract", **truth: object) -> list[Drawn]:
    return [replace(drawn(np.random.default_rng(seed), 2_000, **truth), task=task)  # type: ignore[arg-type]
            for seed in range(4)]  # fmt: skip


def found(tasks: list[Drawn], **tables: Table) -> dict[str, Finding]:
    told = quarterly.review(QUARTER, tasks, RATES, tables, [])
    return {each.slug: each for each in told.findings}


def test_what_is_dominated_everywhere_is_to_be_retired() -> None:
    told = found([*weeks(**WORSE), *weeks("write", **WORSE)])
    assert "retire-sage" in told and "extract:" in told["retire-sage"].words
    assert not any(slug.startswith("retire-") and slug != "retire-sage" for slug in told)


def test_what_is_good_for_one_task_stays() -> None:
    better = {"cost": (0.001, 0.001, 0.001), "quality": (0.6, 0.6, 0.9)}
    told = found([*weeks(**WORSE), *weeks("write", **better)])
    assert "retire-sage" not in told and "candidate-write-sage" in told


def test_alike_nothing_is_retired_or_preferred() -> None:
    assert found(weeks()) == {}


def test_weeks_add() -> None:
    one = next(iter(quarterly._gather(weeks()[:1])[0]))
    four = next(iter(quarterly._gather(weeks())[0]))
    assert four.moved == pytest.approx(4 * one.moved, rel=0.1)
    assert four.changes["cost_usd"].rows == 8_000


def test_what_is_never_drawn_is_said_to_have_no_share() -> None:
    made = drawn(np.random.default_rng(0), 8_000)
    arm = np.where(made.drawn == 2, 0, made.drawn)
    arm[0] = 2
    assert "unused-sage" in found([replace(made, drawn=arm)])


def prices(out_last: float) -> Table:
    rng = np.random.default_rng(3)
    rows = []
    for month, price in (("2026-10", 4.0), ("2026-12", out_last)):
        i, o = rng.integers(100, 2_000, 500), rng.integers(50, 900, 500)
        c = 0.5 * i + price * o
        rows.append((month, i.sum(), o.sum(), (i * i).sum(), (i * o).sum(), (o * o).sum(),
                     (i * c).sum(), (o * c).sum()))  # fmt: skip
    names = ("month", "tokens_in", "tokens_out", "ii", "io", "oo", "ic", "oc")
    columns = {name: np.array([row[at] for row in rows]) for at, name in enumerate(names)}
    more = {"deployment": np.array(["fall", "fall"]), "calls": np.array([500, 500]),
            "days": np.array([7, 7])}  # fmt: skip
    return Table(columns | more, "q")


def test_prices_are_solved_from_what_calls_cost() -> None:
    told = found(weeks(), prices=prices(3.0))["price-fall"]
    assert "out $4 and $3" in told.words and "in cost $0.5 in 2026-10" in told.words
    assert found(weeks(), prices=prices(4.0)) == {}


def test_capability_tells_ties() -> None:
    table = Table({
        "task": np.array(["write"] * 3), "deployment": np.array(["a", "b", "c"]),
        "rated": np.array([400, 400, 400]), "quality": np.array([320.0, 316.0, 200.0]),
        "squares": np.array([320.0, 316.0, 200.0]),
    }, "q")  # fmt: skip
    told = found(weeks(), qualities=table)["capability-write"]
    assert told.title == "write: a and b in front"
