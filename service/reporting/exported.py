"""A provider's export of usage, read: CSV or JSON, columns recognised, bad rows told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from service.reporting.export_cells import check_currency, count_of, day_of, summed, text_of
from service.reporting.export_rows import Unreadable, rows_of

MOST_PROBLEMS = 1_000
MOST_ROWS = 5_000_000
# What the columns are called in the exports that we know of, as they are compared: small, one `_`.
KNOWN: Mapping[str, Sequence[str]] = {
    "time": ("date", "day", "time", "timestamp", "usage_date", "created_at", "start_time",
             "start_time_iso", "bucket_start", "datetime", "date_utc", "usage_date_utc"),
    "model": ("model", "model_name", "model_id", "model_permaslug", "deployment", "snapshot_id",
              "model_version", "line_item"),
    "tokens_in": ("input_tokens", "prompt_tokens", "tokens_in", "tokens_prompt",
                  "n_context_tokens_total", "usage_input_tokens"),
    "tokens_out": ("output_tokens", "completion_tokens", "tokens_out", "tokens_completion",
                   "n_generated_tokens_total", "usage_output_tokens"),
    "cached": ("cached_tokens", "input_cached_tokens", "cache_read_input_tokens",
               "n_cached_context_tokens_total", "tokens_cached"),
    "requests": ("requests", "n_requests", "num_model_requests", "num_requests", "calls"),
    "cost": ("cost", "cost_usd", "usd", "amount", "amount_value", "amount_usd", "total_cost",
             "cost_total", "cost_in_usd"),
}  # fmt: skip
# Where the input stands in several columns.
PARTS: Mapping[str, Sequence[str]] = {
    "tokens_in": ("usage_input_tokens_no_cache", "usage_input_tokens_cache_write_5m",
                  "usage_input_tokens_cache_write_1h", "usage_input_tokens_cache_read"),
    "cached": ("usage_input_tokens_cache_read",),
}  # fmt: skip
CURRENCIES = ("currency", "amount_currency", "billing_currency")
TOTALS = ("total", "totals", "grand total", "sum")
COUNTS = ("tokens_in", "tokens_out", "cached", "requests")
UNITS = {"usd": Decimal(1_000_000), "cents": Decimal(10_000), "micro": Decimal(1)}


class ExportUnusable(Exception):
    """A file that is no export that could be compared; says what is missing."""


@dataclass(slots=True)
class Sum:
    """Of a day and a model; None: the export does not say. ``grain``: what its costs may be off by
    their rounding, in micro-dollars; ``costs``: how many there are.
    """

    tokens_in: int | None = None
    tokens_out: int | None = None
    cached: int | None = None
    requests: int | None = None
    cost_micro_usd: Decimal | None = None
    grain: Decimal = Decimal(0)
    rows: int = 0
    costs: int = 0


@dataclass(slots=True)
class Export:
    """What an export says by day and model, its columns as they were taken, and its bad rows.
    ``exponent``: of the finest digit of any cost, since all are rounded alike and zeros may be left
    out behind; ``currency``: the column that says which costs are in.
    """

    columns: Mapping[str, str]
    sums: dict[tuple[str, str], Sum] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    bad_rows: int = 0
    currency: str | None = None
    exponent: int = 0


class Form(NamedTuple):
    """How cells are to be taken: the unit of costs, the form of dates where it is no usual one."""

    unit: str = "usd"
    dates: str = ""


USUAL = Form()


def read_export(path: Path, named: Mapping[str, str], form: Form = USUAL) -> Export:
    """Read an export; ``named``: what of KNOWN is in which column (or several, joined by ``+``),
    where it is not recognised.

    Raises ExportUnusable where it cannot be read at all, or says too little.
    """
    unknown = [name for name in named if name not in KNOWN]
    if unknown:
        raise ExportUnusable(f"no column {unknown[0]!r}; known: {', '.join(KNOWN)}")
    try:
        return _read(rows_of(path), named, form)
    except Unreadable as error:
        raise ExportUnusable(f"{path} cannot be read: {error}") from None


def _read(
    rows: Iterator[tuple[int, Mapping[str, Any] | str]], named: Mapping[str, str], form: Form
) -> Export:
    export: Export | None = None
    for count, (line, row) in enumerate(rows):
        if count >= MOST_ROWS:
            raise ExportUnusable(f"it has more than {MOST_ROWS} rows; divide it")
        if export is None and not isinstance(row, str):
            export = Export(_columns(row, named), currency=_currency(row))
        if export is None:
            raise ExportUnusable(f"line {line}: {row}")
        try:
            if isinstance(row, str):
                raise ValueError(row)
            if text_of(row.get(export.columns["time"])).lower() not in TOTALS:
                _add(export, row, form)
        except ValueError as error:
            export.bad_rows += 1
            if len(export.problems) < MOST_PROBLEMS:
                export.problems.append(f"line {line}: {error}")
    if export is None:
        raise ExportUnusable("it has no rows")
    half = Decimal(1).scaleb(export.exponent) / 2 * UNITS[form.unit]
    for each in export.sums.values():
        each.grain = each.costs * half
    return export


def _columns(row: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, str]:
    plain = _plain(row)
    found: dict[str, str] = {}
    for what, names in KNOWN.items():
        if what in named:
            parts = [named[what]] if named[what] in row else named[what].split("+")
            for part in parts:
                if part not in row:
                    raise ExportUnusable(f"it has no column {part!r}; it has {', '.join(row)}")
            found[what] = named[what]
        elif known := [plain[name] for name in names if name in plain]:
            found[what] = known[0]
        elif parts := [plain[name] for name in PARTS.get(what, ()) if name in plain]:
            found[what] = "+".join(parts)
    missing = [what for what in ("time", "model") if what not in found]
    if missing:
        raise ExportUnusable(
            f"no column for {' and '.join(missing)} is recognised among {', '.join(row)}; name it "
            f"with --column {missing[0]}=NAME"
        )
    if not {"cost", "tokens_in", "tokens_out"} & set(found):
        raise ExportUnusable("it has neither costs nor tokens; name one with --column cost=NAME")
    return found


def _currency(row: Mapping[str, Any]) -> str | None:
    plain = _plain(row)
    return next((plain[name] for name in CURRENCIES if name in plain), None)


def _plain(row: Mapping[str, Any]) -> dict[str, str]:
    return {re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"): name for name in row}


def _add(export: Export, row: Mapping[str, Any], form: Form) -> None:
    columns = export.columns
    day = day_of(row.get(columns["time"]), form.dates)
    model = text_of(row.get(columns["model"]))
    if _plain({columns["model"]: 0}).get("line_item"):
        model = model.partition(",")[0].strip()  # as: name of a model, input
    if not model:
        raise ValueError(f"{columns['model']} is empty")
    counts = {name: count_of(row, columns[name]) for name in COUNTS if name in columns}
    cost = None
    if "cost" in columns:
        check_currency(row, export.currency)
        cost = summed(row, columns["cost"])
        exponent = cost.as_tuple().exponent
        assert isinstance(exponent, int)
        export.exponent = min(export.exponent, exponent)
    one = export.sums.setdefault((day, model), Sum())
    one.rows += 1
    for name, count in counts.items():
        setattr(one, name, (getattr(one, name) or 0) + count)
    if cost is not None:
        one.costs += 1
        one.cost_micro_usd = (one.cost_micro_usd or Decimal(0)) + cost * UNITS[form.unit]
