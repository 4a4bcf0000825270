"""The queue of human review: what is open, what was decided, and what each came to."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from service.domain.clock import Clock
from service.domain.refusals import Review, ReviewDecision
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Database

MOST_OPEN = 10_000
MOST_KNOWN = 20_000
OPEN = "open"
_JOINED = (
    "SELECT v.*, d.ts AS decided_at, d.verdict, d.reviewer, d.note FROM reviews v "
    "LEFT JOIN review_decisions d ON d.review_id = v.id "
)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A review, and what was decided; None while it is open."""

    review: Review
    decision: ReviewDecision | None


class ReviewStore:
    """Open reviews in memory, from the log at the start; decided ones are read from the log."""

    def __init__(self, database: Database, clock: Clock, known_s: float) -> None:
        self._cursor, self._clock = database.cursor, clock
        self._open: dict[str, Review] = {}
        self._deciding: set[str] = set()
        self._standing: OrderedDict[str, str] = OrderedDict()  # request hash -> open, or verdict
        since = at_time(clock.wall_us() - int(known_s * 1e6))
        rows = rows_of(
            database.cursor(),
            _JOINED + "WHERE d.verdict IS NULL OR v.ts >= ? ORDER BY v.log_seq",
            [since],
        )
        for row in rows:
            found = _reviewed(row)
            if found.decision is None:
                self._open[found.review.id] = found.review
            verdict = found.decision.verdict if found.decision else OPEN
            self._stands(found.review.request_hash, verdict)

    def open(self) -> list[Review]:
        """The open reviews, oldest first."""
        return list(self._open.values())

    def get(self, review_id: str) -> Review | None:
        """An open review."""
        return self._open.get(review_id)

    def __len__(self) -> int:
        return len(self._open)

    def counts(self) -> tuple[int, int]:
        """How many are open, and how many of these are overdue."""
        now_us = self._clock.wall_us()
        return len(self._open), sum(each.due_us < now_us for each in self._open.values())

    def standing(self, request_hash: str) -> str:
        """Of the latest review of a request: ``open``, its verdict, or empty where none is."""
        return self._standing.get(request_hash, "")

    def put(self, review: Review) -> bool:
        """Open a review; False where the queue is full."""
        if len(self._open) >= MOST_OPEN:
            return False
        self._open[review.id] = review
        self._stands(review.request_hash, OPEN)
        return True

    def claim(self, review_id: str) -> Review | None:
        """An open review, for one who is about to decide it; None where that is not to be."""
        if review_id in self._deciding or review_id not in self._open:
            return None
        self._deciding.add(review_id)
        return self._open[review_id]

    def settle(self, review_id: str, verdict: str | None) -> None:
        """End a claim: with the verdict that is now durable, or with None, and it stays open."""
        self._deciding.discard(review_id)
        if verdict is not None:
            review = self._open.pop(review_id)
            self._stands(review.request_hash, verdict)

    def find(self, review_id: str) -> Reviewed | None:
        """A review, open or decided; may read the log, so call it off the loop."""
        found = self._open.get(review_id)
        if found is not None:
            return Reviewed(found, None)
        rows = rows_of(self._cursor(), _JOINED + "WHERE v.id = ?", [review_id])
        return _reviewed(rows[0]) if rows else None

    def decided(self, most: int) -> list[Reviewed]:
        """The reviews that were decided last, newest first; reads the log."""
        sql = _JOINED + "WHERE d.verdict IS NOT NULL ORDER BY d.log_seq DESC LIMIT ?"
        return [_reviewed(row) for row in rows_of(self._cursor(), sql, [most])]

    def _stands(self, request_hash: str, standing: str) -> None:
        self._standing[request_hash] = standing
        self._standing.move_to_end(request_hash)
        if len(self._standing) > MOST_KNOWN:
            self._standing.popitem(last=False)


def _reviewed(row: dict[str, Any]) -> Reviewed:
    review = Review(
        row["id"], us(row["ts"]), row["incident"], str(row["decision_id"]), row["request_hash"],
        row["key_id"], row["tenant"], row["tier"], row["unit"], row["task"], row["deployment"],
        row["provider"], row["word"], us(row["due_at"]),
    )  # fmt: skip
    if row["verdict"] is None:
        return Reviewed(review, None)
    decision = ReviewDecision(
        review.id, us(row["decided_at"]), row["verdict"], row["reviewer"], row["note"]
    )
    return Reviewed(review, decision)
