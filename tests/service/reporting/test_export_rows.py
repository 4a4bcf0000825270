"""The rows of an export, packed or wide, divided by whatever, as lines or as one document."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from service.reporting.export_rows import Unreadable, rows_of

TABLE = "date,model,cost\n2026-11-01,m,1\n"
ROW = {"date": "2026-11-01", "model": "m", "cost": "1"}


@pytest.mark.parametrize(
    "data",
    [
        TABLE.encode(), b"\xef\xbb\xbf" + TABLE.encode(), TABLE.encode("utf-16"),
        gzip.compress(TABLE.encode("utf-16")), TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode(), TABLE.replace("\n", "\r\n").encode(),
        json.dumps(ROW).encode(), json.dumps([ROW], indent=2).encode(),
        json.dumps({"data": [ROW]}).encode(), json.dumps({"data": [ROW]}, indent=2).encode(),
    ],
    ids=["comma", "mark", "utf-16", "packed", "semicolon", "tab", "crlf", "line", "list", "page",
         "spread page"],
)  # fmt: skip
def test_the_same_rows_in_every_form(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "export"
    file.write_bytes(data)
    assert [row for _, row in rows_of(file)] == [ROW]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04workbook", "workbook"),
        (b"date,model,cost\n\xff\xfe\xfa,m,1\n", "not text in UTF-8"),
        (gzip.compress(TABLE.encode())[:-12], "ended before"),
        (b'{"data": 3,\n"more": 1}', "no list of rows"),
        (b"a,b,a\n1,2,3\n", "'a' twice"),
    ],
    ids=["zip", "bytes", "cut", "no list", "twice"],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, data: bytes, said: str) -> None:
    file = tmp_path / "export"
    file.write_bytes(data)
    with pytest.raises(Unreadable, match=said):
        list(rows_of(file))
