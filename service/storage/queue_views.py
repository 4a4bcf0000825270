"""The queue as it is looked at: counts, places in the line, the dead; never a prompt."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

from service.domain.errors import BUDGET
from service.domain.tickets import Counts, State, Ticket

COLUMNS = (
    "id, key_id, tenant, state, created_us, ended_us, deadline_s, tries, decision_id, reason, "
    "code, answer, detail, digest, webhook, hook_tries, hook_at_s IS NOT NULL"
)
_BARE = COLUMNS.replace("answer", "NULL")


def ticket_of(row: tuple[Any, ...]) -> Ticket:
    """A ticket from a row of COLUMNS."""
    fields = [*row]
    fields[3], fields[16] = State(row[3]), bool(row[16])
    return Ticket(*fields)


def counts(db: sqlite3.Connection, now_us: int) -> Counts:
    """How many there are of each state, and the age of the oldest unanswered one: of those that a
    budget has wait for its next period nobody wonders.
    """
    found: dict[str, int] = dict(
        db.execute("SELECT state, count(*) FROM tickets GROUP BY state").fetchall()
    )
    oldest_us = db.execute(
        "SELECT min(created_us) FROM tickets WHERE state IN ('waiting', 'running') AND code <> ?",
        (BUDGET,),
    ).fetchone()[0]
    return Counts(
        **{state.value: found.get(state.value, 0) for state in State},
        oldest_s=max((now_us - oldest_us) / 1e6, 0.0) if oldest_us is not None else 0.0,
    )


def unanswered(db: sqlite3.Connection, before: Counts) -> Counts:
    """The counts with what waits and runs counted anew, which is cheap."""
    found = db.execute(
        "SELECT state, count(*) FROM tickets WHERE state IN ('waiting', 'running') GROUP BY state"
    ).fetchall()
    now = {"waiting": 0, "running": 0} | dict(found)
    return replace(before, **now)


def held_by(db: sqlite3.Connection, key_id: str) -> int:
    """How many unanswered tickets a key has."""
    count: int = db.execute(
        "SELECT count(*) FROM tickets WHERE state IN ('waiting', 'running') AND key_id = ?",
        (key_id,),
    ).fetchone()[0]
    return count


def live_bytes(db: sqlite3.Connection) -> int:
    """What the file holds, its free pages left out."""
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    found: int = (pages - free) * size
    return found


def ahead(db: sqlite3.Connection, ticket_id: str) -> int:
    """How many unanswered tickets go before this one, keys taking turns; 0 when it has ended."""
    row = db.execute(
        "SELECT seq, key_id FROM tickets WHERE id = ? AND state IN ('waiting', 'running')",
        (ticket_id,),
    ).fetchone()
    if row is None:
        return 0
    seq, key_id = row
    own: int = db.execute(
        "SELECT count(*) FROM tickets WHERE state IN ('waiting', 'running') AND key_id = ? "
        "AND seq < ?",
        (key_id, seq),
    ).fetchone()[0]
    others = db.execute(
        "SELECT count(*), sum(seq < ?) FROM tickets WHERE state IN ('waiting', 'running') "
        "AND key_id <> ? GROUP BY key_id",
        (seq, key_id),
    ).fetchall()
    # Of each other key as many as this key's own, and one more where that came earlier.
    first: int = sum(min(count, own) + (earlier > own) for count, earlier in others)
    return own + first


def ready_s(db: sqlite3.Connection, ticket_id: str) -> float:
    """When it is tried next at the earliest, on the monotonic clock; 0 where it waits for nothing
    of its own.
    """
    row = db.execute(
        "SELECT ready_s FROM tickets WHERE id = ? AND state = 'waiting'", (ticket_id,)
    ).fetchone()
    return 0.0 if row is None or row[0] is None else float(row[0])


def listed(db: sqlite3.Connection, states: tuple[State, ...], most: int) -> list[Ticket]:
    """Tickets of these states, the newest first, without their answers."""
    marks = ", ".join("?" for _ in states)
    rows = db.execute(
        f"SELECT {_BARE} FROM tickets WHERE state IN ({marks}) ORDER BY seq DESC LIMIT ?",
        (*(state.value for state in states), most),
    ).fetchall()
    return [ticket_of(row) for row in rows]
