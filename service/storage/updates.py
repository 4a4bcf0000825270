"""The logged updates, read back in their order, and what was logged but never learned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from service.domain.records import Decision, Update
from service.storage.cases import at_time, decision_from, rows_of, us
from service.storage.database import Cursor

CHUNK = 5_000


def last_update_us(cursor: Cursor, seq: int, default_us: int) -> int:
    """When the update ``seq`` was logged, microseconds; the default when it is not there."""
    rows = rows_of(cursor, "SELECT ts FROM updates WHERE seq = ?", [seq])
    return us(rows[0]["ts"]) if rows else default_us


def logged_updates(
    cursor: Cursor, after: int, through: int | None
) -> Iterator[tuple[Update, Decision | None]]:
    """The updates in order, each with its decision: every version that learns takes them all."""
    bound = through if through is not None else 2**62
    while True:
        rows = rows_of(
            cursor,
            "SELECT * FROM updates WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
            [after, bound, CHUNK],
        )
        if not rows:
            return
        ids = [row["decision_id"] for row in rows if row["decision_id"] is not None]
        decisions = _decisions(cursor, ids)
        for row in rows:
            update = update_from(row)
            yield update, decisions.get(update.decision_id)
        after = rows[-1]["seq"]


def _decisions(cursor: Cursor, ids: list[Any]) -> dict[str, Decision]:
    if not ids:
        return {}
    rows = rows_of(
        cursor,
        "SELECT * FROM decisions WHERE id IN (SELECT unnest(?::UUID[]))",
        [[str(each) for each in ids]],
    )
    return {str(row["id"]): decision_from(row) for row in rows}


def update_from(row: dict[str, Any]) -> Update:
    """An update from its row."""
    return Update(
        seq=row["seq"],
        at_us=us(row["ts"]),
        decision_id=str(row["decision_id"]) if row["decision_id"] is not None else "",
        decided_us=us(row["decided_at"]),
        arm=row["arm"],
        kind=row["kind"],
        quality=row["quality"],
        revises_quality=row["revises_quality"],
        cost_usd=row["cost_usd"],
        latency_s=row["latency_s"],
        tokens_out=row["tokens_out"],
        failed=row["failed"],
        feedback_id=str(row["feedback_id"]) if row["feedback_id"] is not None else None,
        version_id=row["version_id"],
        model_id=row["model_id"],
        weight=_weight(row["weight"]),
        revises_weight=_weight(row["revises_weight"]),
    )


def _weight(told: float | None) -> float:
    """Rows from before there were weights count in full."""
    return 1.0 if told is None else told


def unlearned(cursor: Cursor, since_us: int) -> tuple[list[str], list[str]]:
    """Decisions whose outcome, and ratings, are in the log but were not told to the policy.

    A kill between the two leaves these; the newest of them are credited at the next start.
    """
    since = at_time(since_us)
    outcomes = rows_of(
        cursor,
        "SELECT DISTINCT decision_id FROM outcomes WHERE ts >= ? "
        "AND mode NOT IN ('cache', 'batch') "
        "AND decision_id NOT IN "
        "(SELECT decision_id FROM updates WHERE kind = 'outcome' AND decision_id IS NOT NULL "
        "AND ts >= ?)",
        [since, since],
    )
    ratings = rows_of(
        cursor,
        "SELECT decision_id, id FROM feedback WHERE ts >= ? AND quality IS NOT NULL AND id NOT IN "
        "(SELECT feedback_id FROM updates WHERE feedback_id IS NOT NULL AND ts >= ?) "
        "ORDER BY log_seq",
        [since, since],
    )
    rated = list(dict.fromkeys(str(row["decision_id"]) for row in ratings))
    return [str(row["decision_id"]) for row in outcomes], rated
