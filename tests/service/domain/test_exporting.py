"""What is written out for other programs: no spreadsheet takes any of it for a formula."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.exporting import cell, csv_lines, json_lines

HOSTILE = (
    "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1+1", "＝1", "\n=1",
    "=HYPERLINK(\"http://x\";\"y\")", "|x", "%0A=1", "\ufeff=1", "\u3000@x", "\0=1",
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_formula_is_a_text(number: int) -> None:
    told = cell(HOSTILE[number])
    assert told.startswith("'") and told[1:] == HOSTILE[number].replace("\0", "")


def test_what_is_no_formula_stays_as_it_is() -> None:
    at = datetime(2026, 3, 1, 14, 5, tzinfo=UTC)
    assert [cell(each) for each in ("river", "a=b", 3, -3, None, 0.5)] == [
        "river", "a=b", "3", "-3", "", "0.5",
    ]  # fmt: skip
    assert cell(at) == cell(at.replace(tzinfo=None)) == "2026-03-01T14:05:00.000000Z"


TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.fixed_dictionaries({"a": TEXTS, "b": TEXTS}), max_size=5))
def test_a_reader_gets_every_row_back_and_no_formula(rows: list[dict[str, str]]) -> None:
    text = "".join(csv_lines(("a", "b"), rows))
    found = list(csv.reader(io.StringIO(text, newline="")))
    assert found[0] == ["a", "b"] and len(found) == len(rows) + 1
    for row, told in zip(rows, found[1:], strict=True):
        for name, value in zip(("a", "b"), told, strict=True):
            assert not value.lstrip().startswith(("=", "+", "-", "@"))
            assert value.removeprefix("'") == row[name].replace("\0", "").removeprefix("'")
    lines = "".join(json_lines(("a", "b"), rows)).splitlines()
    assert [json.loads(line) for line in lines if line] == rows
