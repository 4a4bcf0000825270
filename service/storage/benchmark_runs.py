"""Benchmarks in the log: their cells by run, and the traffic that projections stand on."""

from __future__ import annotations

from dataclasses import dataclass

from service.domain.capability import BenchmarkCell
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Cursor


@dataclass(frozen=True, slots=True)
class Served:
    """Of one task and deployment: requests that it answered, and what they cost together."""

    task: str
    deployment: str
    requests: int
    cost_micro_usd: int


def cells(cursor: Cursor) -> list[BenchmarkCell]:
    """All cells, oldest first."""
    return [
        BenchmarkCell(
            row["run_id"], us(row["ts"]), row["deployment"], row["task"], row["n"],
            row["quality_mean"], row["quality_var"], row["latency_mean_s"], row["latency_var"],
            row["cost_mean_micro_usd"], row["cost_var"], row["error_rate"], row["version"],
        )
        for row in rows_of(cursor, "SELECT * FROM benchmark_cells ORDER BY log_seq")
    ]  # fmt: skip


_SERVED = """
    SELECT d.task, o.deployment, count(*) AS requests, sum(o.cost_micro_usd)::BIGINT AS cost
    FROM decisions d JOIN outcomes o ON o.decision_id = d.id
    WHERE d.ts >= ? AND o.ts >= ? AND o.status = 200 AND d.feature IS DISTINCT FROM ?
    GROUP BY ALL ORDER BY ALL"""


def served(cursor: Cursor, since_us: int, but_feature: str) -> list[Served]:
    """What was answered since a time, but for requests of one feature; blocks."""
    since = at_time(since_us)
    return [
        Served(row["task"], row["deployment"], row["requests"], row["cost"])
        for row in rows_of(cursor, _SERVED, [since, since, but_feature])
    ]
