"""What waits for a person beside refusals: open items in memory, the ended ones in the log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from service.domain.clock import Clock
from service.domain.reviews import ReviewItem, ReviewTurn, Turn
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Database

_END = "t.turn IN ('decided', 'defaulted')"
_JOINED = (
    "SELECT i.*, t.ts AS ended_at, t.turn, t.key_id AS by_key, t.reviewer, t.verdict, t.note, "
    "t.idempotency_key FROM review_items i "
    f"LEFT JOIN review_turns t ON t.item_id = i.id AND {_END} "
)


@dataclass(frozen=True, slots=True)
class Ended:
    """An item, and the turn that ended it; None while it is open."""

    item: ReviewItem
    end: ReviewTurn | None


class ReviewItems:
    """Due times run on the monotonic clock while the process lives, so a jump of the wall clock
    ends nothing; across a restart the wall clock decides, and no item gets longer than it had.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._cursor, self._clock = database.cursor, clock
        self._open: dict[str, ReviewItem] = {}
        self._due_s: dict[str, float] = {}
        self._counts: Counter[str] = Counter()
        rows = rows_of(database.cursor(), _JOINED + "WHERE t.turn IS NULL ORDER BY i.log_seq")
        now_us = clock.wall_us()
        for row in rows:
            item = _item(row)
            self.put(item, min(item.due_us - now_us, item.due_us - item.at_us) / 1e6)

    def put(self, item: ReviewItem, left_s: float | None = None) -> None:
        """It is open from now on, for ``left_s`` seconds; None: for its whole time."""
        if left_s is None:
            left_s = (item.due_us - item.at_us) / 1e6
        self._open[item.id] = item
        self._due_s[item.id] = self._clock.monotonic_s() + left_s
        self._counts[item.kind] += 1

    def take_out(self, item_id: str) -> None:
        """It has ended."""
        item = self._open.pop(item_id, None)
        if item is not None:
            del self._due_s[item_id]
            self._counts[item.kind] -= 1

    def open(self) -> list[ReviewItem]:
        """The open ones, oldest first."""
        return list(self._open.values())

    def __len__(self) -> int:
        return len(self._open)

    def count(self, kind: str) -> int:
        """How many of a kind are open."""
        return self._counts[kind]

    def due(self) -> list[ReviewItem]:
        """The open ones whose time is over."""
        now_s = self._clock.monotonic_s()
        return [self._open[each] for each, due_s in self._due_s.items() if due_s <= now_s]

    def left_s(self, item_id: str) -> float:
        """How long an open item has yet; below zero when it is over."""
        return self._due_s[item_id] - self._clock.monotonic_s()

    def get(self, item_id: str) -> ReviewItem | None:
        """An open item."""
        return self._open.get(item_id)

    def find(self, item_id: str) -> Ended | None:
        """An item, open or ended; may read the log, so call it off the loop."""
        found = self._open.get(item_id)
        if found is not None:
            return Ended(found, None)
        rows = rows_of(self._cursor(), _JOINED + "WHERE i.id = ?", [item_id])
        return _ended(rows[0]) if rows else None

    def ended(self, kind: str, turn: Turn, tenant: str, most: int) -> list[Ended]:
        """Those that ended last, newest first, of a kind and a tenant or of all; reads the log."""
        sql = (
            _JOINED + "WHERE t.turn = ? AND ? IN ('', i.kind) AND ? IN ('', i.tenant) "
            "ORDER BY t.log_seq DESC LIMIT ?"
        )
        rows = rows_of(self._cursor(), sql, [turn.value, kind, tenant, most])
        return [_ended(row) for row in rows]

    def end_of(self, item_id: str) -> ReviewTurn | None:
        """The turn that ended an item, of refusals too; reads the log."""
        sql = (
            "SELECT t.item_id AS id, t.ts AS ended_at, t.turn, t.key_id AS by_key, t.reviewer, "
            "t.verdict, t.note, t.idempotency_key FROM review_turns t "
            f"WHERE t.item_id = ? AND {_END}"
        )
        rows = rows_of(self._cursor(), sql, [item_id])
        return _turn(rows[0]) if rows else None

    def claims(self) -> list[ReviewTurn]:
        """The last turn of every item whose last turn is a claim; reads the log."""
        sql = (
            "SELECT * EXCLUDE (newest) FROM (SELECT *, row_number() OVER (PARTITION BY item_id "
            "ORDER BY log_seq DESC) AS newest FROM review_turns) WHERE newest = 1 AND turn = ?"
        )
        return [
            ReviewTurn(
                row["item_id"], us(row["ts"]), row["turn"], row["key_id"], row["reviewer"],
                us(row["until_at"]),
            )
            for row in rows_of(self._cursor(), sql, [Turn.CLAIMED.value])
        ]  # fmt: skip

    def of_kind(self, kind: str, most: int) -> list[Ended]:
        """The newest items of a kind, open or ended, oldest first; reads the log."""
        sql = _JOINED + "WHERE i.kind = ? ORDER BY i.log_seq DESC LIMIT ?"
        return [_ended(row) for row in reversed(rows_of(self._cursor(), sql, [kind, most]))]

    def figures(self, since_us: int, tenant: str) -> list[dict[str, Any]]:
        """By kind what ended since: decided, defaulted, seconds to a ruling, agreement; the log."""
        return rows_of(self._cursor(), _FIGURES, [at_time(since_us), tenant])

    def labels(self, since_us: int, tenant: str) -> list[dict[str, Any]]:
        """The items of classification since, with their labels, null where none; reads the log."""
        return rows_of(self._cursor(), _LABELS, [at_time(since_us), tenant])

    def unsure_days(self, since_us: int, threshold: float) -> list[tuple[int, int, int]]:
        """By day since the epoch how many requests were unsure, of how many, the first of each
        session alone; reads the log.
        """
        rows = rows_of(self._cursor(), _UNSURE, [threshold, at_time(since_us)])
        return [(row["day"], row["unsure"], row["requests"]) for row in rows]


