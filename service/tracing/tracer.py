"""Takes ended requests from the loop and gives them to a collector from a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.domain.catalog import Deployment
from service.domain.records import Attempt, Decision, Outcome
from service.tracing.context import Place, own, read, span_id, written

log = logging.getLogger("headgate.traces")

MOST_WAITING = 4_096  # requests
MOST_OPEN = 10_000  # callers' places of requests in work
BATCH = 128  # requests
TURN_S = 0.5
RETRY_S = 5.0
STOP_S = 3.0


@dataclass(frozen=True, slots=True)
class Traced:
    """A request that has ended, with its calls, and its place in a trace."""

    decision: Decision
    attempts: tuple[Attempt, ...]
    outcome: Outcome
    place: Place

    @property
    def spans(self) -> int:
        """How many spans it makes: its own, and one a call."""
        return 1 + len(self.attempts)


@dataclass(frozen=True, slots=True)
class TraceRules:
    """The collector's address and its headers, the share of requests that is recorded, and
    whether calls tell their provider of it.
    """

    endpoint: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    sample: float = 1.0
    to_providers: bool = False


class Collector(Protocol):
    """Where spans go."""

    def know(self, catalog: Iterable[Deployment]) -> None:
        """The deployments that are called from now on."""

    def take(self, batch: Sequence[Traced]) -> bool:
        """Send them, blocking for a bounded time; whether they were taken."""

    def close(self) -> None:
        """Let the connection go, and whatever waits in ``take``."""


class Tracer:
    """What the loop asks costs an entry of a list. While the collector takes nothing, what comes
    beyond the bound is let go and counted; that is told once, and once when it takes again.
    """

    def __init__(self, rules: TraceRules, collector: Collector) -> None:
        self.rules, self.collector = rules, collector
        self._open: OrderedDict[str, Place] = OrderedDict()
        self._waiting: deque[Traced] = deque()
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headgate-traces", daemon=True)
        self.exported = 0
        self.dropped = 0
        self.failing = False

    # on the loop ------------------------------------------------------------------------------

    def begin(self, decision_id: str, traceparent: str) -> None:
        """A request came with a caller's place in a trace, or without."""
        place = read(traceparent) if traceparent else None
        if place is not None:
            self._open[decision_id] = place
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)

    def traceparent(self, decision_id: str, number: int) -> str:
        """What a call tells its provider; empty where the plan does not want that."""
        if not self.rules.to_providers:
            return ""
        place = self._open.get(decision_id) or own(decision_id, self.rules.sample)
        return written(place, span_id(decision_id, number))

    def ended(self, decision: Decision, attempts: Sequence[Attempt], outcome: Outcome) -> None:
        """A request has ended; a caller's word on whether it is recorded comes before the share."""
        place = self._open.pop(decision.id, None) or own(decision.id, self.rules.sample)
        if not place.sampled:
            return
        traced = Traced(decision, tuple(attempts), outcome, place)
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += traced.spans
        else:
            self._waiting.append(traced)

    # the thread -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to send."""
        if self._thread.ident is None:
            self._thread.start()

    def end(self) -> None:
        """Send what waits, if the collector takes it at once, and end; waits for nothing."""
        self._halt.set()

    def stop(self) -> None:
        """The same, waiting for it a few seconds at most."""
        self.end()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
            if self._thread.is_alive():
                self.collector.close()
                self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._halt.wait(RETRY_S if self.failing else TURN_S):
            self._turn()
        self._turn()
        self.dropped += sum(each.spans for each in self._waiting)
        self._waiting.clear()
        self.collector.close()

    def _turn(self) -> None:
        """Batch after batch, until none waits or one is not taken."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            spans = sum(each.spans for each in batch)
            try:
                taken = self.collector.take(batch)
            except Exception:  # whatever the library stumbles over, the thread goes on
                log.exception("spans could not be sent")
                taken = False
            if not taken:
                self.dropped += spans
                if not self.failing:
                    log.warning("the collector of traces takes nothing; spans are let go")
                self.failing = True
                return
            self.exported += spans
            if self.failing:
                log.warning("the collector of traces takes spans again")
            self.failing = False
