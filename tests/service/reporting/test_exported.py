"""A provider's export, read: recognised and named columns, both forms, bad rows by their line."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.reporting.exported import ExportUnusable, read_export


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_a_table_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "\ufeffDate,Model,Input Tokens,Output tokens,Amount (USD)\n"
                 '2026-11-01,m,"1,000",20,$0.0015\n2026-11-01T23:59:59+00:00,m,5,1,0.0000005\n'
                 "2026-11-02T01:00:00+02:00,'m,1,1,1\n")  # fmt: skip
    export = read_export(file, {})
    assert export.columns["cost"] == "Amount (USD)" and not export.problems
    one = export.sums["2026-11-01", "m"]
    assert (one.tokens_in, one.tokens_out, one.requests) == (1_006, 22, None)
    assert one.cost_micro_usd == Decimal("1001500.5") and one.rows == 3
    assert one.grain == Decimal("50") + Decimal("0.05") + Decimal(500_000)


def test_lines_of_json_and_named_columns(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", '{"when": 1793491200, "what": "m", "cents": 12.5}\n\n'
                 '{"when": "2026-11-01", "what": "m", "cents": 0.1, "more": []}\n')  # fmt: skip
    named = {"time": "when", "model": "what", "cost": "cents"}
    export = read_export(file, named, "cents")
    assert sum(s.cost_micro_usd for s in export.sums.values()) == 126_000


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("soon,m,1,1", "line 3: 'soon' is no date"),
        ("2026-11-01,,1,1", "line 3: model is empty"),
        ("2026-11-01,m,-1,1", "line 3: input_tokens: -1 is no count"),
        ("2026-11-01,m,1.5,1", "no count"),
        ("2026-11-01,m,NaN,1", "'NaN' cannot be"),
        ("2026-11-01,m,1,abc", "line 3: cost: 'abc' is no number"),
        ("2026-11-01,m,1,1e400", "cannot be"),
        ("2026-11-01,m,1,1,9", "more cells than the head"),
    ],
)
def test_a_bad_row_is_named_by_its_line_and_left_out(tmp_path: Path, row: str, said: str) -> None:
    text = f"date,model,input_tokens,cost\n2026-11-01,m,1,1\n{row}\n2026-11-01,m,1,1\n"
    export = read_export(write(tmp_path / "a.csv", text), {})
    assert export.bad_rows == 1 and said in export.problems[0]
    assert export.sums["2026-11-01", "m"].tokens_in == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no rows"),
        ("date,model\n2026-11-01,m\n", "neither costs nor tokens"),
        ("when,model,cost\n1,m,1\n", "no column for time"),
        ("{oops\n", "line 1: it is not JSON"),
        ("date,model,cost\n", "no rows"),
    ],
)
def test_what_is_no_export_says_what_is_missing(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ExportUnusable, match=said):
        read_export(write(tmp_path / "a.csv", text), {})
    with pytest.raises(ExportUnusable, match="no column 'price'"):
        read_export(write(tmp_path / "a.csv", text), {"price": "x"})
    with pytest.raises(ExportUnusable, match="cannot be read"):
        read_export(tmp_path / "gone.csv", {})


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_it_stumble(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(b"date,model,cost\n2026-11-01,m,1\n" + data)
    try:
        read_export(file, {})
    except ExportUnusable:
        pass
