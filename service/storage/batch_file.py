"""The file of batches: SQLite, private, opened by one process, with files, batches and requests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from service.domain.clock import Clock
from service.domain.errors import StorageUnavailable
from service.storage.private_file import make_tables, open_private

FILE = "batches.sqlite"
SCHEMA = 2
_TABLES = """
CREATE TABLE files (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, key_id TEXT NOT NULL,
    tenant TEXT NOT NULL, purpose TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL,
    created_us INTEGER NOT NULL, keep_until_us INTEGER NOT NULL, content BLOB NOT NULL
);
CREATE INDEX files_by_end ON files (keep_until_us);
CREATE TABLE batches (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, key_id TEXT NOT NULL,
    tenant TEXT NOT NULL, endpoint TEXT NOT NULL, input_file TEXT NOT NULL, state TEXT NOT NULL,
    created_us INTEGER NOT NULL, deadline_us INTEGER NOT NULL, window TEXT NOT NULL,
    priority INTEGER NOT NULL, metadata TEXT NOT NULL, total INTEGER NOT NULL,
    tokens INTEGER NOT NULL, completed INTEGER NOT NULL, failed INTEGER NOT NULL,
    cancelling_us INTEGER, ended_us INTEGER, keep_until_us INTEGER, output_file TEXT NOT NULL,
    error_file TEXT NOT NULL, errors TEXT NOT NULL, idempotency TEXT NOT NULL, digest TEXT NOT NULL
);
CREATE UNIQUE INDEX batches_by_idempotency ON batches (key_id, idempotency)
    WHERE idempotency <> '';
CREATE INDEX batches_by_state ON batches (state);
CREATE TABLE requests (
    batch_id TEXT NOT NULL, number INTEGER NOT NULL, custom_id TEXT NOT NULL, body BLOB NOT NULL,
    state TEXT NOT NULL CHECK (
        state IN ('waiting', 'running', 'completed', 'failed', 'expired', 'cancelled')),
    tries INTEGER NOT NULL DEFAULT 0, ready_us INTEGER NOT NULL DEFAULT 0, line BLOB,
    PRIMARY KEY (batch_id, number)
);
CREATE INDEX requests_waiting ON requests (batch_id, number) WHERE state = 'waiting';
"""
# Requests that were decided and are with their provider: with (in a parcel), back (they wait again,
# to be tried alone), late (the same, while what the parcel costs is still to be told), done.
_PARCELS = """
CREATE TABLE parcels (
    mark TEXT PRIMARY KEY, batch_id TEXT NOT NULL, deployment TEXT NOT NULL, state TEXT NOT NULL,
    made_us INTEGER NOT NULL, endpoint INTEGER NOT NULL, remote TEXT NOT NULL, file TEXT NOT NULL,
    sent_us INTEGER NOT NULL, why TEXT NOT NULL, count INTEGER NOT NULL, size INTEGER NOT NULL
);
CREATE TABLE posted (
    batch_id TEXT NOT NULL, number INTEGER NOT NULL, mark TEXT NOT NULL, state TEXT NOT NULL CHECK (
        state IN ('with', 'back', 'late', 'done')),
    detail BLOB NOT NULL, PRIMARY KEY (batch_id, number)
);
CREATE INDEX posted_by_parcel ON posted (mark, number);
"""


def open_batches(
    state_dir: Path, clock: Clock, notices: list[str] | None = None
) -> sqlite3.Connection:
    """The file; what was being tried when the last process ended waits again."""
    path = state_dir / FILE

    def settle(connection: sqlite3.Connection) -> None:
        new = not connection.execute("PRAGMA user_version").fetchone()[0]
        make_tables(connection, path, _TABLES + _PARCELS if new else _PARCELS, SCHEMA)
        connection.execute(
            "UPDATE requests SET state = 'waiting' WHERE state = 'running' AND NOT EXISTS ("
            "SELECT 1 FROM posted p WHERE p.batch_id = requests.batch_id "
            "AND p.number = requests.number AND p.state = 'with')"
        )

    return open_private(path, clock, settle, "the batches and their files are lost", notices)


def posted_decisions(state_dir: Path) -> frozenset[str]:
    """Decisions of requests that are with providers: not ended, and not cut off either. To be asked
    before the file is opened.
    """
    path = state_dir / FILE
    if not path.exists():
        return frozenset()
    try:
        with closing(sqlite3.connect(path, timeout=2.0)) as connection:
            rows = connection.execute(
                "SELECT json_extract(CAST(detail AS TEXT), '$.posting.decision_id') FROM posted "
                "WHERE state IN ('with', 'late')"
            ).fetchall()
    except sqlite3.Error:
        return frozenset()  # of an older Headgate, or damaged: whoever opens it says so
    return frozenset(str(row[0]) for row in rows)


@contextmanager
def written(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing; raises StorageUnavailable."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise StorageUnavailable(
                "batches cannot be written now; try again, and if it stays so, let an operator "
                "look at the room on disk",
                retry_after_s=5.0,
            ) from None
        raise
