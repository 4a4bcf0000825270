"""Ours beside theirs: every kind of difference is found, and nothing is made up for elsewhere."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from service.reporting.exported import Export, Sum
from service.reporting.reconciling import Difference, reconcile


def ours(day: str = "2026-11-01", **more: Any) -> dict[str, Any]:
    row = {"day": day, "deployment": "fast", "model": "gpt-x", "provider": "north", "calls": 10,
           "tokens_in": 1_000, "tokens_out": 100, "cached_tokens": 0,
           "cost_micro_usd": 5_000}  # fmt: skip
    return row | more


def theirs(cost: str | None = "5000", name: str = "gpt-x", **more: Any) -> Export:
    one = Sum(1_000, 100, 0, 10, None if cost is None else Decimal(cost), rows=1)
    for field, value in more.items():
        setattr(one, field, value)
    columns = {"time": "date", "model": "model"} | ({} if cost is None else {"cost": "cost"})
    return Export(columns, {("2026-11-01", name): one})


CASES = [
    (theirs(), [ours()], Difference.NONE, True),
    (theirs("5004.9"), [ours()], Difference.ROUNDING, True),
    (theirs("5006"), [ours()], Difference.PRICE, False),
    (theirs("5006", grain=Decimal(5_000)), [ours()], Difference.ROUNDING, False),
    (theirs(tokens_in=1_001), [ours()], Difference.TOKENS, True),
    (theirs("5500", requests=11), [ours()], Difference.TOKENS, False),
    (theirs(name="gpt-x-2026-08-06"), [ours()], Difference.NONE, True),
    (theirs(name="vendor/gpt-x"), [ours()], Difference.NONE, True),
    (theirs(name="fast"), [ours()], Difference.NONE, True),
    (theirs(name="gpt-y"), [], Difference.MISSING_HERE, False),
    (theirs(None), [ours()], Difference.NONE, True),
    (theirs(None, tokens_out=90), [ours()], Difference.TOKENS, False),
]


@pytest.mark.parametrize(("export", "rows", "why", "within"), CASES)
def test_each_difference_has_its_name(
    export: Export, rows: list[dict[str, Any]], why: Difference, within: bool
) -> None:
    found = reconcile(export, rows, {})
    assert [line.why for line in found.lines] == [why] and found.within is within


def test_two_deployments_of_a_model_are_one_and_other_providers_are_not_asked() -> None:
    half = {"calls": 5, "tokens_in": 500, "tokens_out": 50, "cost_micro_usd": 2_500}
    rows = [ours(**half), ours(deployment="other", **half), ours(model="m", provider="south"),
            ours(day="2026-12-01")]  # fmt: skip
    found = reconcile(theirs(), rows, {})
    assert found.within and len(found.lines) == 1
    strict = reconcile(theirs(), rows, {}, "south")
    assert [line.why for line in strict.lines] == [
        Difference.MISSING_HERE, Difference.MISSING_THERE]  # fmt: skip


def test_what_is_missing_there_counts_and_what_cancels_out_does_not_help() -> None:
    other = {"deployment": "slow", "model": "gpt-z"}
    found = reconcile(theirs(), [ours(), ours(**other, cost_micro_usd=4)], {})
    assert found.lines[1].why is Difference.MISSING_THERE and found.within
    export = theirs("5100")
    export.sums["2026-11-01", "gpt-z"] = Sum(1_000, 100, 0, 10, Decimal(4_900), rows=1)
    found = reconcile(export, [ours(), ours(**other)], {})
    assert found.theirs == found.ours and found.gross == Decimal("0.02") and not found.within


def test_a_name_that_nobody_knows_can_be_told() -> None:
    assert not reconcile(theirs(name="m1"), [ours()], {}).within
    assert reconcile(theirs(name="m1"), [ours()], {"m1": "gpt-x"}).within


def test_of_nothing_nothing_can_be_said() -> None:
    empty = reconcile(theirs("0"), [ours(cost_micro_usd=7)], {})
    assert empty.gross is None and not empty.within
    assert reconcile(theirs("0", tokens_in=0, tokens_out=0), [], {}).within
    unread = reconcile(Export({"cost": "cost"}), [ours()], {})
    assert unread.gross is None and not unread.within
