"""The matrix from the log: each row once, whatever the pieces; what teaches it, what does not."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from learning.capability import DAY_S, Rules
from service.domain.capability import BenchmarkCell
from service.domain.records import ErrorKind, Mode, Role, Update, Usage
from service.monitoring.capabilities import BoardParts, CapabilityBoard, Matter
from service.storage.benchmark_cells import benchmark_cells
from service.storage.capabilities import shown_between
from service.storage.cases import rows_of
from service.storage.database import FILE, Database
from service.storage.event_log import EventLog
from tests.conftest import ROOT, HandClock
from tests.service.storage.test_tables import attempt, decision

NAMES, TASKS = ("x", "y"), ("code", "other")
MATTER = Matter({name: frozenset() for name in NAMES}, TASKS)


class Log:
    """A log that a board reads, and what was put into it."""

    def __init__(self, state: Path) -> None:
        self.database = Database(state / FILE)
        self.log = EventLog(self.database)
        self.log.start()
        self.clock = HandClock()
        self.seq = 0

    def board(self, matter: Matter = MATTER) -> CapabilityBoard:
        cursor = self.database.cursor
        parts = BoardParts(
            lambda: self.log.last_seq,
            lambda after, through, weighing: shown_between(cursor(), after, through, weighing),
            lambda through: benchmark_cells(cursor(), through), self.clock,
        )  # fmt: skip
        return CapabilityBoard(matter, parts)

    def answer(
        self, arm: str, quality: float | None, task: str = "code", mode: Mode = Mode.RANDOMISED
    ) -> str:
        """An answered request, learned as the learner does: what its mode does not let be rated
        has no rating here.
        """
        made = decision(task=task, deployment=arm, mode=mode, at_us=self.clock.wall)
        call = attempt(made, deployment=arm, status=200, error_kind=None,
                       usage=Usage(10, 20, 0, 400))  # fmt: skip
        self.log.append(made)
        self.log.append(call)
        self.tell(made.id, arm, "outcome", None, latency_s=0.5, failed=False)
        if quality is not None:
            self.tell(made.id, arm, "rating", quality)
        return made.id

    def tell(self, of: str, arm: str, kind: str, quality: float | None, **more: object) -> None:
        self.seq += 1
        fields: dict[str, object] = {
            "seq": self.seq, "at_us": self.clock.wall, "decision_id": of,
            "decided_us": self.clock.wall, "arm": arm, "kind": kind, "quality": quality,
            "revises_quality": None, "cost_usd": None, "latency_s": None, "tokens_out": None,
            "failed": None, "feedback_id": None, "version_id": "v",
        }  # fmt: skip
        self.log.append(Update(**(fields | more)))  # type: ignore[arg-type]

    def durable(self) -> None:
        self.log.flush().result(10)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    found = Log(tmp_path)
    yield found
    found.log.stop()
    found.database.close()


def benchmark(at_us: int, **more: object) -> BenchmarkCell:
    made = BenchmarkCell("r1", at_us, "x", "code", 100, 0.9, 0.04, 2.0, 0.25, 800.0, 900.0, 0.0,
                         "1")  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def test_in_pieces_and_in_one_the_cells_are_the_same_and_each_row_counts_once(log: Log) -> None:
    chance, growing = random.Random(5), log.board()
    for turn in range(60):
        log.answer(chance.choice(NAMES), chance.random(), chance.choice(TASKS))
        log.clock.advance(0.4 * DAY_S)
        if turn % 7 == 0:
            log.durable()
            growing.evaluate()
            growing.evaluate()  # nothing is new: nothing is counted
    log.durable()
    growing.evaluate()
    anew = log.board()  # as after a restart
    anew.evaluate()
    assert growing.through_seq == anew.through_seq == log.log.last_seq
    one, two = growing.report(), anew.report()
    for mine, other in zip(one.cells, two.cells, strict=True):
        a, b = mine.cell, other.cell
        pairs = [(a.quality, b.quality), (a.latency_s, b.latency_s), (a.error_rate, b.error_rate)]
        for x, y in [*pairs, (a.cost_micro_usd, b.cost_micro_usd)]:
            assert (x.n, x.mean) == pytest.approx((y.n, y.mean), rel=1e-9)
        assert mine.last_us == other.last_us
    whole = sum(each.cell.error_rate.n for each in one.cells)
    assert whole == pytest.approx(
        sum(0.5 ** ((60 - turn) * 0.4 / 14.0) for turn in range(60)), rel=1e-6
    )


def test_what_teaches_the_matrix_and_what_does_not(log: Log) -> None:
    log.answer("x", 0.8)
    log.answer("x", None, mode=Mode.PINNED)  # measured, not rated
    of = log.answer("x", 0.2)
    log.tell(of, "x", "revision", 0.6, revises_quality=0.2)
    log.tell("", "", "tick", None)
    log.tell(of, "x", "outcome", None, latency_s=30.0, failed=True)
    shadow, judge = (decision(task="code", deployment="x", at_us=log.clock.wall) for _ in range(2))
    for made, role in ((shadow, Role.SHADOW), (judge, Role.JUDGE)):
        log.log.append(made)
        log.log.append(attempt(made, deployment="y", role=role, status=200, error_kind=None,
                               usage=Usage(10, 1, 0, 77)))  # fmt: skip
    log.log.append(attempt(judge, deployment="y", error_kind=ErrorKind.SERVER))  # costs nothing
    log.tell(shadow.id, "y", "outcome", None, latency_s=0.5, failed=False)
    log.tell(judge.id, "y", "judge", None, failed=True)
    log.durable()
    board = log.board()
    board.evaluate()
    cells = {(each.cell.deployment, each.cell.task): each for each in board.report().cells}
    x, y = cells["x", "code"].cell, cells["y", "code"].cell
    assert (x.quality.n, x.quality.mean) == (pytest.approx(2.0), pytest.approx(0.7))
    assert (x.error_rate.n, x.error_rate.mean) == (pytest.approx(4.0), pytest.approx(0.25))
    assert x.latency_s.mean == pytest.approx((3 * 0.5 + 30.0) / 4)
    assert x.cost_micro_usd.mean == pytest.approx(400.0)
    assert not y.quality.known and y.error_rate.n == pytest.approx(1.0)
    assert y.error_rate.mean == 0.0 and y.cost_micro_usd.mean == pytest.approx(77.0)
    empty = cells["y", "other"]
    assert empty.source == "" and empty.cell.quality.mean is None and empty.quality.rank is None
    assert not empty.stale and empty.last_us is None
    days = {row["deployment"]: row for row in rows_of(log.database.cursor(), view_sql())}
    assert (days["x"]["rated"], days["x"]["quality"]) == (2, pytest.approx(0.7))
    assert (days["x"]["calls"], days["x"]["failed"]) == (4, 1)
    assert (days["y"]["rated"], days["y"]["quality"], days["y"]["paid"]) == (0, None, 1)
    assert days["x"]["cost_micro_usd"] == pytest.approx(400.0)


def test_a_rating_counts_in_it_what_it_counts_for_the_policy(log: Log) -> None:
    for quality, weight in ((1.0, 1.0), (0.0, 0.25), (0.0, 0.25)):
        log.tell(log.answer("x", None), "x", "rating", quality, weight=weight)
    revised = log.answer("x", None)
    log.tell(revised, "x", "rating", 1.0, weight=0.5)
    log.tell(revised, "x", "revision", 0.5, revises_quality=1.0, weight=1.0, revises_weight=0.5)
    log.durable()
    board = log.board()
    board.evaluate()
    quality = next(each.cell.quality for each in board.report().cells if each.cell.quality.n)
    assert quality.n == pytest.approx(2.5)
    assert quality.mean == pytest.approx((1.0 + 0.5) / 2.5)
    (day,) = rows_of(log.database.cursor(), view_sql())
    assert (day["rated"], day["quality_weight"]) == (4, pytest.approx(2.5))
    assert day["quality"] == pytest.approx(quality.mean)


def view_sql() -> str:
    """The view over what is published, on the live file's own tables."""
    return (ROOT / "service/storage/views/capability_days.sql").read_text("utf-8")


