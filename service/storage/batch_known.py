"""What the log knows of requests in parcels: told once, whatever broke off the telling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from service.domain.clock import id_time_us
from service.domain.records import Mode, Role
from service.storage.cases import at_time, rows_of
from service.storage.database import Cursor


@dataclass(frozen=True, slots=True)
class Known:
    """Decisions whose attempt, and whose outcome, is logged; lines of results: batch and number."""

    attempts: set[str] = field(default_factory=set)
    outcomes: set[str] = field(default_factory=set)
    lines: set[tuple[str, int]] = field(default_factory=set)


def logged_of(cursor: Cursor, decisions: Sequence[str]) -> set[str]:
    """Those of these decisions that are logged; blocks."""
    if not decisions:
        return set()
    since = at_time(id_time_us(min(decisions)) - 60_000_000)
    sql = "SELECT id FROM decisions WHERE ts >= $1 AND list_contains($2, id::VARCHAR)"
    return {str(each["id"]) for each in rows_of(cursor, sql, [since, list(decisions)])}


def known_since(cursor: Cursor, since_us: int) -> Known:
    """What is logged of provider batches since a time; blocks."""
    given = [at_time(since_us)]
    attempts = rows_of(
        cursor, f"SELECT decision_id FROM attempts WHERE role = '{Role.BATCH}' AND ts >= $1", given
    )
    outcomes = rows_of(
        cursor, f"SELECT decision_id FROM outcomes WHERE mode = '{Mode.BATCH}' AND ts >= $1", given
    )
    lines = rows_of(
        cursor,
        "SELECT batch_id, number FROM batch_requests WHERE way = 'provider' AND ts >= $1", given,
    )  # fmt: skip
    return Known(
        {str(each["decision_id"]) for each in attempts},
        {str(each["decision_id"]) for each in outcomes},
        {(str(each["batch_id"]), int(each["number"])) for each in lines},
    )
