"""What is acknowledged is durable; what fails was not kept; nothing waits behind a bad row."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from service.domain.errors import StorageUnavailable
from service.domain.records import Act
from service.storage.database import FILE, Database
from service.storage.errors import DatabaseCorrupt, DatabaseInvalid, WriteFailed
from service.storage.event_log import PROBE, EventLog
from tests.service.storage.test_tables import decision


def act(name: str) -> Act:
    return Act(name, 1, "me", "tested", "", "", "{}")


def ids(database: Database) -> list[str]:
    rows = database.cursor().execute("SELECT id FROM acts ORDER BY log_seq").fetchall()
    return [row[0] for row in rows]


class Failing(Database):
    """A database whose commits fail while told to."""

    failing = False

    def write(self, batches: object) -> None:
        if self.failing:
            raise WriteFailed("No space left on device")
        super().write(batches)  # type: ignore[arg-type]


@pytest.fixture
def database() -> Failing:
    return Failing(None)


def test_order_and_durability(database: Failing) -> None:
    log = EventLog(database)
    log.start()
    for index in range(50):
        log.append(act(f"a{index:03}"))
    log.append_durable(act("last"), act("very last")).result(5)
    assert ids(database) == [f"a{i:03}" for i in range(50)] + ["last", "very last"]
    assert log.last_seq == log.committed == 52
    log.stop()


def test_what_is_queued_is_written_within_the_flush_time(database: Failing) -> None:
    log = EventLog(database, flush_s=0.05)
    log.start()
    log.append(act("a"))
    deadline = time.monotonic() + 5
    while ids(database) != ["a"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    log.stop()


def test_one_who_is_in_no_hurry_waits_for_the_commit_that_comes_anyhow(database: Failing) -> None:
    log = EventLog(database, flush_s=30.0)
    log.start()
    log.append(act("one"))
    patient = log.flush(soon=False)
    assert not patient.done()
    log.flush().result(5)
    patient.result(5)
    assert ids(database) == ["one"]
    log.stop()


def test_a_failed_commit_is_never_acknowledged_and_the_rest_comes_later(database: Failing) -> None:
    log = EventLog(database)
    database.failing = True
    log.start()
    log.append(act("waits"))
    refused = log.append_durable(act("refused one"), act("refused two"))
    with pytest.raises(StorageUnavailable, match="was not taken"):
        refused.result(5)
    assert not log.healthy and "no space left" in log.failure and "disk is full" in log.failure
    database.failing = False
    log.append_durable(act("after")).result(5)
    assert ids(database) == ["waits", "after"] and log.healthy
    log.stop()


def test_a_row_that_cannot_be_stored_does_not_hold_up_the_rest(database: Failing) -> None:
    log = EventLog(database)
    log.start()
    log.append(act("before"))
    log.append(Act("bad", "not a time", "me", "x", "", "", ""))  # type: ignore[arg-type]
    log.append(act("after"))
    deadline = time.monotonic() + 10
    while ids(database) != ["before", "after"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    log.stop()


def test_stopping_writes_what_is_queued(tmp_path: Path) -> None:
    database = Database(tmp_path / FILE)
    log = EventLog(database)
    log.start()
    for index in range(200):
        log.append(act(f"{index:03}"))
    log.stop()
    database.close()
    again = Database(tmp_path / FILE)
    assert len(ids(again)) == 200 and again.last_seq == 200
    again.close()


def test_many_threads_may_append(database: Failing) -> None:
    log = EventLog(database)
    log.start()

    def work(name: int) -> None:
        for index in range(100):
            log.append(act(f"{name}-{index}"))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.flush().result(5)
    assert len(set(ids(database))) == 400
    log.stop()


@pytest.mark.slow
def test_who_waits_behind_many_others_is_told_at_once(database: Failing) -> None:
    log = EventLog(database)
    database.failing = True
    for index in range(3 * PROBE):
        log.append(act(f"{index:04}"))
    refused = [log.append_durable(act("refused")) for _ in range(3)]
    log.start()
    for each in refused:
        with pytest.raises(StorageUnavailable):
            each.result(5)
    later = log.append_durable(act("refused too"))
    with pytest.raises(StorageUnavailable):
        later.result(5)
    database.failing = False
    log.append_durable(act("last")).result(5)
    assert ids(database) == [f"{i:04}" for i in range(3 * PROBE)] + ["last"]
    log.stop()


def test_there_is_no_room_without_end(database: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.storage.event_log.MAX_QUEUED", 3)
    log = EventLog(database)
    made = decision()
    assert [log.append(each) for each in (made, act("a"), act("b"), made, act("c"))] == [
        True, True, True, False, True,
    ]  # fmt: skip
    assert log.dropped == 1 and log.queued == 4


class Breaking(Database):
    """A database that breaks down over its next commit, kept or not, and opens only when let."""

    keeps = True
    breaks = True
    opens = threading.Event()

    def write(self, batches: object) -> None:
        if not self.breaks:
            super().write(batches)  # type: ignore[arg-type]
            return
        self.breaks = False
        if self.keeps:
            super().write(batches)  # type: ignore[arg-type]
        raise DatabaseInvalid("FATAL Error: database has been invalidated")

    def reopen(self) -> int:
        if not self.opens.is_set():
            raise DatabaseCorrupt("it does not open")
        return super().reopen()


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("patient", [True, False])
def test_a_commit_in_doubt_is_looked_up_before_anything_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps: bool, patient: bool
) -> None:
    """Kept rows are acknowledged and not written again; who cannot wait is told of the doubt."""
    monkeypatch.setattr("service.storage.event_log.RETRY_S", 0.01)
    monkeypatch.setattr("service.storage.event_log.DOUBT_S", 60.0 if patient else 0.0)
    database = Breaking(tmp_path / FILE)
    database.keeps, database.opens = keeps, threading.Event()
    log = EventLog(database)
    log.append(act("waits"))
    ack = log.append_durable(act("asked"))
    log.start()
    if patient:
        while log.healthy:
            time.sleep(0.005)
        assert not ack.done(), "neither yes nor no is true yet"
    else:
        with pytest.raises(StorageUnavailable, match="not known yet"):
            ack.result(5)
    database.opens.set()
    while not log.healthy:
        time.sleep(0.005)
    log.flush().result(5)
    assert ids(database) == ["waits", *(["asked"] if keeps else [])]
    if patient:
        assert (ack.exception(5) is None) == keeps
    log.stop()
    database.close()


def test_one_who_leaves_before_the_commit_takes_nobody_with_him(tmp_path: Path) -> None:
    database = Database(tmp_path / "d.duckdb")
    log = EventLog(database)
    left = log.append_durable(act("a"))
    assert left.cancel()
    log.start()
    assert log.append_durable(act("b")).result(10) == 2  # both rows are kept
    log.stop()
    database.close()
