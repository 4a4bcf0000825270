"""Days are read once over and once settled; a severe change is durable, told once, known again."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from experiments.series import Cell
from service.bootstrap.trends import _key
from service.monitoring.trends import ACT, DAY_US, Told, TrendBoard, notice
from service.storage.daily import told_of
from service.storage.database import FILE, Database
from service.storage.event_log import EventLog
from tests.conftest import HandClock
from tests.experiments.days import MONDAY, traffic

DAYS, ONSET = 44, 36


def dearer(day: int, task: str, deployment: str, f: dict[str, Any]) -> None:
    if day >= ONSET and deployment == "strong":
        f["prices"] = tuple(1.5 * each for each in f["prices"])


class Log:
    """Days of traffic as a board reads them, and how often it did."""

    def __init__(self, tmp_path: Path) -> None:
        self.database = Database(tmp_path / FILE)
        self.log = EventLog(self.database)
        self.log.start()
        self.clock = HandClock((MONDAY + 40) * DAY_US + 1)
        self.metric = "rating"
        self.reads: Counter[int] = Counter()
        self.days: dict[int, list[Cell]] = {}
        for cell in traffic(DAYS, 3, dearer):
            self.days.setdefault(cell.day, []).append(cell)

    def read(self, day: int, metric: str) -> list[Cell]:
        assert metric == self.metric
        self.reads[day] += 1
        return self.days.get(day, [])

    def board(self, told: list[Told] | None = None) -> TrendBoard:
        return TrendBoard(self.read, lambda: self.metric, self.log, self.clock, told or [])


@pytest.fixture
def log(tmp_path: Path) -> Any:
    found = Log(tmp_path)
    yield found
    found.log.stop()
    found.database.close()


def look(board: TrendBoard) -> list[str]:
    for day in board.due():
        board.take(day)
    return [f"{each.metric} {each.deployment} {each.task}".strip() for each in board.judge()]


def test_a_severe_change_is_told_once_and_again_never(log: Log) -> None:
    board = log.board()
    assert board.current is None and board.warnings() == []
    first = look(board)
    assert "cost_per_request strong" in first
    assert any("cost per request of strong" in each for each in board.warnings())
    assert look(board) == [] and log.reads[MONDAY + 38] == 1
    log.clock.advance(86_400.0)
    again = look(board)
    assert not set(again) & set(first)  # another day, the same change
    assert log.reads[MONDAY + 39] == 2 and log.reads[MONDAY + 38] == 1  # its ratings have come
    # The next process knows from the log what was told.
    details = told_of(log.database.cursor(), ACT, 0)
    told = [Told(_key(each["key"]), each["since_day"]) for each in details]
    assert len(told) == len(first) + len(again)
    assert look(log.board(told)) == []


def test_another_rating_or_a_new_week_reads_what_it_needs(log: Log) -> None:
    board = log.board()
    look(board)
    reads = sum(log.reads.values())
    log.metric = "grade"
    assert len(board.due()) == len(log.reads) and sum(log.reads.values()) == reads
    look(board)
    log.clock.advance(7 * 86_400.0)
    assert len(board.due()) == 8  # seven new days, and the one whose ratings were to come
    board.take(board.due()[0])
    assert min(board.due()) > MONDAY


def test_what_is_announced(log: Log) -> None:
    board = log.board()
    look(board)
    assert board.current is not None
    worst = board.current.findings[0]
    told = notice(worst)
    assert told.event == ACT and told.text == worst.words and not told.ended
    assert str(worst.since) in told.id


def test_what_could_not_be_kept_is_told_at_the_next_look(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = log.board()
    for day in board.due():
        board.take(day)
    with monkeypatch.context() as patch:
        patch.setattr(log.log, "append_durable", lambda *_: Future())  # no writer comes to it
        patch.setattr("service.monitoring.trends.DURABLE_S", 0.01)
        with pytest.raises(TimeoutError):
            board.judge()
    assert told_of(log.database.cursor(), ACT, 0) == []
    assert board.judge() and told_of(log.database.cursor(), ACT, 0)
