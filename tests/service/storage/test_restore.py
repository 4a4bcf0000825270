"""A live file that is damaged, cut or lost its log is mended from the published history."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.storage.database import FILE, Database
from service.storage.restore import open_live, publish_rest, rebuild
from tests.service.storage.test_history import Kept, act


def filled(state: Path, unpublished: bool = False) -> None:
    kept = Kept(state)
    for name in ("one", "two", "three"):
        kept.add(act(name))
    kept.publish()
    if unpublished:
        kept.add(act("four"))
    kept.log.stop()
    kept.database.close()


def ids(database: Database) -> list[str]:
    rows = database.cursor().execute("SELECT id FROM acts ORDER BY log_seq").fetchall()
    return [row[0] for row in rows]


def test_a_sound_file_is_left_alone(tmp_path: Path) -> None:
    filled(tmp_path, unpublished=True)
    database, restored = open_live(tmp_path)
    assert restored is None and ids(database) == ["one", "two", "three", "four"]
    database.close()


@pytest.mark.parametrize("damage", ["header", "truncated", "empty", "text"])
def test_a_damaged_file_is_set_aside_and_rebuilt(tmp_path: Path, damage: str) -> None:
    filled(tmp_path)
    path = tmp_path / FILE
    data = bytearray(path.read_bytes())
    if damage == "header":
        data[:64] = os.urandom(64)
    elif damage == "truncated":
        del data[len(data) // 3 :]
    elif damage == "empty":
        data = bytearray(b"x")
    else:
        data = bytearray(b"hello\n" * 5_000)
    path.write_bytes(bytes(data))
    database, restored = open_live(tmp_path)
    assert restored is not None and restored.rows >= 3
    assert any((tmp_path / name).exists() for name in restored.set_aside)
    assert ids(database) == ["one", "two", "three"]
    assert database.last_seq >= 3
    database.close()
    again, restored = open_live(tmp_path)
    assert restored is None
    again.close()


def test_rows_of_a_lost_write_ahead_log_come_back(tmp_path: Path) -> None:
    """A killed writer leaves rows in the log file alone; deleting that loses them silently."""
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from tests.service.storage.test_history import Kept, act\n"
        f"kept = Kept(Path({str(tmp_path)!r}))\n"
        "for name in ('one', 'two', 'three'): kept.add(act(name))\n"
        "kept.publish()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == -signal.SIGKILL, found.stderr
    (tmp_path / f"{FILE}.wal").unlink()
    database, restored = open_live(tmp_path)
    assert restored is not None and "published history at 3" in restored.reason
    assert ids(database) == ["one", "two", "three"]
    database.close()


def test_a_rebuild_by_hand_loses_nothing_that_a_sound_file_holds(tmp_path: Path) -> None:
    filled(tmp_path, unpublished=True)
    publish_rest(tmp_path)
    database, restored = rebuild(tmp_path, "asked for")
    assert ids(database) == ["one", "two", "three", "four"] and restored.rows >= 4
    database.close()


def test_without_any_history_an_empty_file_is_made(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"rubbish" * 3_000)
    database, restored = open_live(tmp_path)
    assert restored is not None and restored.rows == 0 and ids(database) == []
    database.close()
