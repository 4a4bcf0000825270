"""The conversations that are kept: a file of their own, so that erasing one leaves nothing of it.

Nothing of them is in the log or in the published history: those are never changed, and what a
person said must be erasable. Every call is durable when it returns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.domain.clock import Clock
from service.domain.conversations import (
    Conversation,
    Turn,
    context_of,
    dump_context,
    dump_turn,
    load_turn,
)
from service.domain.errors import Conflict, StorageUnavailable
from service.storage.private_file import make_tables, open_private

FILE = "conversations.sqlite"
SCHEMA = 1
DAY_US = 86_400_000_000
MOST_SHOWN = 200

_TABLES = """
CREATE TABLE conversations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    person TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    seen_us INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    context BLOB NOT NULL,
    UNIQUE (owner, id)
);
CREATE INDEX conversations_by_person ON conversations (person) WHERE person <> '';
CREATE INDEX conversations_by_seen ON conversations (seen_us);
CREATE TABLE turns (
    conversation INTEGER NOT NULL,
    number INTEGER NOT NULL,
    decision_id TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (conversation, number)
) WITHOUT ROWID;
CREATE INDEX turns_by_decision ON turns (decision_id);
"""
_COLUMNS = "seq, owner, id, person, created_us, seen_us, revision, context"


@dataclass(frozen=True, slots=True)
class Head:
    """A conversation without what was said."""

    owner: str
    id: str
    created_us: int
    seen_us: int
    turns: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept: of one owner conversations and bytes, of one conversation turns."""

    most: int = 10_000
    most_bytes: int = 500_000_000
    most_turns: int = 1_000


