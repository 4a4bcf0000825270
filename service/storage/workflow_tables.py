"""The tables of workflows: their columns in order."""

from __future__ import annotations

import pyarrow as pa

from service.domain.workflows import WorkflowRun, WorkflowStep

_TEXT, _LONG, _REAL = pa.string(), pa.int64(), pa.float64()
_TIME = pa.timestamp("us")

_RUNS: list[tuple[str, pa.DataType]] = [
    ("id", _TEXT), ("ts", _TIME), ("began_at", _TIME), ("key_id", _TEXT), ("tenant", _TEXT),
    ("workflow", _TEXT), ("version", _LONG), ("digest", _TEXT), ("mode", _TEXT), ("state", _TEXT),
    ("code", _TEXT), ("step", _TEXT), ("steps", _LONG), ("calls", _LONG), ("tokens_in", _LONG),
    ("tokens_out", _LONG), ("cost_micro_usd", _LONG), ("latency_s", _REAL), ("resumed", _LONG),
]  # fmt: skip
_STEPS: list[tuple[str, pa.DataType]] = [
    ("run_id", _TEXT), ("ts", _TIME), ("workflow", _TEXT), ("path", _TEXT), ("step", _TEXT),
    ("kind", _TEXT), ("state", _TEXT), ("code", _TEXT), ("deployment", _TEXT),
    ("decisions", pa.list_(_TEXT)), ("calls", _LONG), ("tokens_in", _LONG), ("tokens_out", _LONG),
    ("cost_micro_usd", _LONG), ("began_s", _REAL), ("latency_s", _REAL),
]  # fmt: skip
WORKFLOWS: dict[type, tuple[str, list[tuple[str, pa.DataType]]]] = {
    WorkflowRun: ("workflow_runs", _RUNS),
    WorkflowStep: ("workflow_steps", _STEPS),
}
_RENAMED = {"ts": "at_us", "began_at": "began_us"}


def attributes(columns: list[tuple[str, pa.DataType]]) -> list[str]:
    """A record's fields, in the order of its columns."""
    return [_RENAMED.get(name, name) for name, _ in columns]
