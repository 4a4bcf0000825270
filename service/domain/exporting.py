"""Records written as lines for other programs: JSON, or CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

# What a spreadsheet takes for the beginning of a formula, also behind spaces and in full width.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "|", "%")


def cell(value: Any) -> str:
    """A value as the text of a cell; one that a spreadsheet would run gets a quote before it."""
    if value is None:
        return ""
    text = _plain(value) if not isinstance(value, str) else value
    text = text.replace("\0", "")
    begins = text.lstrip(" \u00a0\u3000\ufeff")
    if isinstance(value, str) and begins.startswith(_FORMULA):
        return "'" + text
    return text


def csv_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The head and every row, each with its line's end; as RFC 4180 has it."""
    yield _line(columns)
    for row in rows:
        yield _line([cell(row[name]) for name in columns])


def json_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A JSON object a line."""
    for row in rows:
        told = {name: _moment(row[name]) for name in columns}
        yield json.dumps(told, default=str) + "\n"


def _line(cells: Sequence[str]) -> str:
    told = io.StringIO()
    csv.writer(told).writerow(cells)
    return told.getvalue()


def _plain(value: Any) -> str:
    found = _moment(value)
    return found if isinstance(found, str) else str(found)


def _moment(value: Any) -> Any:
    if isinstance(value, datetime):
        told = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return told.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value
