"""The one DuckDB file: opened by one process, migrated, written by one thread."""

from __future__ import annotations

import fcntl
import functools
import os
import re
import time
import weakref
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import IO

import duckdb
import pyarrow as pa

from service.storage import chain
from service.storage.errors import (
    DatabaseCorrupt,
    DatabaseInvalid,
    ReadFailed,
    RowsRefused,
    SchemaNewer,
    StateLocked,
    StorageError,
    WriteFailed,
)
from service.storage.tables import NAMES

FILE = "headgate.duckdb"
LOCK = "service.lock"
MEMORY_LIMIT = "256MB"
READERS_S = 2.0
_HOLDER = re.compile(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")

Cursor = duckdb.DuckDBPyConnection


class StateLock:
    """Ownership of a state directory for the life of the process (flock: freed by any death)."""

    def __init__(self, state_dir: Path) -> None:
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = (state_dir / LOCK).open("a+")
        except OSError as error:
            raise StorageError(
                f"the state directory {state_dir} cannot be used: {error.strerror}; mend that, or "
                "name another with --state"
            ) from None
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
        _LOCKS.add(self)
        try:
            self._file.seek(0)
            self._file.truncate()
            self._file.write(str(os.getpid()))
            self._file.flush()
        except OSError:
            pass  # the lock holds; only its owner's number cannot be told

    def release(self) -> None:
        """Give the directory free."""
        self._file.close()


_LOCKS: weakref.WeakSet[StateLock] = weakref.WeakSet()


def _forget_locks() -> None:
    """A forked child lets go of the file, so that it does not hold what is its parent's."""
    for lock in tuple(_LOCKS):
        lock.release()


os.register_at_fork(after_in_child=_forget_locks)


class Database:
    """An open database file. ``cursor()`` gives any other thread its own read connection."""

    def __init__(self, path: Path | None, threads: int = 1) -> None:
        self.path, self._threads = path, threads
        self._cursors: weakref.WeakSet[Cursor] = weakref.WeakSet()
        self._head: str | None = None  # of the chain over what was done; None: to be read
        self._open()
        try:
            self._migrate()
            self.last_seq = self._last_seq()
            self._check_length()
        except duckdb.Error as error:
            self._connection.close()
            raise DatabaseCorrupt(f"{path}: {error}") from error
        except StorageError:
            self._connection.close()
            raise

    def _open(self) -> None:
        path = self.path
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": self._threads,
            "memory_limit": MEMORY_LIMIT,
            "autoinstall_known_extensions": False,
        }
        try:
            self._connection = duckdb.connect(str(path) if path else ":memory:", config=config)
        except duckdb.Error as error:
            # Not "lock" alone: a damaged block is told with that word in it.
            if "could not set lock" in str(error).lower():
                raise StateLocked(_held(path, str(error))) from None
            raise DatabaseCorrupt(f"{path}: {error}") from error

    def _check_length(self) -> None:
        """A file that was cut opens as if nothing were wrong, until a lost block is read. So one
        that is shorter than its blocks is read through here.
        """
        row = self._connection.execute("CALL pragma_database_size()").fetchone()
        if row is None or self.path is None:
            return
        block_bytes, blocks = int(row[2]), int(row[3])
        if self.path.stat().st_size < block_bytes * blocks:
            for name in NAMES:
                self._connection.execute(f"SELECT bit_xor(hash(t)) FROM {name} t").fetchall()

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
        waiting = {number: step for number, step in steps.items() if number not in done}
        # A new file is made whole or not at all; an older one is brought on script by script.
        rounds = [{number: step} for number, step in waiting.items()] if done else [waiting]
        for scripts in rounds:
            connection.begin()
            try:
                for number, step in scripts.items():
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
        """Commit the batches together or not at all. For the writer thread alone. What was done is
        chained here, so that nothing of it comes into the file unchained.
        """
        connection = self._connection
        try:
            batches, head = self._chained(batches)
            connection.begin()
            for name, batch in batches.items():
                connection.register("batch", batch)
                connection.execute(f"INSERT INTO {name} SELECT * FROM batch")
                connection.unregister("batch")
            connection.commit()
            self._head = head
        except duckdb.Error as error:
            for undo in (connection.rollback, lambda: connection.unregister("batch")):
                try:
                    undo()
                except duckdb.Error:
                    pass  # the failed commit has already rolled back
            raise self._failure(error) from error

    def _chained(
        self, batches: Mapping[str, pa.Table]
    ) -> tuple[Mapping[str, pa.Table], str | None]:
        """The batches with the links of the chain, and its end when they are committed."""
        done = batches.get(chain.TABLE)
        if done is None:
            return batches, self._head
        if self._head is None:
            self._head = chain.head_of(self._connection)
        linked, head = chain.linked(done, self._head)
        return {**batches, chain.TABLE: linked}, head

    def _failure(self, error: duckdb.Error) -> WriteFailed:
        if isinstance(error, duckdb.DataError | duckdb.IntegrityError):
            return RowsRefused(str(error))
        try:
            self._connection.execute("SELECT 1").fetchone()
        except duckdb.Error:
            return DatabaseInvalid(str(error))
        return WriteFailed(str(error))

    def reopen(self) -> int:
        """Open the file anew after a fatal error; the number of its last row. For the writer.

        Cursors that were given out are of the broken instance and fail; new ones are of the new.
        """
        if self.path is None:
            raise DatabaseInvalid("a database in memory cannot be opened anew")
        try:
            self._connection.close()
        except duckdb.Error:
            pass
        # Closing a file lets go of the process's lock on it, so the old instance should be gone
        # before the new one takes it.
        patience = time.monotonic() + READERS_S
        while len(self._cursors) and time.monotonic() < patience:
            time.sleep(0.01)
        self._open()
        self._head = None  # whether the last commit was kept is read from the file
        try:
            self.last_seq = self._last_seq()
        except duckdb.Error as error:
            raise DatabaseCorrupt(str(error)) from error
        return self.last_seq

    def cursor(self) -> Cursor:
        """A connection of one's own to the same database, for reading in another thread."""
        try:
            cursor = self._connection.cursor()
        except duckdb.Error as error:
            raise ReadFailed(f"the live file is not open now: {error}") from error
        self._cursors.add(cursor)
        return cursor

    def execute(self, sql: str) -> None:
        """Run a statement on the writer's connection; only before the writer starts."""
        self._head = None
        self._connection.execute(sql)

    def close(self) -> None:
        """Checkpoint and close."""
        self._connection.close()


def _held(path: Path | None, text: str) -> str:
    found = _HOLDER.search(text)
    by = f"process {found['pid']} ({Path(found['program']).name})" if found else "another process"
    return (
        f"{path} is open in {by}; close it there. To read beside the service use the published "
        "history: headgate history"
    )


@functools.cache
def migrations() -> Mapping[int, str]:
    """The migration scripts by the number that their name begins with, in order."""
    folder = resources.files("service.storage") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return MappingProxyType({int(name[:4]): (folder / name).read_text("utf-8") for name in names})
