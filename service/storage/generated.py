"""Made-up rows written as a published history: a day at a time, Parquet, manifest, catalogue."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from experiments.offline.past_columns import (
    BYTES,
    Column,
    Columns,
    Hashes,
    Ids,
    Lists,
    Numbers,
    Words,
)
from service.storage import chain
from service.storage.database import FILE, Database
from service.storage.errors import StorageError
from service.storage.history import Publisher
from service.storage.manifest import FOLDER, MANIFEST, Manifest
from service.storage.tables import NAMES, PRIVATE, TABLES

DAY_US = 86_400_000_000
ROW_GROUP = 50_000
_UUIDS = ("decision_id", "session_decision_id", "feedback_id", "revises")
_UUID_OF = {"decisions": ("id", *_UUIDS), "feedback": ("id", *_UUIDS)}
_COUNTED = {
    "decisions": ("update_seq",), "weights": ("update_seq",), "checkpoints": ("update_seq",),
    "updates": ("seq",),
}  # fmt: skip
_BY_NAME = {each.name: each for each in TABLES.values()}
_DIGITS = np.frombuffer("".join(f"{each:02x}" for each in range(256)).encode(), np.uint16)

Batches = dict[str, list[pa.Table]]


class GeneratedHistory:
    """Writes days into a state directory that has no history yet; raises StorageError otherwise.

    Rows are numbered by time over all tables, as the log would have numbered them; a row whose
    time lies after its day waits for the day that it belongs to.
    """

    def __init__(self, state_dir: Path) -> None:
        self._root = state_dir / FOLDER
        if (state_dir / FILE).exists() or self._root.exists():
            raise StorageError(
                f"{state_dir} already holds a history or a live file, and generated rows must not "
                "be mixed with real ones; name another directory with --state"
            )
        try:
            self._root.mkdir(parents=True)
        except OSError as error:
            raise StorageError(
                f"{state_dir} cannot be used: {error.strerror}; name another with --state"
            ) from None
        self._state_dir = state_dir
        self._waiting: dict[str, list[pa.Table]] = {name: [] for name in NAMES}
        self._files: dict[str, list[str]] = {name: [] for name in NAMES}
        self._digests: dict[str, str] = {}
        self.rows = dict.fromkeys(NAMES, 0)
        self.last_seq = 0
        self.update_seq = 0
        self.head = chain.Head(0, chain.GENESIS, 0)

    def day(self, begins_us: int, batches: Batches) -> None:
        """Write a day's rows: the given ones and those that waited, but for those after it.

        Takes the batches away from ``batches``, so that a day is in memory but once.
        """
        try:
            self._day(begins_us, batches)
        except OSError as error:
            self.abandon()
            raise StorageError(f"{self._root} cannot be written: {error.strerror}") from None

    def _day(self, begins_us: int, batches: Batches) -> None:
        now: dict[str, pa.Table] = {}
        for name in NAMES:
            parts = [*self._waiting[name], *batches.pop(name, ())]
            self._waiting[name] = []
            if not parts:
                continue
            whole = pa.concat_tables(parts) if len(parts) > 1 else parts[0]
            del parts
            at_us = _times(whole)
            today = at_us < begins_us + DAY_US
            if not today.all():
                self._waiting[name] = [whole.filter(pa.array(~today))]
                whole, at_us = whole.filter(pa.array(today)), at_us[today]
            if (at_us[1:] < at_us[:-1]).any():
                whole = whole.take(pa.array(np.argsort(at_us, kind="stable")))
            if len(whole):
                now[name] = whole
        self._number(now)
        first = self.last_seq + 1
        self._write(now, begins_us, first)

    def _number(self, now: dict[str, pa.Table]) -> None:
        """The numbers of the updates, and how many of them each decision, weight and checkpoint
        knew.
        """
        taught = _times(now["updates"]) if "updates" in now else np.zeros(0, np.int64)
        for name, whole in now.items():
            if name == "updates":
                seq = self.update_seq + 1 + np.arange(len(taught))
                now[name] = whole.append_column("seq", pa.array(seq))
            elif name in _COUNTED:
                known = self.update_seq + np.searchsorted(taught, _times(whole), side="left")
                now[name] = whole.append_column("update_seq", pa.array(known))
        self.update_seq += len(taught)

    def _write(self, now: dict[str, pa.Table], begins_us: int, first: int) -> None:
        if not now:
            return
        times = np.concatenate([_times(each) for each in now.values()])
        place = np.empty(len(times), np.int64)
        place[np.argsort(times, kind="stable")] = np.arange(first, first + len(times))
        self.last_seq = first + len(times) - 1
        day = np.datetime64(begins_us, "us").astype("datetime64[D]")
        at = 0
        for name in list(now):
            whole = now.pop(name)
            numbers = pa.array(place[at : at + len(whole)])
            at += len(whole)
            path = f"{name}/day={day}/rows-{first:012d}-{self.last_seq:012d}.parquet"
            whole = whole.append_column("log_seq", numbers)
            if name == chain.TABLE:
                whole = self._chained(whole)
            self._file(name, path, whole)
            del whole

    def _chained(self, whole: pa.Table) -> pa.Table:
        """With the links of the chain; a day's rows are in their order."""
        known = self.head
        whole, head = chain.linked(whole, known.hash)
        seq = int(whole.column("log_seq")[-1].as_py())
        self.head = chain.Head(seq, head, known.rows + len(whole))
        return whole

    def _file(self, name: str, path: str, whole: pa.Table) -> None:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(
            whole.select(["log_seq", *_BY_NAME[name].columns]), target, compression="zstd",
            compression_level=1, store_schema=False, row_group_size=ROW_GROUP,
            use_dictionary=_repeated(whole),
        )  # fmt: skip
        if name in PRIVATE:
            target.chmod(0o600)
        with target.open("rb") as file:
            self._digests[path] = hashlib.file_digest(file, "sha256").hexdigest()
        self._files[name].append(path)
        self.rows[name] += len(whole)
        pa.default_memory_pool().release_unused()

    def publish(self, published_s: float) -> None:
        """The manifest and the catalogue: only now is it a history."""
        manifest = Manifest(
            self.last_seq, published_s, {name: tuple(paths) for name, paths in self._files.items()},
            (), self._digests, head=self.head if self.head.rows else None,
        )  # fmt: skip
        (self._root / MANIFEST).write_text(manifest.text(), "utf-8")
        empty = Database(None)
        try:
            Publisher(empty, self._state_dir).publish(self.last_seq, published_s)
        finally:
            empty.close()

    def abandon(self) -> None:
        """Take away what was written of a history that is not whole."""
        shutil.rmtree(self._root, ignore_errors=True)


