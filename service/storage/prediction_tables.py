"""The tables of what was foreseen, and of the checks that were drawn by it: columns in order."""

from __future__ import annotations

import pyarrow as pa

_TEXT, _REAL, _TIME = pa.string(), pa.float64(), pa.timestamp("us")

PREDICTIONS: list[tuple[str, pa.DataType]] = [
    ("decision_id", _TEXT), ("ts", _TIME), ("model_id", _TEXT), ("state", _TEXT),
    ("complexity", _REAL), ("ambiguity", _REAL), ("difficulty", _REAL),
    ("deployments", pa.list_(_TEXT)), ("chances", pa.list_(_REAL)), ("act", _TEXT),
    ("probability", _REAL), ("taken_out", pa.list_(_TEXT)),
]  # fmt: skip
CHECKS_DRAWN: list[tuple[str, pa.DataType]] = [
    ("decision_id", _TEXT), ("ts", _TIME), ("deployment", _TEXT), ("chance", _REAL),
    ("checked", pa.bool_()), ("probability", _REAL), ("episode", pa.int32()),
]  # fmt: skip
