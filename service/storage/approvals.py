"""What waits for a second person, and what must still be looked at: durable, gone at its time."""

from __future__ import annotations

from typing import Any

from service.domain.approvals import BROKE_GLASS, WAITS, Approval
from service.domain.clock import Clock
from service.storage.cases import rows_of, us
from service.storage.database import Database

_FIELDS = (
    "kind", "act", "subject", "standing", "method", "path", "body", "reason", "author", "actor",
    "role", "key_id", "ip", "request_id", "needs",
)  # fmt: skip
MOST_WARNINGS = 20


class ApprovalStore:
    """Those that are open. What waits expires on the monotonic clock while the process lives, as
    overrides do; what was done at once stays open until somebody has looked at it.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock, self._database = clock, database
        self._open: dict[str, tuple[Approval, float]] = {}
        rows = rows_of(
            database.cursor(),
            "SELECT * FROM approvals WHERE id NOT IN (SELECT approval_id FROM approval_ends) "
            "ORDER BY log_seq",
        )
        for row in rows:
            self.put(_approval(row))

    def put(self, approval: Approval) -> None:
        """One that is durable."""
        left_s = (approval.expires_us - self._clock.wall_us()) / 1e6
        left_s = min(left_s, (approval.expires_us - approval.at_us) / 1e6)
        self._open[approval.id] = (approval, self._clock.monotonic_s() + left_s)

    def end(self, approval_id: str) -> None:
        """One that is open no more."""
        self._open.pop(approval_id, None)

    def find(self, approval_id: str) -> Approval | None:
        """One that is open, by its id."""
        found = self._open.get(approval_id)
        if found is None or (found[0].kind == WAITS and found[1] <= self._clock.monotonic_s()):
            return None
        return found[0]

    def open(self) -> list[Approval]:
        """All that are, the oldest first."""
        return [each for each, _ in self._open.values() if self.find(each.id) is not None]

    def overdue(self) -> list[Approval]:
        """Those whose time is over; each is to be ended."""
        now_s = self._clock.monotonic_s()
        return [a for a, ends_s in self._open.values() if a.kind == WAITS and ends_s <= now_s]

    def ended(self, most: int = 200) -> list[dict[str, Any]]:
        """The newest that are open no more, each with its end; blocks."""
        return rows_of(
            self._database.cursor(),
            "SELECT a.*, e.how, e.ts AS ended_at, e.actor AS ended_by, e.reason AS end_reason "
            f"FROM approvals a JOIN approval_ends e ON e.approval_id = a.id "
            f"ORDER BY e.log_seq DESC LIMIT {int(most)}",
        )

    def was(self, approval_id: str) -> tuple[Approval, dict[str, Any]] | None:
        """One that is open no more, with its end; blocks."""
        rows = rows_of(
            self._database.cursor(),
            "SELECT a.*, e.how, e.ts AS ended_at, e.actor AS ended_by, e.reason AS end_reason "
            "FROM approvals a JOIN approval_ends e ON e.approval_id = a.id WHERE a.id = ?",
            [approval_id],
        )
        return (_approval(rows[0]), rows[0]) if rows else None

    def warnings(self) -> list[str]:
        """What an operator should be told: each, but where there are many the first of them."""
        broken = [each for each in self.open() if each.kind == BROKE_GLASS]
        more = len(broken) - MOST_WARNINGS
        return [
            *(
                f"glass was broken: {a.actor} did {a.act} on {a.subject} without a second person "
                f"({a.reason}); somebody else must look at it: headgate approvals acknowledge "
                f"{a.id}"
                for a in broken[:MOST_WARNINGS]
            ),
            *([f"glass was broken {more} more times: headgate approvals list"] if more > 0 else []),
        ]

    def counts(self) -> dict[str, int]:
        """How many wait, and how many are to be looked at."""
        kinds = [each.kind for each in self.open()]
        return {"waiting": kinds.count(WAITS), "to_acknowledge": kinds.count(BROKE_GLASS)}


def _approval(row: dict[str, Any]) -> Approval:
    told: dict[str, Any] = {name: row[name] for name in _FIELDS}
    return Approval(id=row["id"], at_us=us(row["ts"]), expires_us=us(row["expires_at"]), **told)