def batch_of(name: str, columns: Columns) -> pa.Table:
    """Columns as a batch of a table; the numbers that the log gives are left out."""
    table, skipped = _BY_NAME[name], _COUNTED.get(name, ())
    kinds = dict(zip(table.columns, table.types, strict=True))
    wanted = [each for each in table.columns if each not in skipped]
    if missing := set(wanted) ^ set(columns):
        raise ValueError(f"{name}: {', '.join(sorted(missing))}")
    uuids = _UUID_OF.get(name, _UUIDS)
    arrays = [_array(columns[each], kinds[each], each in uuids) for each in wanted]
    return pa.Table.from_arrays(arrays, names=wanted)


def batches_of(records: Sequence[Any]) -> dict[str, list[pa.Table]]:
    """Single records (acts, versions, steps) as batches of their tables."""
    by_kind: dict[type, list[Any]] = {}
    for each in records:
        by_kind.setdefault(type(each), []).append(each)
    found: dict[str, list[pa.Table]] = {}
    for kind, mine in by_kind.items():
        table = TABLES[kind]
        made = table.batch([table.row(each) for each in mine], 1).drop_columns(["log_seq"])
        for column in _COUNTED.get(table.name, ()):
            made = made.drop_columns([column])
        for column in _UUID_OF.get(table.name, _UUIDS):
            if column in made.column_names:
                at = made.column_names.index(column)
                made = made.set_column(at, column, _uuids_of_text(made.column(column)))
        found.setdefault(table.name, []).append(made)
    return found


