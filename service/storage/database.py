"""The one DuckDB file: opened by one process, migrated, written by one thread."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import IO

import duckdb
import pyarrow as pa

from service.storage.errors import DatabaseCorrupt, SchemaNewer, StateLocked, WriteFailed
from service.storage.tables import NAMES

FILE = "headgate.duckdb"
LOCK = "service.lock"
MEMORY_LIMIT = "256MB"

Cursor = duckdb.DuckDBPyConnection


class StateLock:
    """Ownership of a state directory for the life of the process (flock: freed by any death)."""

    def __init__(self, state_dir: Path) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = (state_dir / LOCK).open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            owner = self._file.read().strip() or "unknown"
            self._file.close()
            raise StateLocked(
                f"{state_dir} is in use by another Headgate (process {owner}); stop that one, or "
                "give this one another --state"
            ) from None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Give the directory free."""
        self._file.close()


class Database:
    """An open database file. ``cursor()`` gives any other thread its own read connection."""

    def __init__(self, path: Path | None, threads: int = 1) -> None:
        self.path = path
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": MEMORY_LIMIT,
            "autoinstall_known_extensions": False,
        }
        try:
            self._connection = duckdb.connect(str(path) if path else ":memory:", config=config)
        except duckdb.Error as error:
            if "lock" in str(error).lower():
                raise StateLocked(f"{path} is open in another process") from None
            raise DatabaseCorrupt(f"{path}: {error}") from error
        try:
            self._migrate()
            self.last_seq = self._last_seq()
        except duckdb.Error as error:
            self._connection.close()
            raise DatabaseCorrupt(f"{path}: {error}") from error

    def _migrate(self) -> None:
        connection = self._connection
        connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER)")
        done = {row[0] for row in connection.execute("FROM schema_version").fetchall()}
        steps = migrations()
        if not done.issubset(steps):
            raise SchemaNewer(
                f"{self.path} has schema {max(done)}; this version of Headgate reads up to "
                f"{max(steps)}: run the newer one"
            )
        for number, step in steps.items():
            if number in done:
                continue
            connection.begin()
            try:
                connection.execute(step)
                connection.execute("INSERT INTO schema_version VALUES (?)", [number])
                connection.commit()
            except duckdb.Error:
                connection.rollback()
                raise

    def _last_seq(self) -> int:
        parts = " UNION ALL ".join(f"SELECT max(log_seq) AS s FROM {name}" for name in NAMES)
        row = self._connection.execute(f"SELECT coalesce(max(s), 0) FROM ({parts})").fetchone()
        return int(row[0]) if row else 0

    def write(self, batches: Mapping[str, pa.Table]) -> None:
        """Commit the batches together or not at all. For the writer thread alone."""
        connection = self._connection
        try:
            connection.begin()
            for name, batch in batches.items():
                connection.register("batch", batch)
                connection.execute(f"INSERT INTO {name} SELECT * FROM batch")
                connection.unregister("batch")
            connection.commit()
        except duckdb.Error as error:
            try:
                connection.rollback()
            except duckdb.Error:
                pass  # the failed commit has already rolled back
            raise WriteFailed(str(error)) from error

    def cursor(self) -> Cursor:
        """A connection of one's own to the same database, for reading in another thread."""
        return self._connection.cursor()

    def execute(self, sql: str) -> None:
        """Run a statement on the writer's connection; only before the writer starts."""
        self._connection.execute(sql)

    def close(self) -> None:
        """Checkpoint and close."""
        self._connection.close()


def migrations() -> Mapping[int, str]:
    """The migration scripts by the number that their name begins with, in order."""
    folder = resources.files("service.storage") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return {int(name[:4]): (folder / name).read_text("utf-8") for name in names}
