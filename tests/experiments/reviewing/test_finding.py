"""Findings: what stands of many, money in words, tables that refuse what does not fit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.errors import CannotSay, ExperimentError
from experiments.reviewing.finding import (
    Finding,
    Table,
    discovered,
    looked_at,
    money_told,
    scaled,
    usd,
    weight_of,
)
from experiments.statistics.moments import Interval


def one(evidence: float | None, money: Interval | CannotSay | None = None) -> Finding:
    amount = Interval(1.0, 0.5, 2.0) if money is None else money
    return Finding("waste", f"s{evidence}", "", "", amount, evidence, "", "")


def test_what_stands_is_bounded_over_all_that_was_looked_at() -> None:
    alone = [one(4.0)]
    assert len(discovered(alone)) == 1  # e^4 > 1 / 0.05
    among = [*alone, *(one(0.0) for _ in range(99))]
    assert discovered(among) == ()
    assert discovered([one(None), *among]) == (one(None),)
    assert looked_at([one(None), *among]) == {"waste": 100}


def test_money_is_weighed_by_the_least_at_stake() -> None:
    assert weight_of(one(1.0)) == 0.5
    assert weight_of(one(1.0, Interval(-3.0, -4.0, -2.0))) == 2.0
    assert weight_of(one(1.0, Interval(0.1, -1.0, 2.0))) == 0.0
    assert weight_of(one(1.0, CannotSay("none"))) < 0.0


def test_money_in_words_and_numbers() -> None:
    assert [usd(each) for each in (1234.5, 3.0, 0.0, 0.00217, -2.0)] == [
        "$1,234", "$3.00", "$0.00", "$0.00217", "-$2.00"]  # fmt: skip
    assert money_told(Interval(1.0, -math.inf, 2.0)) == {"estimate": 1.0, "low": None, "high": 2.0}
    assert money_told(CannotSay("no rates")) == {"cannot_say": "no rates"}
    assert scaled(Interval(1.0, 0.0, 3.0), -2.0) == Interval(-2.0, -6.0, 0.0)


def test_tables_refuse_what_does_not_fit() -> None:
    with pytest.raises(ExperimentError, match="a 1, b 2"):
        Table({"a": np.zeros(1), "b": np.zeros(2)})
    with pytest.raises(ExperimentError, match="lacks c"):
        Table({"a": np.zeros(1)})["c"]
    assert len(Table({})) == 0
