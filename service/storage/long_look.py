"""The published history opened for a long look: bounded in memory, frames out, damage told."""

from __future__ import annotations

import re
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from experiments.opportunities.traffic import Traffic
from service.domain.knowledge import Entry
from service.storage.drawn import Asked
from service.storage.errors import ReadFailed, StorageError
from service.storage.history import connect
from service.storage.knowledge import entries
from service.storage.manifest import FOLDER, MANIFEST, damage, read_manifest, whole
from service.storage.traffic import traffic

MEMORY = "900MB"  # of the queries; what they do not hold goes to a folder of their own
THREADS = 2

_DAY = re.compile(r"day=(\d{4}-\d{2}-\d{2})")


class LongLook:
    """A connection of its own over the views; ``damage``: files that it does without, in words.

    A query sees a table made by ``narrow`` in place of the view of that name, so the text that is
    shown to people and the text that is run are the same. Where a query fails, every file is read
    through once, and what is damaged is left out from then on.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._folder = Path(tempfile.mkdtemp(prefix="headgate-look-"))
        self._narrowed: dict[str, str] = {}
        self._read_through = False
        self.damage: tuple[str, ...] = ()
        try:
            self.through_seq = read_manifest(state_dir).through_seq
            try:
                self._connection = self._open(state_dir)
            except duckdb.Error as error:
                self._connection = self._without_damage(error)
        except StorageError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def __enter__(self) -> LongLook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        self._connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def narrow(self, view: str, sql: str) -> None:
        """From now on ``view`` is the table that ``sql`` gives; replaces one made before."""
        self.widen(view)  # first: the query may be over the view itself
        self._run(f"CREATE TEMP TABLE {view} AS {sql}")
        self._narrowed[view] = sql

    def widen(self, view: str) -> None:
        """From now on ``view`` is the view again."""
        self._run(f"DROP TABLE IF EXISTS temp.{view}")
        self._narrowed.pop(view, None)

    def columns(self, sql: str) -> dict[str, NDArray[Any]]:
        """The columns of a query: numbers and times as arrays (null: NaN, NaT), all else as texts
        (null: empty). Raises ReadFailed.
        """
        found = self._run(sql).fetchnumpy()
        return {name: _plain(column) for name, column in found.items()}

    def knowledge(self) -> list[Entry]:
        """What was tried, oldest first. Raises ReadFailed."""
        return entries(self._connection)

    def requests(self, asked: Asked, most: int) -> Traffic:
        """The requests of a span, as changes are tried on them. Raises StorageError."""
        return traffic(self._connection, asked, most=most)

    def _run(self, sql: str) -> duckdb.DuckDBPyConnection:
        try:
            return self._connection.execute(sql)
        except (duckdb.CatalogException, duckdb.BinderException, duckdb.ParserException) as error:
            raise ReadFailed(f"the history cannot be read: {error}") from error
        except duckdb.Error as error:
            if self._read_through:
                raise ReadFailed(f"the history cannot be read: {error}") from error
            try:
                healed = self._without_damage(error)
                self._connection.close()
                self._connection = healed
                for view, table in self._narrowed.items():
                    healed.execute(f"CREATE TEMP TABLE {view} AS {table}")
                return healed.execute(sql)
            except duckdb.Error as again:
                raise ReadFailed(f"the history cannot be read: {again}") from again

    def _open(self, state_dir: Path) -> duckdb.DuckDBPyConnection:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            connection = connect(state_dir)
        said = {_plainly(str(each.message), state_dir) for each in told}
        self.damage = tuple(sorted({*self.damage, *said}))
        connection.execute(
            f"SET memory_limit = '{MEMORY}'; SET threads = {THREADS}; "
            f"SET temp_directory = '{self._folder / 'spilled'}'; "
            "SET preserve_insertion_order = false; SET parquet_metadata_cache = true"
        )
        return connection

    def _without_damage(self, error: duckdb.Error) -> duckdb.DuckDBPyConnection:
        """Opened again over the files that are what was written: the same folders under a manifest
        of its own. Raises ReadFailed where no file is damaged: the trouble is another.
        """
        self._read_through = True
        root, manifest = self._state_dir / FOLDER, read_manifest(self._state_dir)
        bad = {
            path
            for paths in manifest.files.values()
            for path in paths
            if whole(root / path) and damage(root / path, manifest.digests.get(path, ""))
        }
        if not bad:
            raise ReadFailed(f"the history cannot be read: {error}") from error
        mine = self._folder / FOLDER
        mine.mkdir()
        for name in manifest.files:
            (mine / name).symlink_to((root / name).resolve())
        kept = {
            name: tuple(path for path in paths if path not in bad)
            for name, paths in manifest.files.items()
        }
        (mine / MANIFEST).write_text(replace(manifest, files=kept).text(), "utf-8")
        said = {_plainly(f"{FOLDER}/{path} is damaged", self._folder) for path in bad}
        self.damage = tuple(sorted({*self.damage, *said}))
        return self._open(self._folder)


def joined(frames: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Frames of the same columns, one after the other."""
    if not frames:
        raise StorageError("there is no frame to join")
    return {name: np.concatenate([each[name] for each in frames]) for name in frames[0]}


def _plain(column: Any) -> NDArray[Any]:
    hidden = np.ma.getmaskarray(column)
    values = np.ma.getdata(column)
    if values.dtype == object:
        told = ["" if off else str(value) for value, off in zip(values, hidden, strict=True)]
        return np.array(told, dtype=object)
    if not hidden.any():
        return np.asarray(values)
    if np.issubdtype(values.dtype, np.datetime64):
        return np.where(hidden, np.datetime64("NaT"), values)
    if np.issubdtype(values.dtype, np.floating):
        empty = values.dtype.type(np.nan)
        return np.where(hidden, empty, values)
    return np.where(hidden, np.nan, values.astype(np.float64))


def _plainly(message: str, state_dir: Path) -> str:
    """The warning without where the directory lies: the same history says the same anywhere."""
    day = _DAY.search(message)
    said = message.replace(f"{state_dir}/", "").replace(str(state_dir), "")
    return f"{said} (rows of {day[1]} are missing)" if day else said
