"""Ratings as an operator is shown them: rates with intervals, bounds, and who is not counted."""

from __future__ import annotations

import json

import pytest

from experiments.statistics.response_rate import Cell
from service.monitoring.ratings import authors, report


def test_uneven_rates_are_told_with_what_they_may_hide() -> None:
    cells = [
        Cell("a", "code", 1_000, 600, 0.9, "2026-09-01"),
        Cell("b", "code", 1_000, 100, 0.8, "2026-09-01"),
        Cell("b", "talk", 50, 0, None, "2026-09-02"),
    ]
    found = report(cells)
    assert (found["verdict"], found["most_uneven_task"]) == ("uneven", "code")
    assert found["e_value"] > 1_000
    a, b = found["deployments"]
    assert (a["deployment"], a["rated"], a["mean_rating"]) == ("a", 600, pytest.approx(0.9))
    assert a["mean_at_least"] == pytest.approx(0.54) and a["mean_at_most"] == pytest.approx(0.94)
    assert a["hidden_bias"] == pytest.approx(0.4) and b["hidden_bias"] > 0.9
    assert b["rate_low"] < b["rate"] < b["rate_high"] and b["mean_weighted_by_task"] is None
    assert [(t["task"], t["deployment"], t["rated"]) for t in found["tasks"]] == [
        ("code", "a", 600), ("code", "b", 100), ("talk", "b", 0),
    ]  # fmt: skip
    json.dumps(found, allow_nan=False)


def test_without_answers_nothing_can_be_said() -> None:
    found = report([])
    assert found["verdict"] == "cannot say yet" and found["deployments"] == [] == found["tasks"]
    unrated = report([Cell("a", "code", 10, 0, None, "2026-09-01")])["deployments"][0]
    assert unrated["mean_rating"] is None and unrated["hidden_bias"] == 1.0


def test_who_is_little_believed_or_capped_comes_first() -> None:
    rows = [
        {"author": name, "ratings": n, "counted": counted, "weight": float(counted), "raters": 0,
         "mostly": mostly}
        for name, n, counted, mostly in (("plain", 10, 10, None), ("flood", 99, 9, "key_share"),
                                         ("liar", 12, 12, None))
    ]  # fmt: skip
    found = authors(rows, lambda who: 0.1 if who == "liar" else 1.0,
                    lambda who: 5.0)  # fmt: skip
    assert [(each["key_id"], each["low_trust"]) for each in found] == [
        ("liar", True), ("flood", False), ("plain", False),
    ]  # fmt: skip
    assert found[1]["mostly_for"] == "key_share" and found[2]["mostly_for"] == ""
