"""The queue's tickets: put, leased, completed once, failed, expired; durable before it returns."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.domain.clock import Clock, new_id
from service.domain.errors import Conflict, StorageUnavailable, UpstreamExhausted
from service.domain.tickets import Claim, Counts, Ended, NewTicket, State, Ticket
from service.storage.queue_file import boot_id, open_file
from service.storage.queue_views import COLUMNS, counts, held_by, live_bytes, ticket_of, unanswered

log = logging.getLogger("headgate.storage")

MOST_KEYS = 10_000
FULL_RETRY_S = 60.0
ANCHOR_S = 30.0
_LOST = "its worker was lost each time: by a crash, or by a call that never ended"


@dataclass(frozen=True, slots=True)
class QueueRules:
    """Bounds of the queue, in tickets and seconds."""

    most_waiting: int = 1_000
    most_per_key: int = 250
    most_bytes: int = 1_000_000_000
    lease_s: float = 60.0
    tries: int = 8
    keep_answers_s: float = 86_400.0
    keep_dead_s: float = 604_800.0
    fetched_s: float = 600.0  # how long an answer stays after it was first fetched


class QueueStore:
    """One thread at a time. Leases, deadlines and waits run on the monotonic clock.

    The state directory belongs to one process, so the leases of an earlier one end at the start.
    """

    def __init__(
        self,
        state_dir: Path,
        rules: QueueRules,
        clock: Clock,
        boot: str | None = None,
        notices: list[str] | None = None,
        tell: Callable[[Ended], None] = lambda ended: None,
    ) -> None:
        self._rules, self._clock = rules, clock
        self._boot = boot or boot_id()
        self._db = open_file(state_dir, clock, self._boot, notices)
        self._turns: dict[str, int] = {}
        self._turn = 0
        self._anchored_s = clock.monotonic_s()
        self._tell = tell  # called once the end is durable
        self._burials: list[Ended] = []
        self.counts = Counts()
        with self._transaction():
            self._db.execute("UPDATE tickets SET lease_until_s = ? WHERE state = 'running'",
                             (self._now,))  # fmt: skip
            self._settle()
        self.recount()

    @property
    def connection(self) -> sqlite3.Connection:
        """For reading, on the same thread."""
        return self._db

    @property
    def _now(self) -> float:
        return self._clock.monotonic_s()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # the caller's side ------------------------------------------------------------------------

    def put(self, new: NewTicket) -> Ticket:
        """A ticket, durable when this returns; the earlier one under the same idempotency key.

        Raises Conflict for that key with another body, UpstreamExhausted when the queue is full.
        """
        with self._transaction():
            self._settle()
            earlier = self._known(new.key_id, new.idempotency, new.digest)
            if earlier is not None:
                return earlier
            self._check_room(new)
            now_s = self._now
            self._db.execute(
                "INSERT INTO tickets (id, key_id, tenant, state, created_us, lasts_s, deadline_s, "
                "ready_s, session, body, idempotency, digest, webhook) "
                "VALUES (?, ?, ?, 'waiting', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (new.id, new.key_id, new.tenant, self._clock.wall_us(), new.lasts_s,
                 now_s + new.lasts_s, now_s, new.session, new.body, new.idempotency, new.digest,
                 new.webhook),
            )  # fmt: skip
            self._anchor()
            made = self._find(new.id)
        assert made is not None
        return made

    def _check_room(self, new: NewTicket) -> None:
        rules, told = self._rules, ""
        if unanswered(self._db, self.counts).unanswered >= rules.most_waiting:
            told = "the queue is full"
        elif held_by(self._db, new.key_id) >= rules.most_per_key:
            told = f"this key already has {rules.most_per_key} requests in the queue"
        elif live_bytes(self._db) + len(new.body) > rules.most_bytes:
            told = "the queue may take no more bytes"
        if told:
            raise UpstreamExhausted(
                f"no deployment answers now and {told}; try again later",
                code="queue_full",
                retry_after_s=FULL_RETRY_S,
            )

    def known(self, key_id: str, idempotency: str, digest: str) -> Ticket | None:
        """The ticket under an idempotency key; raises Conflict when its body was another."""
        with _told():
            return self._known(key_id, idempotency, digest)

    def _known(self, key_id: str, idempotency: str, digest: str) -> Ticket | None:
        if not idempotency:
            return None
        row = self._db.execute(
            f"SELECT {COLUMNS} FROM tickets WHERE key_id = ? AND idempotency = ?",
            (key_id, idempotency),
        ).fetchone()
        if row is None:
            return None
        found = ticket_of(row)
        if found.digest != digest:
            raise Conflict(
                "this Idempotency-Key came before with another body; use a fresh one",
                param="Idempotency-Key",
                code="idempotency_conflict",
            )
        return found

    def find(self, ticket_id: str) -> Ticket | None:
        """A ticket by its id."""
        with _told():
            return self._find(ticket_id)

    def _find(self, ticket_id: str) -> Ticket | None:
        row = self._db.execute(
            f"SELECT {COLUMNS} FROM tickets WHERE id = ?", (ticket_id,)
        ).fetchone()
        return None if row is None else ticket_of(row)

    def fetched(self, ticket_id: str) -> None:
        """The answer was fetched: it is erased a while later, should it have to be asked again."""
        with self._transaction():
            self._db.execute(
                "UPDATE tickets SET erase_at_s = min(erase_at_s, ?) "
                "WHERE id = ? AND answer IS NOT NULL AND erase_at_s = keep_until_s",
                (self._now + self._rules.fetched_s, ticket_id),
            )

    def remove(self, ticket_id: str) -> bool:
        """Erase a ticket, whatever its state, its bodies included."""
        with self._transaction():
            gone = self._db.execute("DELETE FROM tickets WHERE id = ?", (ticket_id,)).rowcount
        self._truncate()
        return gone == 1

    def retry(self, ticket_id: str) -> bool:
        """Let a dead or expired ticket wait again, with fresh tries and its first patience."""
        with self._transaction():
            now_s = self._now
            changed = self._db.execute(
                "UPDATE tickets SET state = 'waiting', tries = 0, ready_s = ?, "
                "deadline_s = ? + lasts_s, ended_us = NULL, keep_until_s = NULL, "
                "hook_at_s = NULL, hook_tries = 0, reason = '', code = '' "
                "WHERE id = ? AND state IN ('dead', 'expired') AND body IS NOT NULL",
                (now_s, now_s, ticket_id),
            ).rowcount
        return changed == 1

    # the worker's side ------------------------------------------------------------------------

    def claim(self) -> Claim | None:
        """The oldest ready ticket of the key that was served longest ago, leased; or None."""
        with self._transaction():
            self._settle()
            rows = self._db.execute(
                "SELECT key_id, min(seq) FROM tickets WHERE state = 'waiting' AND ready_s <= ? "
                "GROUP BY key_id",
                (self._now,),
            ).fetchall()
            if not rows:
                return None
            key_id, seq = min(rows, key=lambda row: (self._turns.get(row[0], 0), row[1]))
            self._turn += 1
            if len(self._turns) > MOST_KEYS:
                self._turns.clear()
            self._turns[key_id] = self._turn
            token = new_id()
            self._db.execute(
                "UPDATE tickets SET state = 'running', lease = ?, lease_until_s = ?, "
                "tries = tries + 1 WHERE seq = ?",
                (token, self._now + self._rules.lease_s, seq),
            )
            self._anchor()
            row = self._db.execute(
                "SELECT id, body, session, tries FROM tickets WHERE seq = ?", (seq,)
            ).fetchone()
        return Claim(row[0], token, key_id, row[1], row[2], row[3])

    def renew(self, claim: Claim) -> bool:
        """Lengthen a lease; False when it is lost."""
        with self._transaction():
            self._settle()
            held = self._db.execute(
                "UPDATE tickets SET lease_until_s = ? WHERE id = ? AND lease = ?",
                (self._now + self._rules.lease_s, claim.id, claim.token),
            ).rowcount
        return held == 1

    def complete(self, claim: Claim, decision_id: str, answer: bytes, detail: str) -> bool:
        """The answer, accepted once and only from the holder of the lease; the prompt is erased."""
        with self._transaction():
            self._settle()
            keep_s = self._now + self._rules.keep_answers_s
            accepted = self._db.execute(
                "UPDATE tickets SET state = 'done', ended_us = ?, decision_id = ?, answer = ?, "
                "detail = ?, body = NULL, session = '', lease = NULL, lease_until_s = NULL, "
                "reason = '', code = '', keep_until_s = ?, erase_at_s = ?, "
                "hook_at_s = CASE WHEN webhook <> '' THEN ? END WHERE id = ? AND lease = ?",
                (self._clock.wall_us(), decision_id, answer, detail, keep_s, keep_s, self._now,
                 claim.id, claim.token),
            ).rowcount  # fmt: skip
        self._truncate()
        return accepted == 1

    def release(
        self, claim: Claim, wait_s: float, counted: bool, code: str = "", reason: str = ""
    ) -> bool:
        """Give a ticket back, to be tried after ``wait_s``; dead when its tries are used up.

        A try that is not counted was not the ticket's fault: an outage, or our own stop.
        """
        with self._transaction():
            self._settle()
            row = self._db.execute(
                "SELECT tries FROM tickets WHERE id = ? AND lease = ?", (claim.id, claim.token)
            ).fetchone()
            if row is None:
                return False
            if counted and row[0] >= self._rules.tries:
                self._bury(claim.id, State.DEAD, code, reason)
                return True
            self._db.execute(
                "UPDATE tickets SET state = 'waiting', lease = NULL, lease_until_s = NULL, "
                "tries = ?, ready_s = ?, code = ?, reason = ? WHERE id = ?",
                (row[0] - (not counted), self._now + wait_s, code, reason, claim.id),
            )
        return True

    def bury(self, claim: Claim, code: str, reason: str) -> bool:
        """Another try would fail too: dead at once."""
        with self._transaction():
            self._settle()
            held = self._db.execute(
                "SELECT 1 FROM tickets WHERE id = ? AND lease = ?", (claim.id, claim.token)
            ).fetchone()
            if held is not None:
                self._bury(claim.id, State.DEAD, code, reason)
        return held is not None

    # time -------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """What time does: leases and deadlines end, answers and the dead are erased."""
        now_s = self._now
        with self._transaction():
            self._settle()
            gone = self._db.execute(
                "DELETE FROM tickets WHERE keep_until_s <= ?", (now_s,)
            ).rowcount
            gone += self._db.execute(
                "UPDATE tickets SET answer = NULL, erase_at_s = NULL WHERE erase_at_s <= ?",
                (now_s,),
            ).rowcount
            if self.counts.unanswered and now_s - self._anchored_s >= ANCHOR_S:
                self._anchor()
        self.recount()
        if gone:
            self._truncate()

    def recount(self) -> Counts:
        """Count all that there is."""
        with _told():
            self.counts = counts(self._db, self._clock.wall_us())
        return self.counts

    def _settle(self) -> None:
        """Leases and deadlines that have run out, before anything else is looked at."""
        now_s = self._now
        lost = self._db.execute(
            "SELECT id, tries FROM tickets WHERE state = 'running' AND lease_until_s <= ?",
            (now_s,),
        ).fetchall()
        for ticket_id, tries in lost:
            if tries >= self._rules.tries:
                self._bury(ticket_id, State.DEAD, "worker_lost", _LOST)
            else:
                self._db.execute(
                    "UPDATE tickets SET state = 'waiting', lease = NULL, lease_until_s = NULL, "
                    "ready_s = ? WHERE id = ?",
                    (now_s, ticket_id),
                )
        late = self._db.execute(
            "SELECT id, reason FROM tickets WHERE state = 'waiting' AND deadline_s <= ?", (now_s,)
        ).fetchall()
        for ticket_id, reason in late:
            last = f"; the last try: {reason}" if reason else ""
            told = f"it was not answered before its deadline{last}"
            self._bury(ticket_id, State.EXPIRED, "deadline_passed", told)

    def _bury(self, ticket_id: str, state: State, code: str, reason: str) -> None:
        now_s = self._now
        self._db.execute(
            "UPDATE tickets SET state = ?, ended_us = ?, code = ?, reason = ?, lease = NULL, "
            "lease_until_s = NULL, keep_until_s = ?, "
            "hook_at_s = CASE WHEN webhook <> '' THEN ? END WHERE id = ?",
            (state.value, self._clock.wall_us(), code, reason, now_s + self._rules.keep_dead_s,
             now_s, ticket_id),
        )  # fmt: skip
        self._burials.append(Ended(ticket_id, state, code, reason))

    def _anchor(self) -> None:
        """Where both clocks stand, so that a reboot can tell how long it was away."""
        self._anchored_s = self._now
        self._db.execute("UPDATE anchor SET monotonic_s = ?, wall_us = ?",
                         (self._anchored_s, self._clock.wall_us()))  # fmt: skip

    def _truncate(self) -> None:
        """Empty the write-ahead log, so that what was erased is not left in it."""
        with _told():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    # webhooks ---------------------------------------------------------------------------------

    def hooks_due(self, most: int) -> list[Ticket]:
        """Ended tickets whose webhook is to be called now."""
        with _told():
            rows = self._db.execute(
                f"SELECT {COLUMNS} FROM tickets WHERE hook_at_s <= ? ORDER BY hook_at_s LIMIT ?",
                (self._now, most),
            ).fetchall()
        return [ticket_of(row) for row in rows]

    def hook_called(self, ticket_id: str, again_in_s: float | None) -> None:
        """A webhook was called; ``again_in_s`` None when that was the last time."""
        at_s = None if again_in_s is None else self._now + again_in_s
        with self._transaction():
            self._db.execute(
                "UPDATE tickets SET hook_tries = hook_tries + 1, hook_at_s = ? WHERE id = ?",
                (at_s, ticket_id),
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, on disk at the end; StorageUnavailable when that cannot be."""
        with _told():
            self._db.execute("BEGIN IMMEDIATE")
            self._burials.clear()
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self.counts = unanswered(self._db, self.counts)
            burials, self._burials = self._burials, []
        for ended in burials:
            self._tell(ended)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        log.error("the queue's file cannot be used: %s", error)
        raise StorageUnavailable(
            "the queue cannot be written or read now; try again soon", retry_after_s=5.0
        ) from None