def write_truth(state_dir: Path, content: Mapping[str, Any]) -> Path:
    """What was put in, beside the history, for whoever checks an analysis against it."""
    path = state_dir / "generated.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path


def _times(whole: pa.Table) -> NDArray[np.int64]:
    found: NDArray[np.int64] = (
        whole.column("ts").combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False)
    )
    return found


def _repeated(whole: pa.Table) -> list[str]:
    """The columns whose values come again and again; of random ones a dictionary is only cost."""
    unlike = {"prompt_hash", "draw", "log_seq", "seq", "id", *_UUIDS}
    found = []
    for column in whole.schema:
        if column.name not in unlike:
            nested = pa.types.is_list(column.type)
            found.append(f"{column.name}.list.element" if nested else column.name)
    return found


def _array(column: Column, kind: pa.DataType, uuid: bool) -> pa.Array:
    if isinstance(column, Lists):
        offsets = np.zeros(len(column.lengths) + 1, np.int32)
        np.cumsum(column.lengths, out=offsets[1:])
        values = _array(column.values, kind.value_type, False)
        return pa.ListArray.from_arrays(pa.array(offsets), values)
    if isinstance(column, Ids):
        texts = _uuids(column.data, column.known)
        assert uuid
        return texts
    if isinstance(column, Hashes):
        return _hex(column)
    if isinstance(column, Words):
        return _words(column)
    mask = None if column.known is None else ~column.known
    return pa.array(_fitting(column, kind), kind, mask=mask)


def _words(column: Words) -> pa.Array:
    """Every text once: of a dictionary that names one twice pyarrow writes the rows in full, with
    bytes in them that nobody set.
    """
    codes, places = column.codes, {name: at for at, name in enumerate(dict.fromkeys(column.names))}
    if len(places) < len(column.names):
        place = np.array([*(places[name] for name in column.names), -1])
        codes = place[codes]
    numbers = pa.array(codes.astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(numbers, pa.array(list(places), pa.string()))


def _fitting(column: Numbers, kind: pa.DataType) -> NDArray[np.generic]:
    if pa.types.is_timestamp(kind):
        return column.values.astype("datetime64[us]")
    return column.values.astype(kind.to_pandas_dtype(), copy=False)


def _uuids(data: NDArray[np.uint8], known: NDArray[np.bool_] | None) -> pa.Array:
    bits = None
    if known is not None:
        bits = pa.py_buffer(np.packbits(known, bitorder="little").tobytes())
    raw = pa.py_buffer(np.ascontiguousarray(data).tobytes())
    plain = pa.FixedSizeBinaryArray.from_buffers(pa.binary(BYTES), len(data), [bits, raw])
    return pa.ExtensionArray.from_storage(pa.uuid(), plain)


def _uuids_of_text(column: pa.ChunkedArray) -> pa.Array:
    texts = column.to_pylist()
    known = np.array([each is not None for each in texts])
    data = b"".join(bytes.fromhex((each or "0" * 32).replace("-", "")) for each in texts)
    return _uuids(np.frombuffer(data, np.uint8).reshape(-1, BYTES), known)


def _hex(column: Hashes) -> pa.Array:
    """As 32 hexadecimal digits; an empty text where there is none."""
    known = np.ones(len(column.data), bool) if column.known is None else column.known
    digits = _DIGITS[column.data[known]]
    offsets = np.zeros(len(known) + 1, np.int32)
    np.cumsum(known * (2 * BYTES), out=offsets[1:])
    return pa.StringArray.from_buffers(
        len(known), pa.py_buffer(offsets.tobytes()), pa.py_buffer(digits.tobytes())
    )
