"""The file of kept runs: private, and what is damaged does not stop a start."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.storage.errors import SchemaNewer, StorageError
from service.storage.run_store import FILE, KeptRun, RunStore
from tests.conftest import HandClock

RUN = KeptRun(
    id="r1", key_id="k", tenant="", workflow="flow", mode="async", state="running", created_us=1,
    ended_us=None, keep_until_us=None, used_s=0.0, resumed=0, source="", inputs=b"{}",
    labels=b"{}", ended=None, idempotency="", digest="d",
)  # fmt: skip


def test_a_run_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    store = RunStore(tmp_path, HandClock())
    assert store.put(RUN) == RUN
    store.close()
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    again = RunStore(tmp_path, HandClock())
    assert again.find("r1") == RUN and again.remove("r1") and again.find("r1") is None
    again.close()


def test_a_damaged_file_is_set_aside_and_said_so(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database, and long enough to be looked at" * 40)
    notices: list[str] = []
    store = RunStore(tmp_path, HandClock(), notices)
    assert store.find("r1") is None and store.put(RUN) == RUN
    store.close()
    (notice,) = notices
    assert "runs of workflows" in notice and "damaged" in notice
    assert len([each for each in tmp_path.iterdir() if "damaged" in each.name]) == 1


def test_who_else_has_it_open_or_wrote_it_newer_is_said(tmp_path: Path) -> None:
    store = RunStore(tmp_path, HandClock())
    with pytest.raises(StorageError, match="locked"):
        RunStore(tmp_path, HandClock())
    store._db.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(SchemaNewer, match="newer Headgate"):
        RunStore(tmp_path, HandClock())
