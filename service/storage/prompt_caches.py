"""What providers' prompt caches saved and what writing to them cost, by deployment and day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.storage.cases import at_time, rows_of
from service.storage.database import Cursor

# Each call with the price in force when it ended: of those that the log knew by then, or, where it
# knew none, of those that it learned of first.
_SQL = """
WITH calls AS (
    SELECT a.ts, a.decision_id, a.number, a.deployment, a.tokens_in,
           least(a.cached_tokens, a.tokens_in) AS cached,
           least(coalesce(c.cache_write_tokens, 0),
                 greatest(a.tokens_in - a.cached_tokens, 0)) AS written
    FROM attempts a
    LEFT JOIN decisions d ON d.id = a.decision_id
    LEFT JOIN charges c ON c.decision_id = a.decision_id AND c.number = a.number
    WHERE a.ts >= $1 AND a.ts < $2 AND a.role <> 'batch' AND a.tokens_in > 0
          AND ($3 IS NULL OR d.tenant = $3)
), priced AS (
    SELECT calls.*, t.input_micro_usd_mtok AS fresh, t.cached_input_micro_usd_mtok AS again,
           t.cache_write_micro_usd_mtok AS writing,
           row_number() OVER (
               PARTITION BY calls.decision_id, calls.number
               ORDER BY t.ts <= calls.ts DESC, t.from_at DESC,
                        CASE WHEN t.ts <= calls.ts THEN t.log_seq ELSE -t.log_seq END DESC
           ) AS place
    FROM calls LEFT JOIN tariffs t ON t.deployment = calls.deployment AND t.from_at <= calls.ts
)
SELECT strftime(ts, '%Y-%m-%d') AS day, deployment, count(*)::BIGINT AS calls,
       count(*) FILTER (cached > 0)::BIGINT AS hits, sum(tokens_in)::BIGINT AS tokens_in,
       sum(cached)::BIGINT AS cached_tokens, sum(written)::BIGINT AS cache_write_tokens,
       sum(CASE WHEN again IS NULL THEN 0 ELSE cached::HUGEINT * (fresh - again) END)::DOUBLE
           AS saved,
       sum(CASE WHEN writing IS NULL THEN 0 ELSE written::HUGEINT * (writing - fresh) END)::DOUBLE
           AS surcharge,
       count(*) FILTER (cached > 0 AND again IS NULL)::BIGINT AS unpriced
FROM priced WHERE place = 1 GROUP BY ALL ORDER BY day, deployment
"""
SUMS = ("calls", "hits", "tokens_in", "cached_tokens", "cache_write_tokens", "saved_micro_usd",
        "surcharge_micro_usd", "net_micro_usd", "unpriced")  # fmt: skip


@dataclass(frozen=True, slots=True)
class CachesAsked:
    """Of which calls, by when they ended (microseconds), of which tenant (None: of all)."""

    since_us: int
    until_us: int
    tenant: str | None = None


def prompt_caches(cursor: Cursor, asked: CachesAsked) -> dict[str, Any]:
    """A row a day and deployment, and their total. ``saved_micro_usd``: cached tokens at the
    difference of the two prices; ``surcharge_micro_usd``: what written tokens cost beyond plain
    input; ``unpriced``: calls with cached tokens of deployments without a price for them, which
    were billed as plain input and saved nothing.
    """
    found = rows_of(cursor, _SQL, [at_time(asked.since_us), at_time(asked.until_us), asked.tenant])
    rows = [_row(each) for each in found]
    total = {name: sum(row[name] for row in rows) for name in SUMS}
    since, until = (
        at_time(each).isoformat(timespec="milliseconds") + "Z"
        for each in (asked.since_us, asked.until_us)
    )
    return {"since": since, "until": until, "tenant": asked.tenant, "rows": rows, "total": total}


def _row(found: dict[str, Any]) -> dict[str, Any]:
    """Money in whole micro-dollars, rounded once a row, so that rows add up to the total."""
    row = dict(found)
    row["saved_micro_usd"] = round(row.pop("saved") / 1e6)
    row["surcharge_micro_usd"] = round(row.pop("surcharge") / 1e6)
    row["net_micro_usd"] = row["saved_micro_usd"] - row["surcharge_micro_usd"]
    return row
