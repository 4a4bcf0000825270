"""Minutes made anew from the log: what a start knows of the traffic before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from service.domain.minutes import EMPTY, MINUTE_US, Cell, Minute
from service.domain.records import Attempt, Mode, Outcome, Role
from service.storage.cases import at_time, attempt_from, outcome_from, rows_of
from service.storage.database import Cursor

# Requests that somebody waited for an upstream with.
_LIVE = f"mode NOT IN ('{Mode.CACHE}', '{Mode.BATCH}')"
_AT = "[greatest(ceil({}::DOUBLE * len({})), 1.0)::BIGINT]"
_PICKED = ", ".join(
    [f"times{_AT.format(share, 'times')} AS p{int(share * 100)}" for share in (0.5, 0.95, 0.99)]
    + [f"firsts{_AT.format(share, 'firsts')} AS ttft{int(share * 100)}" for share in (0.5, 0.95)]
)  # the least value that at least so many do not exceed, as ``quantile`` takes it

# Only a few numbers of each minute come out of the query: whoever fetches holds the interpreter.
_CALLS = f"""
    WITH cells AS (
        SELECT epoch_us(ts) // {MINUTE_US} AS minute, deployment, count(*) FILTER (live) AS calls,
               count(*) FILTER (live AND error_kind IS NULL) AS answered,
               count(*) FILTER (live AND error_kind NOT IN (
                   'invalid', 'dialect', 'context_length', 'policy', 'cancelled')) AS failed,
               histogram(error_kind) FILTER (live AND error_kind IS NOT NULL) AS errors,
               count(*) FILTER (role = '{Role.FALLBACK}') AS fallbacks,
               sum(cost_micro_usd)::BIGINT AS cost,
               coalesce(list_sort(list(latency_s) FILTER (
                   live AND (error_kind IS NULL OR error_kind = 'timeout'))), []) AS times,
               coalesce(list_sort(list(ttft_s) FILTER (ttft_s IS NOT NULL)), []) AS firsts
        FROM (SELECT *, role <> '{Role.BATCH}' AS live FROM attempts)
        WHERE ts >= $1 AND ts < $2 AND log_seq <= $3 GROUP BY ALL)
    SELECT * EXCLUDE (times, firsts), len(times) AS timed, len(firsts) AS first_tokens, {_PICKED}
    FROM cells"""

_REQUESTS = f"""
    WITH cells AS (
        SELECT epoch_us(ts) // {MINUTE_US} AS minute, count(*) AS calls,
               count(*) FILTER (status = 200) AS answered,
               count(*) FILTER (status >= 500) AS failed,
               histogram(error_kind) FILTER (error_kind IS NOT NULL) AS errors,
               count(*) FILTER (mode = '{Mode.FALLBACK}') AS fallbacks, 0::BIGINT AS cost,
               coalesce(list_sort(list(latency_s) FILTER (
                   status = 200 OR (status >= 500 AND error_kind = 'timeout'))), []) AS times,
               coalesce(list_sort(list(ttft_s) FILTER (ttft_s IS NOT NULL)), []) AS firsts
        FROM outcomes WHERE ts >= $1 AND ts < $2 AND log_seq <= $3 AND {_LIVE}
        GROUP BY ALL)
    SELECT * EXCLUDE (times, firsts), len(times) AS timed, len(firsts) AS first_tokens, {_PICKED}
    FROM cells"""

_COUNTS = f"""
    SELECT minute, sum(answered)::BIGINT AS answered, sum(failed)::BIGINT AS failed,
           sum(cost)::BIGINT AS cost FROM (
        SELECT epoch_us(ts) // {MINUTE_US} AS minute, count(*) FILTER (status = 200) AS answered,
               count(*) FILTER (status >= 500) AS failed, 0 AS cost
        FROM outcomes WHERE ts >= $1 AND ts < $2 AND log_seq <= $3 AND {_LIVE}
        GROUP BY ALL
        UNION ALL
        SELECT epoch_us(ts) // {MINUTE_US}, 0, 0, sum(cost_micro_usd)
        FROM attempts WHERE ts >= $1 AND ts < $2 AND log_seq <= $3 GROUP BY ALL)
    GROUP BY minute ORDER BY minute"""


def minutes_of(cursor: Cursor, since_us: int, until_us: int, through_seq: int) -> list[Minute]:
    """The whole minutes from ``since_us`` to before ``until_us`` in which something ended, of the
    rows through ``through_seq``; blocks.
    """
    asked = _asked(since_us, until_us, through_seq)
    cells: dict[int, dict[str, Cell]] = {}
    for row in rows_of(cursor, _CALLS, asked):
        cells.setdefault(int(row["minute"]), {})[str(row["deployment"])] = _cell(row)
    totals = {int(row["minute"]): row for row in rows_of(cursor, _REQUESTS, asked)}
    found = []
    for minute in sorted({*cells, *totals}):
        of = cells.get(minute, {})
        cost = sum(cell.cost_micro_usd for cell in of.values())
        total = _cell(totals[minute]) if minute in totals else EMPTY
        total = replace(total, cost_micro_usd=cost)
        found.append(Minute(minute * MINUTE_US, total, of))
    return found


def counts_of(
    cursor: Cursor, since_us: int, until_us: int, through_seq: int
) -> list[tuple[int, int, int, int]]:
    """Of each minute with traffic its start, answered and failed requests, and spend; blocks."""
    return [
        (int(row["minute"]) * MINUTE_US, int(row["answered"]), int(row["failed"]), int(row["cost"]))
        for row in rows_of(cursor, _COUNTS, _asked(since_us, until_us, through_seq))
    ]


def records_of(
    cursor: Cursor, since_us: int, until_us: int, through_seq: int
) -> list[Attempt | Outcome]:
    """The calls and requests that ended between; blocks."""
    asked = _asked(since_us, until_us, through_seq)
    where = "WHERE ts >= $1 AND ts < $2 AND log_seq <= $3 ORDER BY log_seq"
    calls = where.replace(" ORDER", f" AND {_LIVE} ORDER")
    return [
        *(attempt_from(row) for row in rows_of(cursor, f"SELECT * FROM attempts {where}", asked)),
        *(outcome_from(row) for row in rows_of(cursor, f"SELECT * FROM outcomes {calls}", asked)),
    ]


def _asked(since_us: int, until_us: int, through_seq: int) -> list[Any]:
    return [at_time(since_us), at_time(until_us), through_seq]


def _cell(row: Mapping[str, Any]) -> Cell:
    return Cell(
        row["calls"], row["answered"], row["failed"], dict(row["errors"] or {}), row["fallbacks"],
        row["cost"], row["timed"], row["p50"], row["p95"], row["p99"], row["first_tokens"],
        row["ttft50"], row["ttft95"],
    )  # fmt: skip