_UNSURE = """
    SELECT epoch_us(ts) // 86400000000 AS day, count(*) AS requests,
           count(*) FILTER (task_confidence < $1) AS unsure
    FROM decisions WHERE ts >= $2 AND task_source <> 'caller' AND session_decision_id IS NULL
    GROUP BY day ORDER BY day"""

_FIGURES = """
    WITH ended AS (
        SELECT i.kind, i.tenant, i.ts AS opened, t.ts, t.turn,
               CASE WHEN i.kind = 'classification' AND t.verdict <> 'dismiss'
                    THEN (t.verdict = i.task)::DOUBLE END AS agrees
        FROM review_items i JOIN review_turns t ON t.item_id = i.id
             AND t.turn IN ('decided', 'defaulted')
        UNION ALL
        SELECT 'refusal', v.tenant, v.ts, d.ts, 'decided',
               CASE d.verdict WHEN 'uphold' THEN 1.0 WHEN 'allow' THEN 0.0 END
        FROM reviews v JOIN review_decisions d ON d.review_id = v.id)
    SELECT kind, count(*) FILTER (turn = 'decided') AS decided,
           count(*) FILTER (turn = 'defaulted') AS defaulted,
           median(epoch(ts) - epoch(opened)) FILTER (turn = 'decided') AS took_s,
           avg(agrees) FILTER (turn = 'decided') AS agreement
    FROM ended WHERE ts >= $1 AND $2 IN ('', tenant) GROUP BY kind ORDER BY kind"""

_LABELS = """
    SELECT i.decision_id::VARCHAR AS decision_id, i.task AS guess, i.confidence, i.why,
           i.probability, t.turn, t.verdict
    FROM review_items i LEFT JOIN review_turns t ON t.item_id = i.id
         AND t.turn IN ('decided', 'defaulted')
    WHERE i.kind = 'classification' AND i.ts >= $1 AND $2 IN ('', i.tenant)
    ORDER BY i.log_seq"""


def _item(row: dict[str, Any]) -> ReviewItem:
    decision_id = row["decision_id"]
    return ReviewItem(
        row["id"], us(row["ts"]), row["kind"], row["subject"], row["why"],
        None if decision_id is None else str(decision_id), row["key_id"], row["tenant"],
        row["tier"], row["task"], row["deployment"], row["confidence"], row["probability"],
        us(row["due_at"]), row["detail"],
    )  # fmt: skip


def _turn(row: dict[str, Any]) -> ReviewTurn:
    return ReviewTurn(
        row["id"], us(row["ended_at"]), row["turn"], row["by_key"], row["reviewer"], None,
        row["verdict"], row["note"], row["idempotency_key"],
    )  # fmt: skip


def _ended(row: dict[str, Any]) -> Ended:
    return Ended(_item(row), None if row["turn"] is None else _turn(row))
