"""A SQLite file that holds people's words: private, opened by one process, erased for good."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from service.domain.clock import Clock
from service.storage.errors import SchemaNewer, StorageError

log = logging.getLogger("headgate.storage")


def open_private(
    path: Path,
    clock: Clock,
    settle: Callable[[sqlite3.Connection], None],
    lost: str,
    notices: list[str] | None = None,
) -> sqlite3.Connection:
    """The file, made when there is none and brought up to date by ``settle``; one that is damaged
    is set aside and said so (``lost``: what is gone with it).

    Locks are exclusive, so no other process can read over our shoulder or hold us up; what is
    deleted is overwritten.
    """
    try:
        return _opened(path, settle)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise StorageError(f"{path} cannot be opened: {error}") from None
    aside = f"{path.name}.damaged-{clock.wall_us() // 1_000_000}"
    for end in ("-wal", "-shm", ""):
        part = path.with_name(path.name + end)
        if part.exists():
            part.rename(path.with_name(aside + end))
    told = f"{lost}; the file was damaged and is set aside as {aside}"
    log.error("%s", told)
    if notices is not None:
        notices.append(told)
    return _opened(path, settle)


def _opened(path: Path, settle: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)
    connection = sqlite3.connect(
        path, timeout=2.0, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    try:
        for pragma in (
            "locking_mode = EXCLUSIVE",
            "journal_mode = WAL",
            "synchronous = FULL",
            "secure_delete = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        settle(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def make_tables(connection: sqlite3.Connection, path: Path, tables: str, schema: int) -> None:
    """The tables, made in a new file; raises SchemaNewer for one of a newer Headgate."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > schema:
        raise SchemaNewer(f"{path} was written by a newer Headgate; use that one")
    if version < schema:
        connection.executescript(f"BEGIN;{tables}PRAGMA user_version = {schema};COMMIT;")
