"""Published rows put back into a live file; what is damaged is left out and told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from service.storage.database import Database
from service.storage.errors import StorageError
from service.storage.manifest import FOLDER, damage, file_list, read_manifest
from service.storage.tables import NAMES


@dataclass(frozen=True, slots=True)
class Refilled:
    """How many rows were put back, and which published files could not be read."""

    rows: int
    missing: tuple[str, ...] = ()


def refill(database: Database, state_dir: Path, after_seq: int) -> Refilled:
    """Put published rows numbered above ``after_seq`` into an open database."""
    manifest = read_manifest(state_dir)
    root = state_dir / FOLDER
    rows, missing = 0, list[str]()
    for name in NAMES:
        paths = manifest.files.get(name, ())
        damaged = [each for each in paths if damage(root / each, manifest.digests.get(each, ""))]
        missing += damaged
        sound = [root / each for each in paths if each not in damaged]
        try:
            for day in _by_day(sound):
                rows += _insert(database, name, day, after_seq)
        except duckdb.Error as error:
            raise StorageError(f"the published {name} cannot be put back: {error}") from error
    database.last_seq = max(database.last_seq, manifest.through_seq)
    return Refilled(rows, tuple(missing))


def _by_day(paths: Sequence[Path]) -> list[list[Path]]:
    """The files of each day, the oldest first: a day at a time fits into memory, and a row stands
    in files of one day alone.
    """
    days: dict[str, list[Path]] = {}
    for path in paths:
        days.setdefault(path.parent.name, []).append(path)
    return [days[day] for day in sorted(days)]


def _insert(database: Database, name: str, paths: Sequence[Path], after_seq: int) -> int:
    """All or nothing. A row that two files hold is put back once."""
    if not paths:
        return 0
    source = f"FROM read_parquet({file_list(paths)}, union_by_name = true, "
    source += f"hive_partitioning = false) WHERE log_seq > {after_seq} "
    if len(paths) > 1:  # one file alone holds every row once, and in its order
        source += "QUALIFY row_number() OVER (PARTITION BY log_seq) = 1 ORDER BY log_seq"
    before = _count(database, name)
    database.execute(f"INSERT INTO {name} BY NAME SELECT * {source}")
    return _count(database, name) - before


def _count(database: Database, name: str) -> int:
    row = database.cursor().execute(f"SELECT count(*) FROM {name}").fetchone()
    return int(row[0]) if row else 0
