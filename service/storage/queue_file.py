"""The queue's file: SQLite, opened by one process, its times carried over a reboot."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from service.domain.clock import Clock, new_id
from service.storage.private_file import make_tables, open_private

FILE = "queue.sqlite"
SCHEMA = 1
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIMES = ("deadline_s", "ready_s", "lease_until_s", "keep_until_s", "erase_at_s", "hook_at_s")

_TABLES = """
CREATE TABLE tickets (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    key_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'dead', 'expired')),
    created_us INTEGER NOT NULL,
    ended_us INTEGER,
    lasts_s REAL NOT NULL,
    deadline_s REAL NOT NULL,
    ready_s REAL NOT NULL,
    lease_until_s REAL,
    keep_until_s REAL,
    erase_at_s REAL,
    hook_at_s REAL,
    tries INTEGER NOT NULL DEFAULT 0,
    lease TEXT,
    decision_id TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    code TEXT NOT NULL DEFAULT '',
    session TEXT NOT NULL,
    body BLOB,
    answer BLOB,
    detail TEXT NOT NULL DEFAULT '{}',
    idempotency TEXT NOT NULL,
    digest TEXT NOT NULL,
    webhook TEXT NOT NULL,
    hook_tries INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX tickets_by_idempotency ON tickets (key_id, idempotency) WHERE idempotency <> '';
CREATE INDEX tickets_by_state ON tickets (state, key_id, seq);
CREATE INDEX tickets_by_deadline ON tickets (deadline_s) WHERE state = 'waiting';
CREATE TABLE anchor (boot TEXT NOT NULL, monotonic_s REAL NOT NULL, wall_us INTEGER NOT NULL);
"""


def boot_id() -> str:
    """The id of this boot of the machine; where there is none, a fresh one each time, so that
    every start counts as a reboot.
    """
    try:
        return BOOT_ID.read_text("ascii").strip()
    except OSError:
        return new_id()


def open_file(
    state_dir: Path, clock: Clock, boot: str, notices: list[str] | None = None
) -> sqlite3.Connection:
    """The file, made when there is none; one that is damaged is set aside and said so."""
    path = state_dir / FILE

    def settle(connection: sqlite3.Connection) -> None:
        make_tables(connection, path, _TABLES, SCHEMA)
        _carry_over(connection, clock, boot)

    return open_private(path, clock, settle, "the queue's tickets are lost", notices)


def _carry_over(connection: sqlite3.Connection, clock: Clock, boot: str) -> None:
    """Times are of the monotonic clock. After a reboot that clock begins anew: all times are
    moved by what the wall clock says has passed, never less than nothing. A wall clock that was
    set back thus freezes nothing, and one that was set forward frees what it ends.
    """
    now_s, now_us = clock.monotonic_s(), clock.wall_us()
    row = connection.execute("SELECT boot, monotonic_s, wall_us FROM anchor").fetchone()
    connection.execute("BEGIN IMMEDIATE")
    if row is not None and (row[0] != boot or now_s < row[1]):
        passed_s = max((now_us - row[2]) / 1e6, 0.0)
        shift_s = now_s - (row[1] + passed_s)
        for column in TIMES:
            connection.execute(f"UPDATE tickets SET {column} = {column} + ?", (shift_s,))
    connection.execute("DELETE FROM anchor")
    connection.execute("INSERT INTO anchor VALUES (?, ?, ?)", (boot, now_s, now_us))
    connection.execute("COMMIT")
