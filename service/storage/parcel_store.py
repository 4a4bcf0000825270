"""Parcels on disk, in the file of batches: which requests are with which provider."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from service.domain.batches import Taken
from service.domain.parcels import Entry, Parcel, ParcelState, Posted
from service.storage.batch_file import written
from service.storage.batch_store import BatchStore

_NAMES = (
    "mark", "batch_id", "deployment", "state", "made_us", "endpoint", "remote", "file", "sent_us",
    "why", "count", "size",
)  # fmt: skip
_ALL = ", ".join(_NAMES)
_posted = msgspec.json.Decoder(Posted).decode


class ParcelStore:
    """Called from the thread of the batches' store. ``parcels``: those that are not over."""

    def __init__(self, connection: sqlite3.Connection, batches: BatchStore) -> None:
        self._db, self._batches = connection, batches
        self.parcels: dict[str, Parcel] = {}
        for row in connection.execute(f"SELECT {_ALL} FROM parcels ORDER BY made_us").fetchall():
            told = dict(zip(_NAMES, row, strict=True))
            self.parcels[row[0]] = Parcel(**told | {"state": ParcelState(told["state"])})

    def post(self, taken: Taken, posted: Posted, new: Parcel, most: tuple[int, int]) -> Parcel:
        """A request that is being tried joins the parcel that is gathered for its batch and
        deployment, or begins a ``new`` one where that has its ``most`` requests or bytes.
        """
        found = next(
            (each for each in self.parcels.values() if each.state is ParcelState.GATHERING
             and each.batch_id == taken.batch_id and each.deployment == new.deployment
             and each.count < most[0] and each.size + len(taken.body) <= most[1]), None,
        )  # fmt: skip
        before = found or new
        parcel = replace(before, count=before.count + 1, size=before.size + len(taken.body))
        with written(self._db):
            self._write(parcel)
            self._db.execute(
                "INSERT INTO posted (batch_id, number, mark, state, detail) "
                "VALUES (?, ?, ?, 'with', ?)",
                (taken.batch_id, taken.number, parcel.mark, msgspec.json.encode(posted)),
            )
        self.parcels[parcel.mark] = parcel
        return parcel

    def keep(self, parcel: Parcel) -> None:
        """A parcel stands otherwise."""
        with written(self._db):
            self._write(parcel)
        self.parcels[parcel.mark] = parcel

    def _write(self, parcel: Parcel) -> None:
        marks = ", ".join("?" * len(_NAMES))
        self._db.execute(
            f"INSERT OR REPLACE INTO parcels ({_ALL}) VALUES ({marks})",
            [getattr(parcel, name) for name in _NAMES],
        )

    def entries(self, mark: str, after: int, most: int) -> list[Entry]:
        """Requests of a parcel that have no result of it yet, by their numbers."""
        rows = self._db.execute(
            "SELECT p.detail, coalesce(r.custom_id, ''), coalesce(r.body, x'') FROM posted p "
            "LEFT JOIN requests r ON r.batch_id = p.batch_id AND r.number = p.number "
            "WHERE p.mark = ? AND p.number > ? AND p.state IN ('with', 'late') "
            "ORDER BY p.number LIMIT ?", (mark, after, most),
        ).fetchall()  # fmt: skip
        return [Entry(_posted(row[0]), row[1], bytes(row[2])) for row in rows]

    def taken_back(self, mark: str, numbers: Sequence[int] | None, late: bool = False) -> None:
        """Requests (None: all) wait again, to be tried alone. ``late``: what they cost here is
        still to be told.
        """
        parcel = self.parcels[mark]
        if numbers is None:
            numbers = [row[0] for row in self._db.execute(
                "SELECT number FROM posted WHERE mark = ? AND state = 'with'", (mark,)
            ).fetchall()]  # fmt: skip
        given = [(parcel.batch_id, number) for number in numbers]
        with written(self._db):
            changed = sum(
                self._db.execute(
                    "UPDATE requests SET state = 'waiting', ready_us = 0 WHERE batch_id = ? "
                    "AND number = ? AND state = 'running' AND EXISTS (SELECT 1 FROM posted p WHERE "
                    "p.batch_id = requests.batch_id AND p.number = requests.number "
                    "AND p.state = 'with')", each,
                ).rowcount
                for each in given
            )  # fmt: skip
            self._db.executemany(
                "UPDATE posted SET state = ? WHERE batch_id = ? AND number = ?",
                (("late" if late else "back", *each) for each in given),
            )
        standing = self._batches.standings.get(parcel.batch_id)
        if standing is not None:
            standing.running -= changed
            standing.waiting += changed
            standing.ready_us = 0

    def forget(self, mark: str, numbers: Sequence[int]) -> None:
        """Requests wait again as if they had never been posted."""
        self.taken_back(mark, numbers)
        batch_id = self.parcels[mark].batch_id
        with written(self._db):
            self._db.executemany(
                "DELETE FROM posted WHERE batch_id = ? AND number = ?",
                ((batch_id, number) for number in numbers),
            )

    def done(self, mark: str, results: Iterable[tuple[int, bytes]]) -> int:
        """Requests have their answers, each with its line; how many had none before."""
        batch_id, changed = self.parcels[mark].batch_id, 0
        with written(self._db):
            for number, line in results:
                changed += self._db.execute(
                    "UPDATE requests SET state = 'completed', line = ?, body = x'' WHERE "
                    "batch_id = ? AND number = ? AND state = 'running'", (line, batch_id, number),
                ).rowcount  # fmt: skip
                self._db.execute(
                    "UPDATE posted SET state = 'done', detail = x'' WHERE batch_id = ? "
                    "AND number = ?", (batch_id, number),
                )  # fmt: skip
            self._batches.counted(batch_id, "completed", changed)
        self._batches.given(batch_id, "completed", changed)
        return changed

    def over(self, mark: str) -> None:
        """Nothing more comes of a parcel."""
        parcel = self.parcels[mark]
        with written(self._db):
            self._db.execute("DELETE FROM parcels WHERE mark = ?", (mark,))
            self._db.execute(
                "UPDATE posted SET state = 'back', detail = x'' WHERE mark = ? AND state = 'late'",
                (mark,),
            )
            if parcel.batch_id not in self._batches.standings:
                self._db.execute("DELETE FROM posted WHERE batch_id = ? AND mark = ?",
                                 (parcel.batch_id, mark))  # fmt: skip
        del self.parcels[mark]
