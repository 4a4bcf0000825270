"""The queue's file: private, one owner, set aside when damaged, refused when newer."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from service.storage.errors import SchemaNewer, StorageError
from service.storage.queue import QueueRules, QueueStore
from service.storage.queue_file import FILE, boot_id, open_file
from tests.conftest import HandClock
from tests.service.storage.test_queue import fresh


def test_it_is_private_durable_and_erases_what_is_deleted(tmp_path: Path) -> None:
    connection = open_file(tmp_path, HandClock(), "one")
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("secure_delete", 1)):
        assert connection.execute(f"PRAGMA {pragma}").fetchone()[0] == value
    connection.close()


def test_H09_a_second_process_finds_it_locked(tmp_path: Path) -> None:
    store = QueueStore(tmp_path, QueueRules(), HandClock(), boot="one")
    other = sqlite3.connect(tmp_path / FILE, timeout=0.0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT count(*) FROM tickets").fetchone()
    other.close()
    store.close()


@pytest.mark.parametrize("damage", ["header", "middle"])
def test_H04_a_damaged_file_is_set_aside_and_told(tmp_path: Path, damage: str) -> None:
    store = QueueStore(tmp_path, QueueRules(), HandClock(), boot="one")
    for _ in range(50):
        store.put(fresh(body=b"x" * 500))
    store.close()
    content = bytearray((tmp_path / FILE).read_bytes())
    at = 0 if damage == "header" else 4096
    content[at : at + 4096] = b"\xa5" * 4096
    (tmp_path / FILE).write_bytes(content)
    notices: list[str] = []
    store = QueueStore(tmp_path, QueueRules(), HandClock(), boot="one", notices=notices)
    assert "set aside" in notices[0] and store.counts.waiting == 0
    assert len(list(tmp_path.glob(f"{FILE}.damaged-*"))) >= 1
    store.put(fresh())
    store.close()


def test_H12_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    open_file(tmp_path, HandClock(), "one").close()
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SchemaNewer, match="newer"):
        open_file(tmp_path, HandClock(), "one")


@pytest.mark.slow
def test_a_file_that_cannot_be_opened_is_an_error_of_storage(tmp_path: Path) -> None:
    holder = QueueStore(tmp_path, QueueRules(), HandClock(), boot="one")
    with pytest.raises(StorageError, match="cannot be opened"):
        open_file(tmp_path, HandClock(), "one")
    holder.close()


def test_the_boot_has_an_id() -> None:
    assert len(boot_id()) == 36
