"""Open the live file; set a damaged one aside and rebuild it from the published history."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from service.storage.database import FILE, Database
from service.storage.errors import DatabaseCorrupt, StorageError
from service.storage.history import Publisher, load_into, read_manifest


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: rows put back, and the damaged files that were set aside."""

    rows: int
    set_aside: tuple[str, ...]
    reason: str


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
    rows = load_into(database, state_dir, before)
    reason = f"the live file ended at row {before}, the published history at {published}"
    return database, Restored(rows, (), reason)


def rebuild(state_dir: Path, reason: str) -> tuple[Database, Restored]:
    """A new live file from the published history; the old one is kept under another name."""
    path = state_dir / FILE
    fresh = state_dir / (FILE + ".rebuilding")
    for leftover in (fresh, Path(f"{fresh}.wal")):
        leftover.unlink(missing_ok=True)
    database = Database(fresh)
    try:
        rows = load_into(database, state_dir, 0)
    except StorageError:
        database.close()
        raise
    database.close()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = []
    for old in (path, Path(f"{path}.wal")):
        if old.exists():
            kept = old.with_name(f"{old.name}.set-aside-{stamp}")
            os.replace(old, kept)
            aside.append(kept.name)
    os.replace(fresh, path)
    return Database(path), Restored(rows, tuple(aside), reason)


def publish_rest(state_dir: Path) -> None:
    """Publish what a live file that still opens holds beyond the history, so that a rebuild from
    the history loses nothing. A file that does not open has nothing to give.
    """
    path = state_dir / FILE
    if not path.exists():
        return
    try:
        database = Database(path)
    except DatabaseCorrupt:
        return
    try:
        Publisher(database, state_dir).publish(database.last_seq)
    finally:
        database.close()
