"""The chain over what people and the service did: links made where rows are written, and checked.

A row's hash is SHA-256 over the hash of the row before it and the row as JSON: its columns that are
not null by name, in the order of their names, in ASCII, times as microseconds. So a row that is
changed, left out, put in or moved does not fit the next one (Haber and Stornetta, Journal of
Cryptology 3, 1991). Rows from before the chain are hashed alike; the first link holds their hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

GENESIS = "0" * 64
TABLE = "acts"
COLUMNS = (
    "log_seq", "id", "ts", "actor", "act", "subject", "reason", "detail", "author", "role",
    "key_id", "ip", "request_id", "before", "after",
)  # fmt: skip
MOST_TOLD = 20  # breaks
_CHUNK = 4_096
_SELECTED = ", ".join("epoch_us(ts)" if name == "ts" else f'"{name}"' for name in COLUMNS)


class Head(NamedTuple):
    """The end of a chain: its last row, that row's hash, and how many rows there are to it."""

    seq: int
    hash: str
    rows: int


class Link(NamedTuple):
    """A row as it is stored: what is hashed, and what was said of it."""

    values: tuple[Any, ...]  # by COLUMNS; ``ts`` in microseconds
    prev_hash: str | None
    hash: str | None

    @property
    def seq(self) -> int:
        return int(self.values[0])

    @property
    def id(self) -> str:
        return str(self.values[1])


@dataclass(frozen=True, slots=True)
class Break:
    """Where the chain does not hold, and how."""

    seq: int
    id: str
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look through a chain found; ``breaks``: the first of them, ``broken``: all."""

    rows: int
    head: Head
    breaks: tuple[Break, ...]
    broken: int

    @property
    def holds(self) -> bool:
        return self.broken == 0


def hash_of(values: tuple[Any, ...], prev_hash: str) -> str:
    """The hash of a row after the row with ``prev_hash``."""
    told = {name: value for name, value in zip(COLUMNS, values, strict=True) if value is not None}
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{prev_hash}{text}".encode()).hexdigest()


def linked(batch: pa.Table, head: str) -> tuple[pa.Table, str]:
    """The rows of a batch, which are in the order of their numbers, with their links; the head."""
    columns = [
        (batch.column(name).cast(pa.int64()) if name == "ts" else batch.column(name)).to_pylist()
        for name in COLUMNS
    ]
    before, hashes = [], []
    for values in zip(*columns, strict=True):
        before.append(head)
        head = hash_of(values, head)
        hashes.append(head)
    for name, texts in (("prev_hash", before), ("hash", hashes)):
        at = batch.column_names.index(name)
        batch = batch.set_column(at, name, pa.array(texts, pa.string()))
    return batch, head


def head_of(connection: duckdb.DuckDBPyConnection) -> str:
    """The hash of the last row, to go on from; rows from before the chain are hashed once."""
    row = connection.execute(
        f"SELECT hash FROM {TABLE} ORDER BY log_seq DESC LIMIT 1"
    ).fetchone()  # fmt: skip
    if row is None:
        return GENESIS
    if row[0] is not None:
        return str(row[0])
    return verify(links(connection, TABLE)).head.hash


def links(connection: duckdb.DuckDBPyConnection, source: str, after: int = 0) -> Iterator[Link]:
    """The rows of a table or query, in the order of their numbers."""
    cursor = connection.execute(
        f"SELECT {_SELECTED}, prev_hash, hash FROM {source} WHERE log_seq > {int(after)} "
        "ORDER BY log_seq"
    )
    while rows := cursor.fetchmany(_CHUNK):
        for row in rows:
            yield Link(row[:-2], row[-2], row[-1])


def verify(rows: Iterable[Link], published: Head | None = None) -> Verdict:
    """Look through a whole chain. ``published``: the end of it that was published, which must be
    in it, with as many rows before it.
    """
    look = _Look(published)
    for link in rows:
        look.take(link)
    return look.verdict()


class _Look:
    """A look through a chain, row by row. After a break it goes on from what the row says, so that
    one row that was changed is one break.
    """

    def __init__(self, published: Head | None) -> None:
        self._published = published
        self._rows, self._seq, self._head = 0, 0, GENESIS
        self._chained = False
        self._breaks: list[Break] = []
        self._broken = 0

    def take(self, link: Link) -> None:
        """The next row."""
        if self._published is not None and link.seq > self._published.seq:
            self._missed()
        if link.hash is None:
            own = hash_of(link.values, self._head)
            if self._chained:
                self._found(link, "this row is in no chain")
        else:
            own = link.hash
            if link.prev_hash != self._head:
                before = f"row {self._seq}" if self._chained else f"the rows up to {self._seq}"
                self._found(link, f"this row does not follow {before}: one was changed, taken out, "
                            "put in or moved")  # fmt: skip
            if hash_of(link.values, link.prev_hash or "") != own:
                self._found(link, "this row is not what was written")
            self._chained = True
        self._rows, self._seq, self._head = self._rows + 1, link.seq, own
        if self._published is not None and link.seq == self._published.seq:
            self._met(link, self._published)

    def _met(self, link: Link, published: Head) -> None:
        if self._head != published.hash:
            self._found(link, "this row is not the one that was published")
        elif self._rows != published.rows:
            self._found(link, f"{published.rows} rows up to this one were published, {self._rows} "
                        "are there")  # fmt: skip
        self._published = None

    def _missed(self) -> None:
        published, self._published = self._published, None
        if published is not None:
            self._told(published.seq, "", "this row was published and is not there")

    def verdict(self) -> Verdict:
        """At the end."""
        self._missed()
        head = Head(self._seq, self._head, self._rows)
        return Verdict(self._rows, head, tuple(self._breaks), self._broken)

    def _found(self, link: Link, what: str) -> None:
        self._told(link.seq, link.id, what)

    def _told(self, seq: int, identity: str, what: str) -> None:
        self._broken += 1
        if len(self._breaks) < MOST_TOLD:
            self._breaks.append(Break(seq, identity, what))
