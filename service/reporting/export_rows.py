"""The rows of a provider's export: CSV by its head, JSON lines, or a page of a usage interface."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

Row = Mapping[str, Any] | str  # or why it is none
DIVIDERS = ",;\t|"
_GZIP, _ZIP = b"\x1f\x8b", b"PK"
_WIDE = (b"\xff\xfe", b"\xfe\xff")


class Unreadable(Exception):
    """A file that holds no rows that could be read; says why."""


def rows_of(path: Path) -> Iterator[tuple[int, Row]]:
    """Each row with its line; raises Unreadable."""
    try:
        begin = _begin(path, open)
        if begin == _ZIP:
            raise Unreadable("it is a workbook or an archive; save the sheet, or its file, as CSV")
        opened: Any = gzip.open if begin == _GZIP else open
        coded = "utf-16" if _begin(path, opened) in _WIDE else "utf-8-sig"
        with opened(path, "rt", encoding=coded, newline="") as file:
            yield from _rows(file)
    except UnicodeError:
        raise Unreadable("it is not text in UTF-8 or UTF-16; save it as CSV in UTF-8") from None
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise Unreadable(getattr(error, "strerror", None) or str(error)) from None


def _begin(path: Path, opened: Any) -> bytes:
    with opened(path, "rb") as raw:
        found: bytes = raw.read(2)
    return found


def _rows(file: io.TextIOBase) -> Iterator[tuple[int, Row]]:
    first = file.readline(1_000_000)
    while first and not first.strip():
        first = file.readline(1_000_000)
    file.seek(0)
    if first.lstrip()[:1] not in ("{", "["):
        yield from _table(file, first)
    elif _is_line(first):
        yield from _lines(file)
    else:
        yield from _page(file)


def _table(file: io.TextIOBase, head: str) -> Iterator[tuple[int, Row]]:
    divider = max(DIVIDERS, key=lambda each: len(next(csv.reader([head], delimiter=each), [])))
    reader = csv.DictReader(file, delimiter=divider)
    names = list(reader.fieldnames or ())
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise Unreadable(f"its head has {twice!r} twice; rename one")
    for row in reader:
        if None in row:
            yield reader.line_num, "it has more cells than the head"
        else:
            yield reader.line_num, row


def _is_line(text: str) -> bool:
    """Whether a line is a row by itself, and not the begin of a document."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and not isinstance(found.get("data"), list)


def _lines(file: io.TextIOBase) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_float=Decimal)
        except (ValueError, RecursionError):
            yield number, "it is not JSON"
            continue
        yield number, row if isinstance(row, dict) else "it is not a JSON object"


def _page(file: io.TextIOBase) -> Iterator[tuple[int, Row]]:
    """A document: a list of rows, or ``data`` with such, or with buckets of a time that have
    ``results``; a row of ``amount: {value, currency}`` has these as columns of their own.
    """
    try:
        found = json.loads(file.read(), parse_float=Decimal)
    except (ValueError, RecursionError):
        yield 1, "it is not JSON"
        return
    rows = found.get("data") if isinstance(found, dict) else found
    if not isinstance(rows, list):
        raise Unreadable("it has no list of rows under data")
    for number, each in enumerate(rows, 1):
        if not isinstance(each, dict):
            yield number, "it is not a JSON object"
            continue
        results = each.get("results")
        outer = {name: value for name, value in each.items() if name != "results"}
        for result in results if isinstance(results, list) else [{}]:
            yield number, _flat(outer | result) if isinstance(result, dict) else "it is no object"


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    amount = row.get("amount")
    if not isinstance(amount, dict):
        return row
    return row | {"amount": amount.get("value"), "amount_currency": amount.get("currency")}
