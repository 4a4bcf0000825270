"""The published history opened for a long look: bounded in memory, frames out, damage told."""

from __future__ import annotations

import re
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from service.storage.errors import ReadFailed, StorageError
from service.storage.history import connect
from service.storage.manifest import read_manifest

MEMORY = "900MB"  # of the queries; what they do not hold goes to a folder of their own
THREADS = 2

_DAY = re.compile(r"day=(\d{4}-\d{2}-\d{2})")


class LongLook:
    """A connection of its own over the views; ``damage``: files that it does without, in words.

    A query sees a table made by ``narrow`` in place of the view of that name, so the text that is
    shown to people and the text that is run are the same.
    """

    def __init__(self, state_dir: Path) -> None:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            self._connection = connect(state_dir)
            manifest = read_manifest(state_dir)
        self.damage = tuple(sorted({_plainly(str(each.message), state_dir) for each in told}))
        self.through_seq = manifest.through_seq
        self._folder = tempfile.mkdtemp(prefix="headgate-look-")
        self._connection.execute(
            f"SET memory_limit = '{MEMORY}'; SET threads = {THREADS}; "
            f"SET temp_directory = '{self._folder}'; SET preserve_insertion_order = false"
        )

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
        self._run(f"CREATE OR REPLACE TEMP TABLE {view} AS {sql}")

    def widen(self, view: str) -> None:
        """From now on ``view`` is the view again."""
        self._run(f"DROP TABLE IF EXISTS temp.{view}")

    def columns(self, sql: str) -> dict[str, NDArray[np.generic]]:
        """The columns of a query: numbers and times as arrays (null: NaN, NaT), all else as texts
        (null: empty). Raises ReadFailed.
        """
        try:
            found = self._connection.execute(sql).fetchnumpy()
        except duckdb.Error as error:
            raise ReadFailed(f"the history cannot be read: {error}") from error
        return {name: _plain(column) for name, column in found.items()}

    def _run(self, sql: str) -> None:
        try:
            self._connection.execute(sql)
        except duckdb.Error as error:
            raise ReadFailed(f"the history cannot be read: {error}") from error


def joined(frames: Sequence[dict[str, NDArray[np.generic]]]) -> dict[str, NDArray[np.generic]]:
    """Frames of the same columns, one after the other."""
    if not frames:
        raise StorageError("there is no frame to join")
    return {name: np.concatenate([each[name] for each in frames]) for name in frames[0]}


def _plain(column: Any) -> NDArray[np.generic]:
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
