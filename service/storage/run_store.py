"""The file of runs that are to survive a stop: SQLite, private, erased when their time is over.

Inputs, results and outputs stand here and nowhere else on disk, and only of runs whose caller asked
for one that goes on without him (async) or to have it kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.domain.clock import Clock
from service.storage.private_file import make_tables, open_private

FILE = "workflow_runs.sqlite"
SCHEMA = 1
_COLUMNS = (
    "id", "key_id", "tenant", "workflow", "mode", "state", "created_us", "ended_us",
    "keep_until_us", "used_s", "resumed", "source", "inputs", "labels", "ended", "idempotency",
    "digest",
)  # fmt: skip
_TABLES = """
CREATE TABLE runs (
    id TEXT PRIMARY KEY, key_id TEXT NOT NULL, tenant TEXT NOT NULL, workflow TEXT NOT NULL,
    mode TEXT NOT NULL, state TEXT NOT NULL, created_us INTEGER NOT NULL, ended_us INTEGER,
    keep_until_us INTEGER, used_s REAL NOT NULL, resumed INTEGER NOT NULL, source TEXT NOT NULL,
    inputs BLOB NOT NULL, labels BLOB NOT NULL, ended BLOB, idempotency TEXT NOT NULL,
    digest TEXT NOT NULL
);
CREATE UNIQUE INDEX runs_by_idempotency ON runs (key_id, idempotency) WHERE idempotency <> '';
CREATE INDEX runs_by_end ON runs (keep_until_us);
CREATE TABLE results (
    run_id TEXT NOT NULL, path TEXT NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (run_id, path)
);
"""


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run as it lies there. ``inputs``, ``labels`` and ``ended`` are JSON; ``idempotency`` is a
    keyed hash, and ``digest`` that of what was asked under it.
    """

    id: str
    key_id: str
    tenant: str
    workflow: str
    mode: str
    state: str
    created_us: int
    ended_us: int | None
    keep_until_us: int | None
    used_s: float
    resumed: int
    source: str
    inputs: bytes
    labels: bytes
    ended: bytes | None
    idempotency: str
    digest: str


class RunStore:
    """Called from one thread at a time; what a call wrote is durable when it returns. A damaged
    file is set aside, and said so.
    """

    def __init__(self, state_dir: Path, clock: Clock, notices: list[str] | None = None) -> None:
        path = state_dir / FILE
        self._db = open_private(
            path, clock, lambda db: make_tables(db, path, _TABLES, SCHEMA),
            "the runs of workflows that were kept are lost", notices,
        )  # fmt: skip

    def put(self, run: KeptRun) -> KeptRun:
        """Take a run; or the one that the same key had under the same idempotency key."""
        marks = ", ".join("?" * len(_COLUMNS))
        try:
            self._db.execute(
                f"INSERT INTO runs ({', '.join(_COLUMNS)}) VALUES ({marks})",
                [getattr(run, name) for name in _COLUMNS],
            )
        except sqlite3.IntegrityError:
            known = self.known(run.key_id, run.idempotency)
            if known is None:
                raise
            return known
        return run

    def known(self, key_id: str, idempotency: str) -> KeptRun | None:
        """The run that a key had under an idempotency key."""
        found = self._select("key_id = ? AND idempotency = ?", (key_id, idempotency))
        return found[0] if found and idempotency else None

    def find(self, run_id: str) -> KeptRun | None:
        """A run by its id."""
        found = self._select("id = ?", (run_id,))
        return found[0] if found else None

    def unfinished(self) -> list[KeptRun]:
        """Runs that have not ended, the oldest first."""
        return self._select("ended_us IS NULL", ())

    def listed(self, key_id: str, tenant: str, most: int) -> list[KeptRun]:
        """A key's and its tenant's, the newest first."""
        where = "key_id = ? OR (tenant <> '' AND tenant = ?)"
        return self._select(where, (key_id, tenant), most)

    def _select(self, where: str, given: Sequence[object], most: int = 1_000) -> list[KeptRun]:
        rows = self._db.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM runs WHERE {where} "
            "ORDER BY created_us DESC LIMIT ?", [*given, most],
        ).fetchall()  # fmt: skip
        return [KeptRun(*row) for row in rows]

    def keep(self, run_id: str, path: str, entry: bytes, used_s: float) -> None:
        """A result; the first of a path stays."""
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT OR IGNORE INTO results VALUES (?, ?, ?)", (run_id, path, entry))
        self._db.execute("UPDATE runs SET used_s = ? WHERE id = ?", (used_s, run_id))
        self._db.execute("COMMIT")

    def results(self, run_id: str) -> list[bytes]:
        """What a run has come to, in order."""
        rows = self._db.execute(
            "SELECT entry FROM results WHERE run_id = ? ORDER BY rowid", (run_id,)
        ).fetchall()
        return [row[0] for row in rows]

    def resumed(self, run_id: str) -> None:
        """A run goes on."""
        self._db.execute("UPDATE runs SET resumed = resumed + 1 WHERE id = ?", (run_id,))

    def end(self, run_id: str, state: str, ended: bytes, times: tuple[int, int]) -> None:
        """A run has ended. ``times``: when, and until when it is kept."""
        self._db.execute(
            "UPDATE runs SET state = ?, ended = ?, ended_us = ?, keep_until_us = ? "
            "WHERE id = ? AND ended_us IS NULL", (state, ended, *times, run_id),
        )  # fmt: skip

    def remove(self, run_id: str) -> bool:
        """Erase a run and all of its results."""
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("DELETE FROM results WHERE run_id = ?", (run_id,))
        gone = self._db.execute("DELETE FROM runs WHERE id = ?", (run_id,)).rowcount
        self._db.execute("COMMIT")
        return bool(gone)

    def sweep(self, now_us: int) -> int:
        """Erase what was kept long enough; how many."""
        rows = self._db.execute("SELECT id FROM runs WHERE keep_until_us <= ?", (now_us,))
        return sum(self.remove(row[0]) for row in rows.fetchall())

    def close(self) -> None:
        """Let the file go."""
        self._db.close()
