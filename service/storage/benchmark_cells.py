"""The benchmarks' cells: as rows of the log, and read back."""

from __future__ import annotations

from service.domain.capability import BenchmarkCell
from service.storage.cases import rows_of, us
from service.storage.database import Cursor

_NAMES = (
    "run_id", "deployment", "task", "n", "quality_mean", "quality_var", "latency_mean_s",
    "latency_var", "cost_mean_micro_usd", "cost_var", "error_rate", "version",
)  # fmt: skip


def benchmark_cells(cursor: Cursor, through_seq: int) -> list[BenchmarkCell]:
    """The cells that stand, of all runs, as of a row of the log."""
    rows = rows_of(
        cursor,
        "SELECT * FROM benchmark_cells WHERE log_seq <= ? QUALIFY row_number() OVER "
        "(PARTITION BY run_id, deployment, task ORDER BY log_seq DESC) = 1 ORDER BY log_seq",
        [through_seq],
    )
    return [
        BenchmarkCell(at_us=us(row["ts"]), **{name: row[name] for name in _NAMES}) for row in rows
    ]
