"""The tables of what judges said: their columns in order."""

from __future__ import annotations

import pyarrow as pa

_TEXT, _LONG, _REAL, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_TIME = pa.timestamp("us")

JUDGINGS: list[tuple[str, pa.DataType]] = [
    ("id", _TEXT), ("ts", _TIME), ("kind", _TEXT), ("origin", _TEXT), ("subject", _TEXT),
    ("decision_id", _TEXT), ("task", _TEXT), ("deployment", _TEXT), ("judge", _TEXT),
    ("rubric", _TEXT), ("digest", _TEXT), ("value", _REAL), ("first", _REAL), ("second", _REAL),
    ("consistent", _FLAG), ("probability", _REAL), ("length", _LONG), ("decoration", _LONG),
    ("cost_micro_usd", _LONG), ("taught", _FLAG),
]  # fmt: skip
JUDGE_CHECKS: list[tuple[str, pa.DataType]] = [
    ("id", _TEXT), ("ts", _TIME), ("judge", _TEXT), ("digest", _TEXT), ("items", _LONG),
    ("kappa", _REAL), ("low", _REAL), ("high", _REAL), ("flipped", _REAL), ("state", _TEXT),
    ("cost_micro_usd", _LONG), ("author", _TEXT), ("report", _TEXT),
]  # fmt: skip


def fields(columns: list[tuple[str, pa.DataType]]) -> list[str]:
    """A record's fields, in the order of its columns."""
    return ["at_us" if name == "ts" else name for name, _ in columns]
