"""The file of batches: SQLite, private, opened by one process, with files, batches and requests."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from service.domain.clock import Clock
from service.storage.private_file import make_tables, open_private

FILE = "batches.sqlite"
SCHEMA = 1
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


def open_batches(
    state_dir: Path, clock: Clock, notices: list[str] | None = None
) -> sqlite3.Connection:
    """The file; what was being tried when the last process ended waits again."""
    path = state_dir / FILE

    def settle(connection: sqlite3.Connection) -> None:
        make_tables(connection, path, _TABLES, SCHEMA)
        connection.execute("UPDATE requests SET state = 'waiting' WHERE state = 'running'")

    return open_private(path, clock, settle, "the batches and their files are lost", notices)
