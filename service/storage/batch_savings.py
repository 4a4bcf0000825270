"""What batches saved: what their answers cost against the same calls alone, by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.storage.cases import at_time, rows_of, us
from service.storage.database import Cursor

MOST_ROWS = 10_000
SUMS = (
    "requests", "completed", "failed", "expired", "cancelled", "off_peak", "urgent", "provider",
    "tokens_in", "tokens_out", "paid_micro_usd", "list_micro_usd", "saved_micro_usd",
)  # fmt: skip
# A request whose result was lost in a kill before it was kept was tried, paid and told again: it
# counts once, its money as often as it was paid; so does one whose answer by a provider's batch was
# not used.
_ROWS = """
    SELECT batch_id, any_value(tenant) AS tenant, any_value(key_id) AS key_id,
           min(ts) AS first_at, max(ts) AS last_at, count(DISTINCT number) AS requests,
           count(DISTINCT number) FILTER (result = 'completed') AS completed,
           count(DISTINCT number) FILTER (result = 'failed') AS failed,
           count(DISTINCT number) FILTER (result = 'expired') AS expired,
           count(DISTINCT number) FILTER (result = 'cancelled') AS cancelled,
           count(DISTINCT number) FILTER (hours = 'off_peak') AS off_peak,
           count(DISTINCT number) FILTER (hours = 'urgent') AS urgent,
           count(DISTINCT number) FILTER (way = 'provider' AND result = 'completed')
               AS provider,
           sum(tokens_in)::BIGINT AS tokens_in, sum(tokens_out)::BIGINT AS tokens_out,
           sum(paid_micro_usd)::BIGINT AS paid_micro_usd,
           sum(list_micro_usd)::BIGINT AS list_micro_usd,
           sum(list_micro_usd - paid_micro_usd)::BIGINT AS saved_micro_usd
    FROM batch_requests
    WHERE ts >= $1 AND ts < $2 AND ($3::VARCHAR IS NULL OR tenant = $3)
    GROUP BY batch_id ORDER BY first_at DESC, batch_id LIMIT $4
"""


@dataclass(frozen=True, slots=True)
class SavingsAsked:
    """Of which requests, by when they got their result (microseconds); ``tenant``: of that one
    alone; None: of all.
    """

    since_us: int
    until_us: int
    tenant: str | None = None


def batch_savings(cursor: Cursor, asked: SavingsAsked) -> dict[str, Any]:
    """A row for each batch, the newest first, and the total of the rows."""
    given = [at_time(asked.since_us), at_time(asked.until_us), asked.tenant, MOST_ROWS]
    rows = [_plain(row) for row in rows_of(cursor, _ROWS, given)]
    return {
        "since": at_time(asked.since_us).isoformat() + "Z",
        "until": at_time(asked.until_us).isoformat() + "Z",
        "rows": rows,
        "total": {name: sum(row[name] for row in rows) for name in SUMS},
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "first_at": us(row["first_at"]) // 1_000_000,
            "last_at": us(row["last_at"]) // 1_000_000}  # fmt: skip
