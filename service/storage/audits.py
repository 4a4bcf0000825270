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


@dataclass(frozen=True, slots=True)
class Between:
    """The updates of a stretch of the log: how many there are, how many of them have lost the
    decision that they are about, and the quality models that they name.
    """

    updates: int
    orphans: int
    models: tuple[str, ...]


def updates_between(cursor: Cursor, after_seq: int, through_seq: int) -> Between:
    """The updates after ``after_seq`` through ``through_seq``."""
    row = rows_of(
        cursor,
        "SELECT count(DISTINCT u.seq) AS updates, "
        "count(*) FILTER (u.decision_id IS NOT NULL AND d.id IS NULL) AS orphans, "
        "list(DISTINCT u.model_id) FILTER (u.model_id IS NOT NULL) AS models "
        "FROM updates u LEFT JOIN decisions d ON d.id = u.decision_id "
        "WHERE u.seq > ? AND u.seq <= ?",
        [after_seq, through_seq],
    )[0]
    return Between(row["updates"], row["orphans"], tuple(row["models"] or ()))
