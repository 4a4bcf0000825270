"""The live board counts the last minutes and forgets the rest."""

from __future__ import annotations

from dataclasses import replace

from service.domain.records import ErrorKind, Usage
from service.monitoring.live import BOUND, LiveBoard, quantile
from tests.conftest import HandClock
from tests.service.storage.test_tables import attempt, decision, outcome


def test_standings_over_the_window() -> None:
    clock, made = HandClock(), decision()
    board = LiveBoard(("x", "y"), clock)
    for index in range(20):
        good = attempt(made, deployment="x", error_kind=None, latency_s=float(index + 1))
        board.attempt(replace(good, usage=Usage(1, 1, 0, 5)))
    board.attempt(attempt(made, deployment="y"))
    board.outcome(outcome(made))
    x, y = board.standings()
    assert (x.calls, x.errors, x.p50_s, x.p95_s, x.cost_micro_usd) == (20, 0, 10.0, 19.0, 100)
    assert (y.calls, y.errors, y.p50_s, y.last_error) == (1, 1, None, "server")
    assert board.latency() == (1.5, 1.5) and board.requests == 1
    clock.advance(301)
    assert [s.calls for s in board.standings()] == [0, 0] and board.latency() == (None, None)


def test_memory_is_bounded() -> None:
    board, made = LiveBoard(("y",), HandClock()), decision()
    for _ in range(BOUND + 50):
        board.attempt(attempt(made))
    assert board.standings()[0].calls == BOUND


def test_quantile() -> None:
    assert quantile([], 0.5) is None and quantile([1.0], 0.99) == 1.0


def test_a_refusal_is_neither_an_error_nor_an_answer() -> None:
    board, made = LiveBoard(("y",), HandClock()), decision()
    board.attempt(attempt(made, error_kind=ErrorKind.POLICY))
    (y,) = board.standings()
    assert (y.calls, y.errors, y.p50_s, y.last_error) == (1, 0, None, "")
