"""One process, one writer, migrations in order; what is damaged or newer is told apart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service.storage.database import FILE, Database, StateLock, migrations
from service.storage.errors import (
    DatabaseCorrupt,
    SchemaNewer,
    StateLocked,
    StorageError,
    WriteFailed,
)
from service.storage.tables import TABLES


def test_a_second_process_is_refused_clearly(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    code = (
        "from pathlib import Path; from service.storage.database import StateLock;"
        f"StateLock(Path({str(tmp_path)!r}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 1 and "in use by another Headgate" in found.stderr
    lock.release()
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr


def test_a_damaged_file_and_a_newer_schema_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_bytes(b"not a database" * 1_000)
    with pytest.raises(DatabaseCorrupt):
        Database(path)
    path.unlink()
    database = Database(path)
    database.execute("INSERT INTO schema_version VALUES (999)")
    database.close()
    with pytest.raises(SchemaNewer, match="run the newer one"):
        Database(path)


def test_migrations_run_once(tmp_path: Path) -> None:
    Database(tmp_path / FILE).close()
    database = Database(tmp_path / FILE)
    rows = database.cursor().execute("SELECT version FROM schema_version ORDER BY 1").fetchall()
    assert [row[0] for row in rows] == list(migrations()) == sorted(migrations())
    database.close()


def test_a_step_that_came_late_is_made_up_for(tmp_path: Path) -> None:
    """Steps are told apart by number, so one that was merged after a later one is not passed by."""
    database = Database(tmp_path / FILE)
    database.execute("ALTER TABLE weights DROP COLUMN state")
    database.execute("DELETE FROM schema_version WHERE version = 3")
    database.close()
    database = Database(tmp_path / FILE)
    assert database.cursor().execute("SELECT state FROM weights").fetchall() == []
    database.close()


def test_a_batch_is_kept_whole_or_not_at_all() -> None:
    database = Database(None)
    keys = next(table for table in TABLES.values() if table.name == "keys")
    good = keys.batch([("k", 1, "n", "caller", "", "", "d", False, None, "", None)], 1)
    with pytest.raises(WriteFailed):
        database.write({"keys": good, "no_such_table": good})
    found = database.cursor().execute("SELECT count(*) FROM keys").fetchone()
    assert found == (0,)
    database.write({"keys": good})
    assert issubclass(StateLocked, StorageError)
