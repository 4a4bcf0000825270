"""The weekly review as a whole: what is there, what is missing, and the same each time."""

from __future__ import annotations

import json

import numpy as np

from experiments.reviewing import weekly
from experiments.reviewing.finding import Rates, Review, Table
from tests.experiments.reviewing.tables import LAST_DAY, RATES, days, drawn

SPAN = weekly.Span("2026-W47", "2026-11-16", "2026-11-22", LAST_DAY, "2026-11-22")


def asked(table: Table | None, *tasks: object, rates: Rates = RATES) -> Review:
    tables = {} if table is None else {"days": table}
    return weekly.review(SPAN, weekly.Tables(tables, tasks, rates, ["a file is missing"]))  # type: ignore[arg-type]


def test_all_of_it_together() -> None:
    rng = np.random.default_rng(0)
    table = days(rng, {"cost_usd": 1.5})
    made = drawn(rng, cost=(0.001, 0.001, 0.004), quality=(0.8, 0.8, 0.5))
    found = asked(table, made)
    kinds = [each.kind for each in found.findings]
    assert {"moved", "dominated", "savings"} <= set(kinds)
    assert kinds == sorted(kinds, key=weekly.KINDS.index)
    assert found.missing == ("a file is missing",)
    assert found.looked["moved"] > 30 and found.looked["dominated"] == 6
    assert set(found.charts["spend"]) == {"brook", "granite", "sage"}
    assert json.loads(json.dumps(found.to_dict()))["figures"]["requests"] > 0
    assert asked(table, made).to_dict() == found.to_dict()


def test_a_week_like_the_others_reports_facts_alone() -> None:
    rng = np.random.default_rng(1)
    found = asked(days(rng), drawn(rng))
    assert {each.kind for each in found.findings} <= {"savings", "moved"}
    assert [each.slug for each in found.findings if each.kind == "moved"] == ["spend-decomposed"]


def test_what_is_missing_is_said() -> None:
    table = days(np.random.default_rng(2))
    gone = table.where(table["day"] != LAST_DAY - 3)
    assert "no decisions on Thursday" in " ".join(asked(gone).missing)
    empty = table.where(table["day"] <= LAST_DAY - 7)
    assert "the week has no decisions" in " ".join(asked(empty).missing)
    alone = asked(table.where(table["day"] > LAST_DAY - 7))
    assert "no weeks before it" in " ".join(alone.missing)
    some = table.where(table["day"] != LAST_DAY - 10)
    assert "1 of the 28 days before" in " ".join(asked(some).missing)
    unrated = Table(dict(table.columns) | {"rated": np.zeros(len(table))})
    assert "nothing was rated" in " ".join(asked(unrated).missing)
    assert asked(unrated).figures["mean_quality"] is None
    assert asked(None).findings == ()
