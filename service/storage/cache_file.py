"""The file of kept answers: SQLite, opened by one process, every row with a keyed checksum."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.domain.clock import Clock
from service.storage.errors import StorageError

log = logging.getLogger("headgate.storage")

FILE = "cache.sqlite"
SCHEMA = 1
PAGE = 4096
_TABLES = """
CREATE TABLE answers (
    name TEXT PRIMARY KEY, policy TEXT NOT NULL, meta TEXT NOT NULL, tail BLOB NOT NULL,
    stored_s REAL NOT NULL, dies_s REAL NOT NULL, checksum BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX answers_by_time ON answers (stored_s);
CREATE TABLE anchor (boot TEXT NOT NULL, monotonic_s REAL NOT NULL, wall_us INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Row:
    """An answer as it lies in the file. ``meta``: all else that is known of it, JSON."""

    name: str
    meta: str
    tail: bytes
    stored_s: float
    dies_s: float


class CacheFile:
    """Called from one thread at a time. Times are of the monotonic clock; after a reboot, which
    begins that clock anew, they are moved by what the wall clock says has passed, never less than
    nothing: a wall clock that is set back brings nothing back.
    """

    def __init__(self, state_dir: Path, secret: bytes, most_bytes: int) -> None:
        self.path = state_dir / FILE
        self._secret = hashlib.blake2b(b"cache file", key=secret, digest_size=32).digest()
        self.most_bytes = most_bytes
        self._connection: sqlite3.Connection | None = None
        self.torn = 0  # rows whose checksum did not fit

    def open(self, clock: Clock, boot: str) -> None:
        """Open or make it. What is damaged is thrown away: answers can be had again."""
        try:
            self._open(clock, boot)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise StorageError(f"{self.path} cannot be opened: {error}") from None
            self._make_anew(clock, boot)

    def _make_anew(self, clock: Clock, boot: str) -> None:
        log.error("the file of kept answers was damaged and is made anew")
        self.close()
        delete(self.path.parent)
        self._open(clock, boot)

    def _open(self, clock: Clock, boot: str) -> None:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        self.path.chmod(0o600)
        connection = sqlite3.connect(
            self.path, timeout=2.0, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in (
                f"page_size = {PAGE}", "auto_vacuum = INCREMENTAL", "locking_mode = EXCLUSIVE",
                "journal_mode = WAL", "synchronous = FULL", "secure_delete = ON",
                f"max_page_count = {max(self.most_bytes // PAGE, 16)}",
                "journal_size_limit = 4000000",
            ):  # fmt: skip
                connection.execute(f"PRAGMA {pragma}")
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found != SCHEMA:
                if found:
                    raise sqlite3.DatabaseError("of another form")
                connection.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {SCHEMA};COMMIT;")
            self._connection = connection
            self._carry_over(clock, boot)
        except BaseException:
            connection.close()
            self._connection = None
            raise

    @property
    def _db(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection

    def _carry_over(self, clock: Clock, boot: str) -> None:
        row = self._db.execute("SELECT boot, monotonic_s, wall_us FROM anchor").fetchone()
        now_s, now_us = clock.monotonic_s(), clock.wall_us()
        self._db.execute("BEGIN IMMEDIATE")
        if row is not None and (row[0] != boot or now_s < row[1]):
            shift_s = now_s - (row[1] + max((now_us - row[2]) / 1e6, 0.0))
            self._db.execute(
                "UPDATE answers SET stored_s = stored_s + ?, dies_s = dies_s + ?",
                (shift_s, shift_s),
            )
        self._anchored(clock, boot)
        self._db.execute("COMMIT")

    def _anchored(self, clock: Clock, boot: str) -> None:
        self._db.execute("DELETE FROM anchor")
        self._db.execute(
            "INSERT INTO anchor VALUES (?, ?, ?)", (boot, clock.monotonic_s(), clock.wall_us())
        )

    def read(self, policy: str, at: tuple[Clock, str], most_bytes: int) -> list[Row]:
        """The newest whole rows within so many bytes, the oldest first; all others are deleted.
        Damage may show here alone: then the file is made anew.
        """
        try:
            return self._read(policy, at[0].monotonic_s(), most_bytes)
        except sqlite3.DatabaseError:
            self._make_anew(*at)
            return []

    def _read(self, policy: str, now_s: float, most_bytes: int) -> list[Row]:
        found: list[Row] = []
        out: list[tuple[str]] = []
        left = most_bytes
        for name, its, meta, tail, stored_s, dies_s, checksum in self._db.execute(
            "SELECT name, policy, meta, tail, stored_s, dies_s, checksum FROM answers "
            "ORDER BY stored_s DESC"
        ):
            whole = checksum == self._checksum(name, its, meta, tail)
            self.torn += not whole
            left -= len(tail)
            if whole and its == policy and dies_s > now_s and left >= 0:
                found.append(Row(name, meta, tail, stored_s, dies_s))
            else:
                out.append((name,))
        if out:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("DELETE FROM answers WHERE name = ?", out)
            self._db.execute("COMMIT")
        return found[::-1]

    def write(
        self, policy: str, puts: Sequence[Row], gone: Iterable[str], at: tuple[Clock, str]
    ) -> None:
        """Delete and keep, in one transaction; raises StorageError, and then nothing is changed."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(
                    "DELETE FROM answers WHERE name = ?", [(name,) for name in gone]
                )
                self._db.executemany(
                    "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [
                        (each.name, policy, each.meta, each.tail, each.stored_s, each.dies_s,
                         self._checksum(each.name, policy, each.meta, each.tail))
                        for each in puts
                    ],
                )  # fmt: skip
                self._anchored(*at)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full or failing disk may have ended it
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("PRAGMA incremental_vacuum(64)")
        except sqlite3.Error as error:
            raise StorageError(f"kept answers cannot be written: {error}") from None

    def count(self) -> int:
        """Rows."""
        return int(self._db.execute("SELECT count(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        """Let it go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _checksum(self, name: str, policy: str, meta: str, tail: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._secret, digest_size=16)
        digest.update(json.dumps([name, policy, meta, len(tail)]).encode())
        digest.update(tail)
        return digest.digest()


def delete(state_dir: Path) -> None:
    """Delete the file, with what belongs to it; nobody has it open."""
    for end in ("-wal", "-shm", ""):
        (state_dir / (FILE + end)).unlink(missing_ok=True)
