"""The published history: immutable Parquet by table and day, with a catalogue of views over it."""

from __future__ import annotations

import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from service.storage.catalogue import create_views, write_catalogue
from service.storage.chain import TABLE, Head
from service.storage.compaction import by_day, in_order, joined_name, to_join
from service.storage.database import Database, migrations
from service.storage.errors import StorageError
from service.storage.manifest import (
    FOLDER,
    MANIFEST,
    SCHEMA_KEY,
    Manifest,
    damage,
    file_list,
    quoted,
    read_manifest,
    sha256,
    whole,
)
from service.storage.retention import NEEDED, Dropped, Retention, dropped_now
from service.storage.tables import NAMES, PRIVATE

CATALOGUE = "catalogue.duckdb"
GRACE_S = 900.0

ROW_GROUP = 49_152  # rows; small enough for the writer's memory, and for a query to pass over
MEMORY_LIMIT = "1500MB"  # of a reader; beyond it DuckDB puts aside on disk


class Publisher:
    """Writes what is new since the last time, aside, and renames it into place."""

    def __init__(
        self,
        database: Database,
        state_dir: Path,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._monotonic_s = monotonic_s
        self._root = state_dir / FOLDER
        self._root.mkdir(parents=True, exist_ok=True)
        self._manifest = read_manifest(state_dir)
        self._digests = dict(self._manifest.digests)
        self._schemas = dict(self._manifest.schemas)
        self._grace_since_s: dict[str, float] = {}
        self._retention = Retention(monotonic_s)
        self._one_at_a_time = threading.Lock()

    @property
    def through_seq(self) -> int:
        """The number of the last row published."""
        return self._manifest.through_seq

    @property
    def head(self) -> Head | None:
        """The end of the chain over what was done, as far as it is published."""
        return self._manifest.head

    @property
    def published_at(self) -> float:
        """When something was last published, in seconds since the epoch; 0: never."""
        return self._manifest.published_at

    def publish(
        self, through_seq: int, now_s: float | None = None, keep_days: int | None = None
    ) -> Manifest:
        """Publish every durable row up to ``through_seq``, and let go of days that are older than
        ``keep_days``; blocks, so call it off the loop.

        When it fails, what is published stays as it was and what was written of it is deleted.
        """
        with self._one_at_a_time:
            written: list[Path] = []
            try:
                now = time.time() if now_s is None else now_s
                return self._publish(through_seq, now, keep_days, written)
            except (OSError, duckdb.Error):
                for path in written:
                    path.unlink(missing_ok=True)
                raise

    def _publish(
        self, through_seq: int, now: float, keep_days: int | None, written: list[Path]
    ) -> Manifest:
        old = self._manifest
        files = {name: list(old.files.get(name, ())) for name in NAMES}
        if through_seq > old.through_seq:
            span = old.through_seq, through_seq
            for name, days in self._new_days(*span).items():
                files[name] += self._write_new(name, days, span, written)
        gone: list[str] = []
        dropped = self._drop(files, now, keep_days, gone)
        for name in NAMES:
            files[name] = self._compact(name, files[name], now, gone, written)
        retired = [*old.retired, *((each, now) for each in gone)]
        over = [entry for entry in retired if self._over(entry)]
        kept = {path for paths in files.values() for path in paths}
        manifest = Manifest(
            through_seq=max(through_seq, old.through_seq),
            published_at=now,
            files={name: tuple(paths) for name, paths in files.items()},
            retired=tuple(entry for entry in retired if entry not in over),
            digests={path: each for path, each in self._digests.items() if path in kept},
            schemas={path: each for path, each in self._schemas.items() if path in kept},
            dropped=dropped,
            head=self._head(old, max(through_seq, old.through_seq)),
        )
        _write_aside(self._root / MANIFEST, manifest.text().encode())
        self._manifest = manifest  # only now: what the file does not say is not published
        self._digests, self._schemas = dict(manifest.digests), dict(manifest.schemas)
        written.clear()
        for name, _ in over:
            (self._root / name).unlink(missing_ok=True)
            self._grace_since_s.pop(name, None)
        if manifest.files != old.files or not (self._root / CATALOGUE).exists():
            self._write_catalogue()
        return self._manifest

    def _head(self, old: Manifest, through_seq: int) -> Head | None:
        """The end of the chain as far as it is published. It goes on from the one before, so that
        a file that was cut is found shorter than what is said here.
        """
        after, rows = (old.head.seq, old.head.rows) if old.head is not None else (0, 0)
        cursor = self._database.cursor()
        found = cursor.execute(
            f"SELECT count(*), max(log_seq) FROM {TABLE} WHERE log_seq > {after} "
            f"AND log_seq <= {through_seq}"
        ).fetchone()
        if found is None or not found[0]:
            return old.head
        seq = int(found[1])
        row = cursor.execute(f"SELECT hash FROM {TABLE} WHERE log_seq = {seq}").fetchone()
        if row is None or row[0] is None:  # from before the chain: it begins with the next row
            return old.head
        return Head(seq, str(row[0]), rows + int(found[0]))

    def _drop(
        self, files: dict[str, list[str]], now: float, keep_days: int | None, gone: list[str]
    ) -> dict[str, Dropped]:
        """Take days that are too old out of ``files``, but no update that a restore needs."""
        dropped = dict(self._manifest.dropped)
        for name, paths in self._retention.expired(files, now, keep_days).items():
            if name == "updates":
                needed = self._one(NEEDED)
                paths = [p for p in paths if needed is not None
                         and self._of_file(p, "max(seq)") <= needed]  # fmt: skip
            if paths:
                rows = sum(self._of_file(path, "count(*)") for path in paths)
                dropped[name] = dropped_now(dropped.get(name), paths, rows)
                files[name] = [path for path in files[name] if path not in paths]
                gone += paths
        return dropped

    def _of_file(self, path: str, what: str) -> int:
        """A figure of a published file; 0 where it cannot be read: then a restore has nothing of
        it either.
        """
        try:
            listed = file_list([self._root / path])
            return self._one(f"SELECT {what} FROM read_parquet({listed})") or 0
        except duckdb.Error:
            return 0

    def _one(self, sql: str) -> int | None:
        row = self._database.cursor().execute(sql).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    def _new_days(self, after: int, through: int) -> dict[str, list[date]]:
        """The days of the rows after one number and up to another, by table that has any."""
        rows = " UNION ALL ".join(
            f"SELECT '{name}' AS name, ts::DATE AS day FROM {name} "
            f"WHERE log_seq > {after} AND log_seq <= {through}"
            for name in NAMES
        )
        found: dict[str, list[date]] = {}
        sql = f"SELECT DISTINCT name, day FROM ({rows}) ORDER BY ALL"
        for name, day in self._database.cursor().execute(sql).fetchall():
            found.setdefault(name, []).append(day)
        return found

    def _write_new(
        self, name: str, days: list[date], span: tuple[int, int], written: list[Path]
    ) -> list[str]:
        after, through = span
        where = f"FROM {name} WHERE log_seq > {after} AND log_seq <= {through}"
        paths = []
        for day in days:
            path = f"{name}/day={day}/rows-{after + 1:012d}-{through:012d}.parquet"
            clause = f"{where} AND ts::DATE = DATE '{day}'" if len(days) > 1 else where
            self._copy(f"SELECT * {clause} ORDER BY log_seq", path, name, written)
            paths.append(path)
        return paths

    def _copy(self, sql: str, path: str, name: str, written: list[Path]) -> None:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_suffix(".aside")
        written += [aside, target]
        schema = max(migrations())
        self._database.cursor().execute(
            f"COPY ({sql}) TO '{quoted(str(aside))}' (FORMAT parquet, COMPRESSION zstd, "
            f"ROW_GROUP_SIZE {ROW_GROUP}, KV_METADATA {{{SCHEMA_KEY}: '{schema}'}})"
        )
        if name in PRIVATE:
            aside.chmod(0o600)
        self._digests[path], self._schemas[path] = sha256(aside), schema
        os.replace(aside, target)

    def _compact(
        self, name: str, files: Sequence[str], now: float, gone: list[str], written: list[Path]
    ) -> list[str]:
        """One file for every day that is over, few for the others; damaged ones are left as they
        are. What is replaced is added to ``gone``.
        """
        today = time.strftime("%Y-%m-%d", time.gmtime(now - 3600))
        kept: list[str] = []
        for day, paths in by_day(files).items():
            parts = to_join(paths, day < today, self._size)
            if not parts or any(
                damage(self._root / path, self._digests.get(path, "")) for path in parts
            ):
                kept += paths
                continue
            joined = joined_name(parts)
            listed = file_list(self._root / path for path in parts)
            # By name: a day may hold files from before and after a migration.
            source = f"read_parquet({listed}, union_by_name = true, hive_partitioning = false)"
            sql = f"SELECT * FROM {name} WHERE false UNION ALL BY NAME SELECT * FROM {source}"
            order = "" if in_order(parts) else " ORDER BY log_seq"  # sorting takes memory
            self._copy(f"SELECT * FROM ({sql}){order}", joined, name, written)
            kept += [*(path for path in paths if path not in parts), joined]
            gone += parts
        return kept

    def _size(self, path: str) -> int:
        try:
            return (self._root / path).stat().st_size
        except OSError:
            return 0

    def _over(self, entry: tuple[str, float]) -> bool:
        """Whether no reader can still hold the name of a file that a compaction replaced. Counted
        on the monotonic clock from when this process first saw it, so a jump of the wall clock
        takes no file from a reader.
        """
        now_s = self._monotonic_s()
        return now_s - self._grace_since_s.setdefault(entry[0], now_s) >= GRACE_S

    def _write_catalogue(self) -> None:
        aside = self._root / "catalogue.aside"
        write_catalogue(aside, self._root, self._manifest.files, self._manifest.schemas)
        os.replace(aside, self._root / CATALOGUE)


def connect(state_dir: Path | str, check: bool = False) -> duckdb.DuckDBPyConnection:
    """A connection with the published history as views; it never touches the live file.

    Views: every table of the log, and those of ``catalogue.views()`` (docs/data-dictionary.md).
    What was published later is seen by connecting again. A file that is missing, cut short or of a
    newer schema is left out with a warning; with ``check`` every file is read through first, and
    one that is not what was written is left out as well.
    """
    root = Path(state_dir) / FOLDER
    if not (root / MANIFEST).exists():
        raise StorageError(
            f"no published history under {state_dir}; start the service with --state {state_dir} "
            "and wait a minute, or name another directory"
        )
    manifest = read_manifest(Path(state_dir), newer=True)
    if manifest.damage:
        warnings.warn(
            f"{root / MANIFEST} is damaged; the files are taken by their names", stacklevel=2
        )
    try:
        return _opened(root, manifest, check)
    except duckdb.Error as error:
        if check:
            raise StorageError(f"the published history cannot be opened: {error}") from None
        return _opened(root, manifest, check=True)


def _opened(root: Path, manifest: Manifest, check: bool) -> duckdb.DuckDBPyConnection:
    files = {
        name: [str(root / path) for path in _readable(root, name, manifest, check)]
        for name in NAMES
        if name not in PRIVATE
    }
    schemas = {str(root / path): schema for path, schema in manifest.schemas.items()}
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(Path(tempfile.gettempdir()) / f"headgate-history-{os.getpid()}"),
        "parquet_metadata_cache": True,  # published files never change
        "autoinstall_known_extensions": False,
    }
    connection = duckdb.connect(":memory:", config=config)
    try:
        create_views(connection, files, schemas)
    except duckdb.Error:
        connection.close()
        raise
    return connection


def _readable(root: Path, name: str, manifest: Manifest, check: bool) -> list[str]:
    """The files of a table that can be shown; a warning for those that cannot."""
    known, paths = max(migrations()), []
    for path in manifest.files.get(name, ()):
        schema, why = manifest.schemas.get(path, 0), ""
        if schema > known:
            why = f"was written by a newer version of Headgate (schema {schema}, this one reads up "
            why += f"to {known})"
        elif not whole(root / path):
            why = "is missing or cut short"
        elif check and damage(root / path, manifest.digests.get(path, "")):
            why = "is damaged"
        if why:
            warnings.warn(f"{root / path} {why}; the history is shown without it", stacklevel=5)
        else:
            paths.append(path)
    return paths


def query(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and rows of a query; raises StorageError that says what is wrong with it."""
    try:
        result = connection.execute(sql)
        return [column[0] for column in result.description or ()], result.fetchall()
    except duckdb.Error as error:
        hint = ""
        if not isinstance(error, duckdb.ProgrammingError):
            hint = "; where a published file is damaged, --check leaves it out"
        raise StorageError(f"the query cannot be run: {error}{hint}") from None


def _write_aside(path: Path, data: bytes) -> None:
    aside = path.with_name(path.name + ".aside")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