def test_sources_are_pooled_by_their_evidence_and_told(log: Log) -> None:
    matter = replace(MATTER, declared={("x", "code"): 0.5, ("y", ""): 0.6}, latency_s={"y": 3.0})
    for _ in range(10):
        log.answer("x", 0.2)
    log.log.append(benchmark(log.clock.wall))
    log.log.append(benchmark(log.clock.wall, n=50, quality_mean=0.8))  # the run went on: replaced
    log.log.append(benchmark(log.clock.wall, run_id="r2", deployment="gone"))
    log.durable()
    board = log.board(matter)
    board.evaluate()
    cells = {(each.cell.deployment, each.cell.task): each for each in board.report().cells}
    x, y = cells["x", "code"], cells["y", "other"]
    assert dict(x.sources) == pytest.approx({"live": 10.0, "benchmark": 50.0, "declared": 2.0})
    assert x.source == "benchmark"
    assert x.cell.quality.mean == pytest.approx((10 * 0.2 + 50 * 0.8 + 2 * 0.5) / 62.0)
    assert y.source == "declared" and y.cell.quality.n == 2.0 and y.cell.latency_s.mean == 3.0
    assert y.cell.quality.low is not None and y.cell.quality.low < 0.1  # a word proves nothing
    assert board.report().names_winner("code") is None


