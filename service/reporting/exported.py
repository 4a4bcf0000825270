"""A provider's export of usage, read: CSV or JSON lines, columns recognised, bad rows told."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

MOST_PROBLEMS = 1_000
MOST_ROWS = 5_000_000
# What the columns are called in the exports that we know of, as they are compared: small, one `_`.
KNOWN: Mapping[str, Sequence[str]] = {
    "time": ("date", "day", "time", "timestamp", "usage_date", "created_at", "start_time",
             "start_time_iso", "bucket_start", "datetime", "date_utc"),
    "model": ("model", "model_name", "model_id", "model_permaslug", "deployment", "snapshot_id",
              "model_version"),
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
COUNTS = ("tokens_in", "tokens_out", "cached", "requests")
UNITS = {"usd": Decimal(1_000_000), "cents": Decimal(10_000), "micro": Decimal(1)}


class ExportUnusable(Exception):
    """A file that is no export that could be compared; says what is missing."""


@dataclass(slots=True)
class Sum:
    """Of a day and a model. ``grain``: what the exported figures may be off by their rounding, in
    micro-dollars; None: the export does not say.
    """

    tokens_in: int | None = None
    tokens_out: int | None = None
    cached: int | None = None
    requests: int | None = None
    cost_micro_usd: Decimal | None = None
    grain: Decimal = Decimal(0)
    rows: int = 0


@dataclass(slots=True)
class Export:
    """What an export says by day and model, its columns as they were taken, and its bad rows."""

    columns: Mapping[str, str]
    sums: dict[tuple[str, str], Sum] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    bad_rows: int = 0


def read_export(path: Path, named: Mapping[str, str], unit: str = "usd") -> Export:
    """Read an export; ``named``: what of KNOWN is in which column, where it is not recognised.

    Raises ExportUnusable where it cannot be read at all, or says too little.
    """
    unknown = [name for name in named if name not in KNOWN]
    if unknown:
        raise ExportUnusable(f"no column {unknown[0]!r}; known: {', '.join(KNOWN)}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            begin = file.read(1)
            file.seek(0)
            rows = _json_rows(file) if begin == "{" else _csv_rows(file)
            return _read(rows, named, UNITS[unit])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ExportUnusable(f"{path} cannot be read: {reason}") from None


def _csv_rows(file: Any) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    reader = csv.DictReader(file)
    for row in reader:
        if None in row:
            yield reader.line_num, "it has more cells than the head"
        else:
            yield reader.line_num, row


def _json_rows(file: Any) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_float=Decimal)
        except (ValueError, RecursionError):
            yield number, "it is not JSON"
            continue
        yield number, row if isinstance(row, dict) else "it is not a JSON object"


def _read(
    rows: Iterator[tuple[int, Mapping[str, Any] | str]], named: Mapping[str, str], unit: Decimal
) -> Export:
    export: Export | None = None
    for count, (line, row) in enumerate(rows):
        if count >= MOST_ROWS:
            raise ExportUnusable(f"it has more than {MOST_ROWS} rows; divide it")
        if export is None and not isinstance(row, str):
            export = Export(_columns(row, named))
        if export is None:
            raise ExportUnusable(f"line {line}: {row}")
        try:
            if isinstance(row, str):
                raise ValueError(row)
            _add(export, row, unit)
        except ValueError as error:
            export.bad_rows += 1
            if len(export.problems) < MOST_PROBLEMS:
                export.problems.append(f"line {line}: {error}")
    if export is None:
        raise ExportUnusable("it has no rows")
    return export


def _columns(row: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, str]:
    plain = {re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"): name for name in row}
    found: dict[str, str] = {}
    for what, names in KNOWN.items():
        if what in named:
            if named[what] not in row:
                raise ExportUnusable(f"it has no column {named[what]!r}; it has {', '.join(row)}")
            found[what] = named[what]
        elif known := [plain[name] for name in names if name in plain]:
            found[what] = known[0]
    missing = [what for what in ("time", "model") if what not in found]
    if missing:
        raise ExportUnusable(
            f"no column for {' and '.join(missing)} is recognised among {', '.join(row)}; name it "
            f"with --column {missing[0]}=NAME"
        )
    if not {"cost", "tokens_in", "tokens_out"} & set(found):
        raise ExportUnusable("it has neither costs nor tokens; name one with --column cost=NAME")
    return found


def _add(export: Export, row: Mapping[str, Any], unit: Decimal) -> None:
    columns = export.columns
    day = _day(row.get(columns["time"]))
    model = str(row.get(columns["model"]) or "").strip().lstrip("'")
    if not model:
        raise ValueError(f"{columns['model']} is empty")
    counts = {name: _count(row, columns[name]) for name in COUNTS if name in columns}
    cost, grain = None, Decimal(0)
    if "cost" in columns:
        cost, grain = _cost(row, columns["cost"], unit)
    one = export.sums.setdefault((day, model), Sum())
    one.rows += 1
    one.grain += grain
    for name, count in counts.items():
        setattr(one, name, (getattr(one, name) or 0) + count)
    if cost is not None:
        one.cost_micro_usd = (one.cost_micro_usd or Decimal(0)) + cost


def _day(value: Any) -> str:
    text = str(value if value is not None else "").strip().lstrip("'")
    try:
        if re.fullmatch(r"\d{9,10}(\.\d+)?", text):
            return datetime.fromtimestamp(float(text), UTC).date().isoformat()
        moment = datetime.fromisoformat(text.removesuffix(" UTC"))
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text[:40]!r} is no date") from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return moment.date().isoformat()


def _number(row: Mapping[str, Any], column: str) -> Decimal:
    value = row.get(column)
    text = str(0 if value in (None, "") else value).strip().lstrip("'").replace(",", "")
    try:
        found = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        raise ValueError(f"{column}: {text[:40]!r} is no number") from None
    if not found.is_finite() or abs(found) > Decimal(10) ** 15:
        raise ValueError(f"{column}: {text[:40]!r} cannot be")
    return found


def _count(row: Mapping[str, Any], column: str) -> int:
    found = _number(row, column)
    if found != found.to_integral_value() or found < 0:
        raise ValueError(f"{column}: {found} is no count")
    return int(found)


def _cost(row: Mapping[str, Any], column: str, unit: Decimal) -> tuple[Decimal, Decimal]:
    """Micro-dollars, and half of the last digit that is written."""
    found = _number(row, column)
    exponent = found.as_tuple().exponent
    assert isinstance(exponent, int)
    return found * unit, Decimal(1).scaleb(min(exponent, 0)) / 2 * unit
