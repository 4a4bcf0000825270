"""What an audit reads of the live file: drawn decisions in log order, and how far it had come."""

from __future__ import annotations

import math
from dataclasses import dataclass

from service.domain.experiments import AuditMark
from service.domain.records import Mode
from service.storage.cases import rows_of, us
from service.storage.database import Cursor


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn decision as it was logged: who was eligible, how likely each, who was drawn."""

    log_seq: int
    names: tuple[str, ...]
    propensities: tuple[float, ...]  # NaN where something has spoiled the row
    deployment: str


def drawn_between(cursor: Cursor, after_seq: int, through_seq: int, limit: int) -> list[Drawn]:
    """Randomised decisions of the rows after ``after_seq`` through ``through_seq``, oldest first,
    at most ``limit``; blocks, so call it off the loop.
    """
    rows = rows_of(
        cursor,
        "SELECT log_seq, eligible, propensities, deployment FROM decisions "
        "WHERE log_seq > ? AND log_seq <= ? AND mode = ? ORDER BY log_seq LIMIT ?",
        [after_seq, through_seq, Mode.RANDOMISED.value, limit],
    )
    return [
        Drawn(
            row["log_seq"],
            tuple(row["eligible"]),
            tuple(math.nan if each is None else each for each in row["propensities"]),
            row["deployment"],
        )
        for row in rows
    ]


def last_mark(cursor: Cursor) -> AuditMark | None:
    """How far the audit had come; None before its first mark."""
    rows = rows_of(cursor, "SELECT * FROM audit_marks ORDER BY log_seq DESC LIMIT 1")
    if not rows:
        return None
    row = rows[0]
    return AuditMark(
        us(row["ts"]), row["through_seq"], row["decisions"], row["log_e"], row["state"]
    )


def updates_between(cursor: Cursor, after_seq: int, through_seq: int) -> int:
    """How many updates the log holds after ``after_seq`` through ``through_seq``."""
    rows = rows_of(
        cursor,
        "SELECT count(DISTINCT seq) AS number FROM updates WHERE seq > ? AND seq <= ?",
        [after_seq, through_seq],
    )
    return int(rows[0]["number"])
