"""Evidence that was taken, read back from the log: what it was, and what was never learned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.storage.cases import rows_of
from service.storage.database import Cursor

TAKEN = "evidence.taken"  # the act; its subject is the file's id


@dataclass(frozen=True, slots=True)
class Taken:
    """Answers that were taken together, as their act tells it."""

    id: str
    at: datetime  # UTC, without its zone
    actor: str
    author: str
    reason: str
    detail: Mapping[str, Any]


def taken_evidence(cursor: Cursor, limit: int | None = None) -> list[Taken]:
    """What was taken, newest first."""
    rows = rows_of(
        cursor,
        "SELECT subject, ts, actor, author, reason, detail FROM acts WHERE act = ? "
        "ORDER BY log_seq DESC LIMIT ?",
        [TAKEN, 2**62 if limit is None else limit],
    )
    return [
        Taken(
            row["subject"], row["ts"], row["actor"], row["author"] or "", row["reason"],
            json.loads(row["detail"]),
        )
        for row in rows
    ]  # fmt: skip


def unlearned_evidence(cursor: Cursor, learned_seq: int) -> list[str]:
    """The ids of what was taken and never learned, in order; ``learned_seq``: the number of the
    last update. Where the updates from before an act are gone, one of after it may be gone too,
    and nobody can say: what may have been learned is not learned again.
    """
    rows = rows_of(
        cursor,
        "SELECT subject FROM acts WHERE act = ? AND subject NOT IN "
        "(SELECT model_id FROM updates WHERE kind = 'evidence' AND model_id IS NOT NULL) AND "
        "(log_seq > (SELECT min(log_seq) FROM updates) "
        "OR (SELECT coalesce(min(seq), ?) FROM updates) = 1) ORDER BY log_seq",
        [TAKEN, learned_seq + 1],
    )
    return [row["subject"] for row in rows]
