"""Open the live file; set a damaged one aside and rebuild it from the published history."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from service.storage.database import FILE, Database
from service.storage.errors import DatabaseCorrupt, StorageError
from service.storage.history import Publisher
from service.storage.manifest import read_manifest
from service.storage.refill import Refilled, refill
from service.storage.retention import Dropped


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: rows put back, the damaged files that were set aside, the published
    files that could not be read, and what of each table the history had let go of old.
    """

    rows: int
    set_aside: tuple[str, ...]
    reason: str
    missing: tuple[str, ...] = ()
    dropped: Mapping[str, Dropped] = field(default_factory=dict)

    @property
    def no_longer_kept(self) -> str:
        """What `history.keep_days` had let go before, in words; empty where it had not."""
        if not self.dropped:
            return ""
        days = ", ".join(f"{name} before {each.before}" for name, each in self.dropped.items())
        return (
            f"days that the published history no longer keeps are not put back: {days}; where the "
            "file set aside can be read they are in it"
        )

    def told(self, published_at: str) -> str:
        """In words, with what cannot be restored."""
        text = (
            f"the live file was mended from the published history: {self.rows} rows put back "
            f"({self.reason}); rows that came after the last publication ({published_at}) cannot "
            "be restored"
        )
        if self.missing:
            text += (
                f"; nor can the rows of these published files, which are damaged: "
                f"{', '.join(self.missing)}"
            )
        if self.dropped:
            text += f"; {self.no_longer_kept}"
        if self.set_aside:
            text += f"; the damaged files are {', '.join(self.set_aside)}"
        return text


def open_live(state_dir: Path) -> tuple[Database, Restored | None]:
    """The live database of a state directory, mended where it had to be.

    A file that cannot be opened is set aside and rebuilt. A file that opens but lacks rows that
    were published (its write-ahead log was lost) gets them back.
    """
    path = state_dir / FILE
    try:
        database = Database(path)
    except DatabaseCorrupt as error:
        return rebuild(state_dir, str(error))
    published = read_manifest(state_dir).through_seq
    if database.last_seq >= published:
        return database, None
    before = database.last_seq
    put_back = refill(database, state_dir, before)
    reason = f"the live file ended at row {before}, the published history at {published}"
    return database, Restored(put_back.rows, (), reason, put_back.missing)


def rebuild(state_dir: Path, reason: str) -> tuple[Database, Restored]:
    """A new live file from the published history; the old one is kept under another name."""
    path = state_dir / FILE
    fresh = state_dir / (FILE + ".rebuilding")
    for leftover in (fresh, Path(f"{fresh}.wal")):
        leftover.unlink(missing_ok=True)
    database = Database(fresh)
    try:
        put_back: Refilled = refill(database, state_dir, 0)
    finally:
        database.close()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = []
    for old in (path, Path(f"{path}.wal")):
        if old.exists():
            kept = _free_name(old.with_name(f"{old.name}.set-aside-{stamp}"))
            os.replace(old, kept)
            aside.append(kept.name)
    os.replace(fresh, path)
    database = Database(path)
    # The numbers go on after the history's, the damaged files' rows included.
    manifest = read_manifest(state_dir)
    database.last_seq = max(database.last_seq, manifest.through_seq)
    return database, Restored(
        put_back.rows, tuple(aside), reason, put_back.missing, manifest.dropped
    )


def _free_name(path: Path) -> Path:
    """That name, or one beside it that nothing has yet."""
    taken = 1
    free = path
    while free.exists():
        taken += 1
        free = path.with_name(f"{path.name}-{taken}")
    return free


def publish_rest(state_dir: Path) -> str:
    """Publish what a live file that still opens holds beyond the history, so that a rebuild from
    the history loses nothing. A file that does not open, or not give its rows, has nothing to
    give; then the reason, else empty.
    """
    path = state_dir / FILE
    if not path.exists():
        return ""
    try:
        database = Database(path)
    except DatabaseCorrupt as error:
        return str(error)
    try:
        Publisher(database, state_dir).publish(database.last_seq)
    except (duckdb.Error, StorageError) as error:
        return str(error)
    finally:
        database.close()
    return ""
