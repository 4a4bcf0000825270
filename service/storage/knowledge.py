"""The knowledge base: entries of the log, read back at the start and kept in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass

from service.domain.knowledge import Entry
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Cursor

SLACK_US = 60_000_000  # by so much a decision's time may lie outside its override's


def entries(cursor: Cursor) -> list[Entry]:
    """All entries, oldest first; of the live file or of a connection to the published history."""
    return [
        Entry(
            row["id"], us(row["ts"]), row["source"], row["subject"], row["title"],
            row["hypothesis"], json.loads(row["design"]), json.loads(row["result"]),
            row["decision"], row["why"], row["author"], json.loads(row["links"]),
            tuple(row["tags"]), row["supersedes"], row["occasion"],
        )
        for row in rows_of(cursor, "SELECT * FROM knowledge ORDER BY log_seq")
    ]  # fmt: skip


class KnowledgeStore:
    """All entries by id; one is put here once it is durable."""

    def __init__(self, cursor: Cursor) -> None:
        self.known = {each.id: each for each in entries(cursor)}
        self._occasions = {each.occasion for each in self.known.values()}

    def all(self) -> list[Entry]:
        """The entries, oldest first."""
        return list(self.known.values())

    def put(self, entry: Entry) -> None:
        """Take in an entry."""
        self.known[entry.id] = entry
        self._occasions.add(entry.occasion)

    def told_of(self, occasion: str) -> bool:
        """Whether an entry was written upon that occasion."""
        return occasion in self._occasions

    def latest(self, subject: str) -> Entry | None:
        """The newest entry about something; None where there is none."""
        return next((e for e in reversed(self.known.values()) if e.subject == subject), None)


@dataclass(frozen=True, slots=True)
class EndedOverride:
    """An override that is over, and what it did: decisions with its mark and their outcomes."""

    id: str
    action: str
    deployment: str
    task: str
    reason: str
    author: str
    set_us: int
    ended_us: int
    how: str
    end_author: str
    end_reason: str
    decisions: int
    failed: int
    cost_micro_usd: int


_ENDED = """
    SELECT o.*, e.ts AS ended, e.how, e.author AS end_author, e.reason AS end_reason
    FROM override_ends e JOIN overrides o ON o.id = e.override_id
    WHERE NOT EXISTS (SELECT 1 FROM knowledge k WHERE k.occasion = 'override:' || o.id)
    ORDER BY e.log_seq LIMIT ?"""

_TOUCHED = """
    SELECT count(*) AS decisions, count(*) FILTER (o.status >= 500) AS failed,
           coalesce(sum(o.cost_micro_usd), 0)::BIGINT AS cost
    FROM (SELECT id FROM decisions WHERE override_id = ? AND ts >= ? AND ts <= ?) d
    LEFT JOIN (SELECT decision_id, status, cost_micro_usd FROM outcomes WHERE ts >= ?) o
    ON o.decision_id = d.id"""


def untold_overrides(cursor: Cursor, most: int) -> list[EndedOverride]:
    """Ended overrides of which no entry tells, oldest first; blocks, so call it off the loop."""
    found = []
    for row in rows_of(cursor, _ENDED, [most]):
        set_us, ended_us = us(row["starts_at"]), us(row["ended"])
        since, until = at_time(set_us - SLACK_US), at_time(ended_us + SLACK_US)
        touched = rows_of(cursor, _TOUCHED, [row["id"], since, until, since])[0]
        found.append(
            EndedOverride(
                row["id"], row["action"], row["deployment"] or row["target"] or "",
                row["task"], row["reason"],
                row["author"], set_us, ended_us, row["how"], row["end_author"],
                row["end_reason"], touched["decisions"], touched["failed"], touched["cost"],
            )
        )  # fmt: skip
    return found
