"""The report's words on judgements."""

from __future__ import annotations

from service.experimentation.shadow_report import judged


def test_nothing_judged_cannot_say() -> None:
    told = judged([])
    assert told["compared"] == 0 and told["preference"] is None and told["cannot_say"]


def test_counts_and_an_interval_that_may_be_looked_at_all_day() -> None:
    found = [(1.0, True)] * 60 + [(0.0, True)] * 20 + [(0.5, True)] * 5 + [(0.5, False)] * 15
    told = judged([*found, (None, False)])
    assert (told["compared"], told["better"], told["worse"], told["even"]) == (100, 60, 20, 20)
    assert (told["changed_with_the_order"], told["unreadable"]) == (15, 1)
    assert told["low"] < told["preference"] < told["high"]
    assert told["preference"] == 0.7 and told["cannot_say"] is None
