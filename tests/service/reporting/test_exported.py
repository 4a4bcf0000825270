"""A provider's export, read: recognised and named columns, both forms, bad rows by their line."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.reporting.exported import ExportUnusable, Form, read_export


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
    assert one.grain == 3 * Decimal("0.05"), "all are rounded as the finest is"


def test_lines_of_json_and_named_columns(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", '{"when": 1793491200, "what": "m", "cents": 12.5}\n\n'
                 '{"when": "2026-11-01", "what": "m", "cents": 0.1, "more": []}\n')  # fmt: skip
    named = {"time": "when", "model": "what", "cost": "cents"}
    export = read_export(file, named, Form("cents"))
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
        ("date,model,cost,cost\n2026-11-01,m,1,2\n", "its head has 'cost' twice"),
    ],
)
def test_what_is_no_export_says_what_is_missing(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ExportUnusable, match=said):
        read_export(write(tmp_path / "a.csv", text), {})
    with pytest.raises(ExportUnusable, match="no column 'price'"):
        read_export(write(tmp_path / "a.csv", text), {"price": "x"})
    with pytest.raises(ExportUnusable, match="cannot be read"):
        read_export(tmp_path / "gone.csv", {})


def test_exports_as_providers_give_them(tmp_path: Path) -> None:
    costs = write(
        tmp_path / "costs.csv",
        "start_time,start_time_iso,amount_value,amount_currency,"
        "line_item\n1793491200,2026-11-01T00:00:00+00:00,0.25,usd,"
        '"m-1, input"\n1793491200,2026-11-01T00:00:00+00:00,0.5,usd,"m-1, output"\n'
        '1793491200,2026-11-01T00:00:00+00:00,1,eur,"m-1, output"\nTotal,,0.75,usd,\n',
    )
    export = read_export(costs, {})
    assert export.sums["2026-11-01", "m-1"].cost_micro_usd == 750_000
    assert export.problems == ["line 4: amount_currency: 'eur': dollars alone can be held against "
                               "the ledger"]  # fmt: skip
    parts = "usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,"
    usage = write(
        tmp_path / "usage.csv",
        f"usage_date_utc;model_version;{parts.replace(',', ';')}"
        "usage_input_tokens_cache_read;usage_output_tokens\n2026-11-01;m;10;5;7;3\n",
    )
    one = read_export(usage, {}).sums["2026-11-01", "m"]
    assert (one.tokens_in, one.cached, one.tokens_out) == (22, 7, 3)
    bucket = {"start_time": 1793491200, "results": [
        {"model": "m", "input_tokens": 3, "output_tokens": 4, "num_model_requests": 2},
        {"model": "n", "amount": {"value": 0.5, "currency": "usd"}, "input_tokens": 1},
    ]}  # fmt: skip
    text = json.dumps({"object": "page", "data": [bucket]}, indent=1)
    page = write(tmp_path / "page.json", text)
    found = read_export(page, {}).sums
    assert (found["2026-11-01", "m"].requests, found["2026-11-01", "n"].tokens_in) == (2, 1)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_it_stumble(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(b"date,model,cost\n2026-11-01,m,1\n" + data)
    try:
        read_export(file, {})
    except ExportUnusable:
        pass