def test_a_benchmark_names_a_winner_until_it_has_faded(log: Log) -> None:
    log.log.append(benchmark(log.clock.wall, n=400))
    log.log.append(benchmark(log.clock.wall, n=400, deployment="y", quality_mean=0.5))
    log.durable()
    board = log.board()
    board.evaluate()
    fresh = board.report()
    assert fresh.names_winner("code") == "x" and fresh.uses["x"].best_quality == ("code",)
    log.clock.advance(13.0 * DAY_S)
    assert not board.report().cells[0].stale
    log.clock.advance(167.0 * DAY_S)  # 180 days: six half-lives
    old = board.report()
    first, was = old.cells[0], fresh.cells[0]
    assert first.stale and first.cell.quality.n == pytest.approx(400 / 64)
    assert first.cell.quality.mean == was.cell.quality.mean
    assert _width(first.cell.quality) > 3 * _width(was.cell.quality)
    assert old.names_winner("code") is None and first.quality.tied == ("y",)


def _width(estimate: object) -> float:
    return estimate.high - estimate.low  # type: ignore[attr-defined, no-any-return]


def test_priors_are_of_the_cold_and_of_what_is_known_beforehand(log: Log) -> None:
    log.log.append(benchmark(log.clock.wall))
    log.log.append(benchmark(log.clock.wall, deployment="y", task="other", quality_mean=None))
    for _ in range(23):
        log.answer("x", 0.1)
    log.durable()
    matter = replace(MATTER, declared={("y", ""): 0.9})
    board = log.board(matter)
    board.evaluate()
    found = board.priors({"x": 0.7, "y": 0.9})
    assert set(found.arms) == {"x"} and found.arms["x"].said == 0.7
    assert found.arms["x"].tested["code"].mean == pytest.approx(0.9)  # not what live answers said
    assert found.apart > 0.1  # but that these contradict it counts
    board.matter = replace(MATTER, declared={("y", "code"): 0.8})
    found = board.priors({"x": 0.7, "y": 0.7})
    assert set(found.arms) == {"x", "y"} and found.arms["y"].strengths == {"code": 0.8}
    log.answer("x", 0.1)
    log.answer("x", 0.1)
    log.durable()
    board.evaluate()
    assert set(board.priors({"x": 0.7, "y": 0.7}).arms) == {"y"}  # its own answers say it better


def test_a_task_that_a_deployment_does_not_serve_is_no_cell(log: Log) -> None:
    board = log.board(Matter({"x": frozenset({"code"}), "y": frozenset()}, TASKS))
    board.evaluate()
    keys = {(each.cell.deployment, each.cell.task) for each in board.report().cells}
    assert keys == {("x", "code"), ("y", "code"), ("y", "other")}


def test_rows_that_the_file_lost_are_not_kept(log: Log) -> None:
    log.answer("x", 0.5)
    log.durable()
    board = log.board()
    board.evaluate()
    board._through = 10**9  # as if it had folded rows that are no longer there
    board.evaluate()
    cell = board.report().cells[0].cell
    assert board.through_seq == log.log.last_seq and cell.quality.n == pytest.approx(1.0)
    assert math.isclose(Rules().live_half_life_s, 14 * DAY_S)
