"""Spend by any labels of its calls, from the ledger: parts that add up to the whole, exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service.storage.cases import at_time, rows_of
from service.storage.catalogue import views
from service.storage.database import Cursor

UNKNOWN = "(unknown)"  # the labels of a call whose decision was lost in a kill
DIMENSIONS: Mapping[str, str] = {
    "tenant": "tenant", "key": "key_id", "feature": "feature", "tag": "tag",
    "deployment": "deployment", "task": "task", "model": "model", "role": "role",
    "provider": "provider", "tier": "tier", "day": "strftime(day, '%Y-%m-%d')",
    "month": "strftime(day, '%Y-%m')",
}  # fmt: skip
SUMS = (
    "requests", "calls", "failed", "tokens_in", "tokens_out", "cached_tokens",
    "cache_write_tokens", "reasoning_tokens", "images", "cost_micro_usd", "failed_micro_usd",
    "beside_micro_usd", "estimated_micro_usd",
)  # fmt: skip
MOST_ROWS = 100_000

_SUMS = """
    count(*) FILTER (number = 1 AND NOT beside) AS requests, count(*) AS calls,
    count(*) FILTER (failed) AS failed, sum(tokens_in)::BIGINT AS tokens_in,
    sum(tokens_out)::BIGINT AS tokens_out, sum(cached_tokens)::BIGINT AS cached_tokens,
    sum(cache_write_tokens)::BIGINT AS cache_write_tokens,
    sum(reasoning_tokens)::BIGINT AS reasoning_tokens, sum(images)::BIGINT AS images,
    sum(cost_micro_usd)::BIGINT AS cost_micro_usd,
    coalesce(sum(cost_micro_usd) FILTER (failed AND NOT beside), 0)::BIGINT AS failed_micro_usd,
    coalesce(sum(cost_micro_usd) FILTER (beside), 0)::BIGINT AS beside_micro_usd,
    coalesce(sum(cost_micro_usd) FILTER (estimated), 0)::BIGINT AS estimated_micro_usd"""


@dataclass(frozen=True, slots=True)
class CostsAsked:
    """Of which calls, by when they ended (microseconds); ``by``: names of DIMENSIONS. ``tenant``:
    of that one alone; None: of all.
    """

    by: tuple[str, ...]
    since_us: int
    until_us: int
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Costs:
    """Rows with a value for each dimension and each of SUMS, the dearest first; and their total,
    counted by itself.
    """

    by: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    total: Mapping[str, int]


def costs(cursor: Cursor, asked: CostsAsked) -> Costs:
    """What was spent, divided; raises ValueError for a dimension that is none, or too many rows."""
    unknown = [name for name in asked.by if name not in DIMENSIONS]
    if unknown:
        raise ValueError(f"no dimension {unknown[0]!r}; known: {', '.join(DIMENSIONS)}")
    if len(set(asked.by)) < len(asked.by):
        raise ValueError("a dimension is given twice")
    where, given = "ts >= $1 AND ts < $2", [at_time(asked.since_us), at_time(asked.until_us)]
    values: list[Any] = list(given)
    if asked.tenant is not None:
        where += " AND tenant = $3"
        values.append(asked.tenant)
    of = f"FROM ({views()['ledger'].sql}) WHERE {where}"
    named = [f"coalesce({DIMENSIONS[name]}, '{UNKNOWN}') AS {name}" for name in asked.by]
    order = ", ".join(["cost_micro_usd DESC", *asked.by])
    sql = f"SELECT {', '.join([*named, _SUMS])} {of}"
    if named:
        sql += f" GROUP BY {', '.join(str(i + 1) for i in range(len(named)))}"
    found = rows_of(cursor, f"{sql} ORDER BY {order} LIMIT {MOST_ROWS + 1}", values)
    if len(found) > MOST_ROWS:
        raise ValueError(f"more than {MOST_ROWS} rows; ask by fewer dimensions, or a shorter time")
    (whole,) = rows_of(cursor, f"SELECT {_SUMS} {of}", values)
    total = {name: int(whole[name] or 0) for name in SUMS}
    return Costs(asked.by, [row for row in found if row["calls"]], total)


def plain(found: Costs, asked: CostsAsked) -> dict[str, Any]:
    """In the form that JSON can hold."""
    since, until = (
        at_time(each).isoformat(timespec="milliseconds") + "Z"
        for each in (asked.since_us, asked.until_us)
    )
    return {
        "by": list(found.by), "since": since, "until": until, "tenant": asked.tenant,
        "rows": [dict(row) for row in found.rows], "total": dict(found.total),
    }  # fmt: skip


def write_parquet(path: Path, found: Costs) -> None:
    """The rows as a Parquet file: texts, and whole numbers."""
    columns = {name: pa.array([row[name] for row in found.rows], pa.string()) for name in found.by}
    columns |= {name: pa.array([row[name] for row in found.rows], pa.int64()) for name in SUMS}
    pq.write_table(pa.table(columns), path, compression="zstd")