class ConversationStore:
    """One thread at a time. ``bounds`` may be changed."""

    def __init__(
        self, state_dir: Path, bounds: Bounds, clock: Clock, notices: list[str] | None = None
    ) -> None:
        path = state_dir / FILE
        self.bounds, self._clock = bounds, clock
        self._db = open_private(
            path, clock, lambda db: make_tables(db, path, _TABLES, SCHEMA),
            "the kept conversations are lost", notices,
        )  # fmt: skip

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # read -------------------------------------------------------------------------------------

    def find(self, owner: str, identity: str) -> Conversation | None:
        """A conversation of an owner, with all its turns."""
        with _told():
            return self._found("owner = ? AND id = ?", owner, identity)

    def holding(self, owner: str, decision_id: str) -> tuple[Conversation, int] | None:
        """The newest conversation of an owner that has the turn of a decision, and its number."""
        with _told():
            row = self._db.execute(
                "SELECT c.seq, t.number FROM turns t JOIN conversations c ON c.seq = "
                "t.conversation WHERE t.decision_id = ? AND c.owner = ? ORDER BY "
                "(SELECT max(number) FROM turns o WHERE o.conversation = c.seq) = t.number DESC, "
                "c.seq LIMIT 1",
                (decision_id, owner),
            ).fetchone()
            if row is None:
                return None
            found = self._found("seq = ?", row[0])
            return None if found is None else (found, int(row[1]))

    def heads(self, owner: str) -> list[Head]:
        """The conversations of an owner, the newest first."""
        with _told():
            rows = self._db.execute(
                "SELECT owner, id, created_us, seen_us, (SELECT count(*) FROM turns WHERE "
                "conversation = seq), bytes FROM conversations WHERE owner = ? "
                "ORDER BY seen_us DESC LIMIT ?",
                (owner, MOST_SHOWN),
            ).fetchall()
        return [Head(*row) for row in rows]

    def counted(self) -> tuple[int, int]:
        """How many are kept, and their bytes."""
        with _told():
            row = self._db.execute(
                "SELECT count(*), coalesce(sum(bytes), 0) FROM conversations"
            ).fetchone()
        return int(row[0]), int(row[1])

    def _found(self, where: str, *values: Any) -> Conversation | None:
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM conversations WHERE {where}", values
        ).fetchone()
        if row is None:
            return None
        turns = self._db.execute(
            "SELECT data FROM turns WHERE conversation = ? ORDER BY number", (row[0],)
        ).fetchall()
        system, pins, summary = context_of(row[7])
        return Conversation(
            row[2], row[1], row[3], row[4], row[5], row[6], system, pins, summary,
            tuple(load_turn(each[0]) for each in turns),
        )  # fmt: skip

    # write ------------------------------------------------------------------------------------

    def begin(self, whole: Conversation) -> None:
        """A new conversation with all that it has; raises Conflict where there is one, or no room.

        One with turns is a branch of another: its turns are copies.
        """
        with self._transaction():
            self._room(whole.owner, sum(len(dump_turn(turn)) for turn in whole.turns), 1)
            made = self._db.execute(
                "INSERT OR IGNORE INTO conversations (owner, id, person, created_us, seen_us, "
                "revision, bytes, context) VALUES (?, ?, ?, ?, ?, ?, 0, ?)",
                (whole.owner, whole.id, whole.person, whole.created_us, whole.seen_us,
                 whole.revision, dump_context(whole)),
            )  # fmt: skip
            if made.rowcount != 1:
                raise _moved()
            for turn in whole.turns:
                self._put(int(made.lastrowid or 0), turn)

    def append(self, after: Conversation, turn: Turn) -> None:
        """One more turn, and the context as ``after`` has it; raises Conflict where the kept one
        is no longer the one that this follows (it was changed, or erased), or is full.
        """
        with self._transaction():
            data = dump_turn(turn)
            if turn.number > self.bounds.most_turns:
                raise Conflict(
                    f"this conversation has {self.bounds.most_turns} turns, the most that are "
                    "kept; begin another one",
                    code="conversation_full",
                )
            self._room(after.owner, len(data), 0)
            seq = self._changed(after)
            self._put(seq, turn)

    def write_context(self, after: Conversation) -> bool:
        """The context without its turns (a summary, pins); whether it was still as before."""
        try:
            with self._transaction():
                self._changed(after)
        except Conflict:
            return False
        return True

    def _changed(self, after: Conversation) -> int:
        row = self._db.execute(
            "UPDATE conversations SET seen_us = ?, revision = ?, context = ?, person = ? "
            "WHERE owner = ? AND id = ? AND revision = ? RETURNING seq",
            (after.seen_us, after.revision, dump_context(after), after.person, after.owner,
             after.id, after.revision - 1),
        ).fetchone()  # fmt: skip
        if row is None:
            raise _moved()
        return int(row[0])

    def _put(self, seq: int, turn: Turn) -> None:
        data = dump_turn(turn)
        self._db.execute(
            "INSERT INTO turns VALUES (?, ?, ?, ?)", (seq, turn.number, turn.decision_id, data)
        )
        self._db.execute(
            "UPDATE conversations SET bytes = bytes + ? WHERE seq = ?", (len(data), seq)
        )

    def _room(self, owner: str, more: int, new: int) -> None:
        count, size = self._db.execute(
            "SELECT count(*), coalesce(sum(bytes), 0) FROM conversations WHERE owner = ?", (owner,)
        ).fetchone()
        if count + new > self.bounds.most or size + more > self.bounds.most_bytes:
            raise Conflict(
                "no more can be kept for this key: its conversations are as many, or as long, as "
                "the plan allows; delete some, or send the whole conversation yourself",
                code="conversations_full",
            )

    # erase ------------------------------------------------------------------------------------

    def erase(self, owner: str, identity: str) -> int:
        """Erase a conversation; how many there were."""
        return self._erased("owner = ? AND id = ?", owner, identity)

    def erase_person(self, person: str, owner: str | None, labelled: bool = False) -> int:
        """Erase all conversations of a user: of one owner (``labelled``: whatever tenant its
        requests were labelled with), or of all; how many there were.
        """
        if owner is None:
            return self._erased("person = ?", person)
        if not labelled:
            return self._erased("person = ? AND owner = ?", person, owner)
        return self._erased(
            "person = ? AND (owner = ? OR substr(owner, 1, ?) = ?)",
            person, owner, len(owner) + 1, f"{owner}/",
        )  # fmt: skip

    def expire(self, keep_us: int) -> int:
        """Erase what nobody has gone on with for so long; how many there were."""
        return self._erased("seen_us < ?", self._clock.wall_us() - keep_us)

    def erase_turn(self, owner: str, decision_id: str) -> int:
        """Erase the turn of a decision from every conversation of an owner, with the turns that a
        tool's call binds to it, and the summaries that tell of it; how many conversations had it.
        """
        changed = 0
        with self._transaction():
            rows = self._db.execute(
                "SELECT c.seq FROM turns t JOIN conversations c ON c.seq = t.conversation "
                "WHERE t.decision_id = ? AND c.owner = ?", (decision_id, owner),
            ).fetchall()  # fmt: skip
            for (seq,) in rows:
                whole = self._found("seq = ?", seq)
                if whole is not None:
                    self._without(seq, whole, decision_id)
                    changed += 1
        self._forget_pages()
        return changed

    def _without(self, seq: int, whole: Conversation, decision_id: str) -> None:
        at = next(i for i, turn in enumerate(whole.turns) if turn.decision_id == decision_id)
        first, end = at, at + 1
        while first > 0 and not whole.turns[first].opens:
            first -= 1
        while end < len(whole.turns) and not whole.turns[end].opens:
            end += 1
        gone = whole.turns[first:end]
        if len(gone) == len(whole.turns):
            self._db.execute("DELETE FROM turns WHERE conversation = ?", (seq,))
            self._db.execute("DELETE FROM conversations WHERE seq = ?", (seq,))
            return
        for turn in gone:
            self._db.execute(
                "DELETE FROM turns WHERE conversation = ? AND number = ?", (seq, turn.number)
            )
        summary = whole.summary
        if summary is not None and summary.through >= gone[0].number:
            summary = None
        after = Conversation(
            whole.id, whole.owner, whole.person, whole.created_us, whole.seen_us,
            whole.revision + 1, whole.system, whole.pins, summary,
        )  # fmt: skip
        self._changed(after)
        self._db.execute(
            "UPDATE conversations SET bytes = bytes - ? WHERE seq = ?",
            (sum(len(dump_turn(turn)) for turn in gone), seq),
        )

    def _erased(self, where: str, *values: Any) -> int:
        with self._transaction():
            rows = self._db.execute(f"SELECT seq FROM conversations WHERE {where}", values)
            found = rows.fetchall()
            for row in found:
                self._db.execute("DELETE FROM turns WHERE conversation = ?", row)
                self._db.execute("DELETE FROM conversations WHERE seq = ?", row)
        if found:
            self._forget_pages()
        return len(found)

    def _forget_pages(self) -> None:
        """What was erased stays neither in the file's free pages (they are overwritten) nor in the
        write-ahead log.
        """
        with _told():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def _moved() -> Conflict:
    return Conflict(
        "the conversation has changed meanwhile; read it, and send the turn again",
        code="conversation_changed",
    )


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageUnavailable(
            f"conversations cannot be read or written now ({type(error).__name__}); try again",
            retry_after_s=5.0,
        ) from None
