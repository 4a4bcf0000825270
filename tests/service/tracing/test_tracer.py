"""What the loop hands over is bounded, sent from a thread, counted, and sent at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from service.domain.catalog import Deployment
from service.domain.clock import new_id
from service.domain.records import (
    Attempt,
    Caller,
    Candidates,
    Decision,
    Mode,
    Outcome,
    PolicyMark,
    Role,
    Usage,
)
from service.tracing import tracer as module
from service.tracing.tracer import Traced, Tracer, TraceRules

USED = Usage(10, 20, 0, 30)
RULES = TraceRules("http://127.0.0.1:1/v1/traces")


def request(identity: str | None = None) -> tuple[Decision, list[Attempt], Outcome]:
    """One that was answered at its first call."""
    found = identity or new_id()
    decision = Decision(
        found, 1_000_000, Caller("k"), "other", 1.0, "rule", "", np.zeros(1, np.float32), 10, 0,
        0.5, False, Candidates(("a",), (1.0,)), (), 0.5, "a", 1.0, Mode.RANDOMISED, "drawn",
        PolicyMark("default", "v", "c", 1),
    )  # fmt: skip
    attempt = Attempt(found, 1, 2_000_000, "a", "p", Role.FIRST, 200, None, None, 0.5, USED)
    outcome = Outcome(found, 2_000_000, "a", Mode.RANDOMISED, 200, None, 1.0, None, 0.0, 1, USED)
    return decision, [attempt], outcome


class Kept:
    """A collector in memory, which may be shut."""

    def __init__(self) -> None:
        self.taken: list[Traced] = []
        self.open, self.closed = threading.Event(), threading.Event()
        self.open.set()
        self.answer: Callable[[], bool] = lambda: True

    def know(self, catalog: Iterable[Deployment]) -> None:
        """It knows enough."""

    def take(self, batch: Sequence[Traced]) -> bool:
        self.open.wait(20)
        if taken := self.answer():
            self.taken += batch
        return taken

    def close(self) -> None:
        self.closed.set()
        self.open.set()


def settled(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20.0
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN_S", 0.01)
    monkeypatch.setattr(module, "RETRY_S", 0.01)


def test_all_is_sent_in_its_order() -> None:
    kept = Kept()
    tracer = Tracer(RULES, kept)
    sent = [request() for _ in range(3 * module.BATCH + 1)]
    tracer.start()
    tracer.start()  # once is enough
    for each in sent:
        tracer.ended(*each)
    settled(lambda: tracer.exported == 2 * len(sent))
    assert [traced.decision for traced in kept.taken] == [decision for decision, _, _ in sent]
    tracer.stop()
    assert kept.closed.is_set() and tracer.dropped == 0


def test_what_waits_is_sent_at_the_end() -> None:
    kept = Kept()
    tracer = Tracer(RULES, kept)
    tracer.start()
    tracer.ended(*request())
    tracer.stop()
    assert len(kept.taken) == 1


def test_a_collector_that_hangs_bounds_memory_and_the_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 10)
    monkeypatch.setattr(module, "STOP_S", 0.05)
    kept = Kept()
    kept.open.clear()
    tracer = Tracer(RULES, kept)
    tracer.start()
    for _ in range(200):
        tracer.ended(*request())
    assert tracer.dropped >= 2 * (200 - 10 - module.BATCH) > 0
    tracer.stop()
    settled(lambda: tracer.exported + tracer.dropped == 400)


def test_a_collector_that_stumbles_costs_a_batch() -> None:
    kept = Kept()
    told = iter([ValueError("odd"), False])

    def answer() -> bool:
        said = next(told, True)
        if isinstance(said, Exception):
            raise said
        return bool(said)

    kept.answer = answer
    tracer = Tracer(RULES, kept)
    tracer.start()
    for number in (1, 2):
        tracer.ended(*request())
        settled(lambda n=number: tracer.dropped == 2 * n)
    assert tracer.failing
    tracer.ended(*request())
    settled(lambda: tracer.exported == 2 and not tracer.failing)
    tracer.stop()


def test_places_of_requests_that_never_end_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OPEN", 3)
    tracer = Tracer(TraceRules(RULES.endpoint, to_providers=True), Kept())
    caller = f"00-{'ab' * 16}-{'cd' * 8}-01"
    ids = [new_id() for _ in range(5)]
    for each in ids:
        tracer.begin(each, caller)
    followed = [tracer.traceparent(each, 1).split("-")[1] == "ab" * 16 for each in ids]
    assert followed == [False, False, True, True, True]


def test_a_share_is_recorded_unless_the_caller_says() -> None:
    kept = Kept()
    tracer = Tracer(TraceRules(RULES.endpoint, sample=0.0), kept)
    told, silent = request(), request()
    tracer.begin(told[0].id, f"00-{'ab' * 16}-{'cd' * 8}-01")
    tracer.begin(silent[0].id, "nonsense")
    for each in (told, silent):
        tracer.ended(*each)
    assert tracer.traceparent(told[0].id, 1) == ""  # the plan does not want it
    tracer.start()
    tracer.stop()
    assert [traced.decision.id for traced in kept.taken] == [told[0].id]
