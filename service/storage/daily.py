"""A day's traffic by task and deployment, counted from the log: what trends are made of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import duckdb

from experiments.mix import Bill
from experiments.series import ALL, Cell
from experiments.trends import Trends, find, window
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Cursor
from service.storage.errors import ReadFailed

DAY_US = 86_400_000_000
AT_ONCE = 7  # days of the history in one query

# Of each decision its outcome, by the deployment that answered (the drawn one where nobody did),
# for each cell, each deployment, and all together. What a cached or repeated call cost fits no
# price, so bills are taken from plain ones. What came in a provider's batch is left out.
_DAY = f"epoch_us(d.ts) // {DAY_US}"

_OUTCOMES = f"""
    WITH d AS (SELECT id, ts, task, deployment AS drawn, mode FROM decisions
               WHERE ts >= $since AND ts < $until AND mode <> 'cache'),
         o AS (SELECT decision_id, deployment, mode, status, latency_s, attempts, tokens_in,
                      tokens_out, cached_tokens, cost_micro_usd, estimated FROM outcomes
               WHERE mode <> 'batch' AND ts >= $since AND ts < $late),
         r AS (SELECT decision_id, avg(quality) AS quality FROM (
                   SELECT f.decision_id, f.kind, f.author, arg_max(f.quality, f.log_seq) AS quality
                   FROM feedback f JOIN d ON d.id = f.decision_id
                   WHERE f.ts >= $since AND f.ts < $late AND f.ts < d.ts + INTERVAL 1 DAY
                         AND f.metric = $metric AND f.quality IS NOT NULL
                   GROUP BY ALL) GROUP BY decision_id),
         rows AS (
            SELECT {_DAY} AS day, coalesce(o.deployment, d.drawn) AS deployment, d.task,
                   o.latency_s, r.quality,
                   o.status = 200 AS answered, o.tokens_in::DOUBLE AS x, o.tokens_out::DOUBLE AS y,
                   o.cost_micro_usd / 1e6 AS c,
                   o.attempts = 1 AND o.cached_tokens = 0 AND NOT o.estimated AS plain,
                   o.status = 200 AND o.mode IN ('randomised', 'sticky') AS rateable
            FROM d JOIN o ON o.decision_id = d.id LEFT JOIN r ON r.decision_id = d.id)
    SELECT day, coalesce(deployment, '{ALL}') AS deployment, coalesce(task, '{ALL}') AS task,
           count(*) AS requests, sum(c) AS cost_usd, sum(c * c) AS cost_squares,
           sum(x) AS tokens_in, sum(y) FILTER (answered) AS tokens_out,
           sum(y * y) FILTER (answered) AS out_squares, count(*) FILTER (answered) AS answered,
           quantile_cont(latency_s, [0.9, 0.95, 0.975]) FILTER (answered) AS tails,
           count(*) FILTER (rateable) AS rateable,
           count(quality) FILTER (rateable) AS rated, sum(quality) FILTER (rateable) AS quality,
           sum(quality * quality) FILTER (rateable) AS quality_squares,
           sum(x * x) FILTER (plain) AS xx, sum(x * y) FILTER (plain) AS xy,
           sum(y * y) FILTER (plain) AS yy, sum(x * c) FILTER (plain) AS xc,
           sum(y * c) FILTER (plain) AS yc
    FROM rows GROUP BY GROUPING SETS ((day, deployment, task), (day, deployment), (day))"""

_CALLS = f"""
    SELECT day, coalesce(deployment, '{ALL}') AS deployment, coalesce(task, '{ALL}') AS task,
           count(*) AS calls, count(*) FILTER (failed) AS failed
    FROM (SELECT {_DAY} AS day, a.deployment, d.task, coalesce(a.error_kind NOT IN (
                     'invalid', 'dialect', 'context_length', 'policy', 'cancelled'),
                     false) AS failed
          FROM (SELECT id, ts, task FROM decisions WHERE ts >= $since AND ts < $until) d
          JOIN (SELECT decision_id, deployment, error_kind FROM attempts
                WHERE number = 1 AND role NOT IN ('shadow', 'judge', 'classify', 'batch')
                      AND ts >= $since AND ts < $late) a ON a.decision_id = d.id)
    GROUP BY GROUPING SETS ((day, deployment, task), (day, deployment), (day))"""

_SUMS = (
    "requests", "cost_usd", "cost_squares", "tokens_in", "tokens_out", "out_squares", "answered",
    "rateable", "rated", "quality", "quality_squares",
)  # fmt: skip
TAIL = 0.0475**0.5 / 0.075  # sd of the 95th percentile over its slope between those beside it


@dataclass(frozen=True, slots=True)
class Span:
    """The days that the log holds, since 1970; ``last`` may not be over."""

    first: int
    last: int


def span(cursor: Cursor) -> Span | None:
    """From the first decision's day to the last one's; None without any."""
    (row,) = rows_of(cursor, "SELECT min(ts) AS first, max(ts) AS last FROM decisions")
    if row["first"] is None:
        return None
    return Span(us(row["first"]) // DAY_US, us(row["last"]) // DAY_US)


def cells_of(cursor: Cursor, first: int, until: int, metric: str) -> list[Cell]:
    """The cells of the days from ``first`` to before ``until`` and their sums; of the live file or
    the published history. ``metric``: the rating that is quality. Blocks; to be asked once the
    days are over, for ratings a day later.
    """
    asked = {
        "since": at_time(first * DAY_US),
        "until": at_time(until * DAY_US),
        "late": at_time((until + 1) * DAY_US),
    }
    calls = {_where(row): row for row in _rows(cursor, _CALLS, asked)}
    found = {}
    for row in _rows(cursor, _OUTCOMES, asked | {"metric": metric}):
        found[_where(row)] = _cell(row, calls.get(_where(row), {}))
    for where, row in calls.items():
        if where not in found:
            found[where] = Cell(*where, calls=row["calls"], failed=row["failed"])
    return list(found.values())


def _where(row: dict[str, Any]) -> tuple[int, str, str]:
    return row["day"], row["deployment"], row["task"]


def usual_metric(cursor: Cursor) -> str:
    """The metric by which most ratings on a scale were given; empty without any."""
    rows = rows_of(
        cursor,
        "SELECT metric FROM feedback WHERE quality IS NOT NULL GROUP BY metric "
        "ORDER BY count(*) DESC, metric LIMIT 1",
    )
    return str(rows[0]["metric"]) if rows else ""


def trends(cursor: Cursor, last_day: int | None = None, metric: str = "") -> Trends | None:
    """What has changed by the log, which may be the published history; None where it is empty.

    ``last_day``: the last whole one, by default that before the last decision's; ``metric``: the
    rating that is quality, by default the usual one.
    """
    held = span(cursor)
    if held is None:
        return None
    last = held.last - 1 if last_day is None else last_day
    asked = metric or usual_metric(cursor)
    first, end = max(held.first, window(last)), min(held.last, last) + 1
    cells: list[Cell] = []
    for at in range(first, end, AT_ONCE):
        cells += cells_of(cursor, at, min(at + AT_ONCE, end), asked)
    return find(cells, last)


def _rows(cursor: Cursor, sql: str, asked: dict[str, Any]) -> Iterable[dict[str, Any]]:
    try:
        found = cursor.execute(sql, asked)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    except duckdb.Error as error:
        raise ReadFailed(f"the log cannot be read: {error}") from error


def _cell(row: dict[str, Any], calls: dict[str, Any]) -> Cell:
    low, p95, high = row["tails"] or (0.0, 0.0, 0.0)
    error = 0.0
    if row["answered"] and low and high:
        slope = abs(high - low) / p95
        error = TAIL * slope / row["answered"] ** 0.5
    day, deployment, task = _where(row)
    sums: dict[str, Any] = {name: float(row[name] or 0.0) for name in _SUMS}
    return Cell(
        day, deployment, task, **sums, p95_s=p95 or 0.0, p95_error=error,
        calls=calls.get("calls", 0), failed=calls.get("failed", 0),
        bill=Bill(*(float(row[name] or 0.0) for name in ("xx", "xy", "yy", "xc", "yc"))),
    )  # fmt: skip


def told_of(cursor: Cursor, act: str, since_us: int) -> list[dict[str, Any]]:
    """The details of acts of that name since a time."""
    sql = "SELECT detail FROM acts WHERE act = ? AND ts >= ? ORDER BY log_seq"
    return [json.loads(row["detail"]) for row in rows_of(cursor, sql, [act, at_time(since_us)])]
