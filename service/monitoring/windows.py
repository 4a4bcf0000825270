"""Minute windows: every call and request is counted in the minute in which it ended."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from service.domain.clock import Clock
from service.domain.minutes import MINUTE_US, Cell, Count, Facts, Minute, Series, quantile
from service.domain.records import Attempt, ErrorKind, Mode, Outcome, Role

SAMPLES = 2_000  # latencies of a minute; of more, a random sample of as many
KEPT = 360  # closed minutes with their cells
SERIES = 3 * 1_440 + 1  # minutes of which the sums are kept
BACK = 3  # a wall clock that is set back by more minutes begins the open minute anew
_CHANCE = random.Random(0)  # which latencies a full sample keeps


class _Samples:
    """At most so many values; of more, each is kept with the same chance (Vitter 1985)."""

    __slots__ = ("seen", "values")

    def __init__(self) -> None:
        self.seen = 0
        self.values: list[float] = []

    def add(self, value: float) -> None:
        self.seen += 1
        if self.seen <= SAMPLES:
            self.values.append(value)
        else:
            at = int(_CHANCE.random() * self.seen)
            if at < SAMPLES:
                self.values[at] = value


class _Counting:
    """A cell of the minute that is open."""

    __slots__ = ("answered", "calls", "cost", "errors", "failed", "fallbacks", "latency", "ttft")

    def __init__(self) -> None:
        self.calls = self.answered = self.failed = self.fallbacks = self.cost = 0
        self.errors: dict[str, int] = {}
        self.latency, self.ttft = _Samples(), _Samples()

    def cell(self) -> Cell:
        times, first = sorted(self.latency.values), sorted(self.ttft.values)
        return Cell(
            self.calls, self.answered, self.failed, dict(self.errors), self.fallbacks, self.cost,
            self.latency.seen, quantile(times, 0.5), quantile(times, 0.95), quantile(times, 0.99),
            self.ttft.seen, quantile(first, 0.5), quantile(first, 0.95),
        )  # fmt: skip


@dataclass(slots=True)
class _Open:
    """The counts of a minute that is not closed yet."""

    start_us: int
    total: _Counting = field(default_factory=_Counting)
    deployments: dict[str, _Counting] = field(default_factory=dict)
    late: int = 0

    def closed(self, facts: Facts | None) -> Minute:
        cells = {name: counting.cell() for name, counting in self.deployments.items()}
        return Minute(self.start_us, self.total.cell(), cells, self.late, facts)


class MinuteWindows:
    """Told of every call and request on the event loop; closed by the wall minute.

    A record belongs to the minute in which it ended. One of a minute that has closed is counted as
    late and nowhere else. Minutes in which nobody ran are missing: a gap is not an empty minute.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open = _Open(self._minute_of(clock.wall_us()))
        self._first_us = self._open.start_us
        self._ended: list[_Open] = []  # over, and not closed yet
        self._closed: deque[Minute] = deque(maxlen=KEPT)
        self._counts: list[Count] = []
        self.rebuilt = False

    @staticmethod
    def _minute_of(at_us: int) -> int:
        return at_us - at_us % MINUTE_US

    # on the path of requests --------------------------------------------------------------------

    def attempt(self, attempt: Attempt) -> None:
        """A call has ended."""
        window = self._window(attempt.at_us)
        if window is not None:
            _count_attempt(window, attempt)

    def outcome(self, outcome: Outcome) -> None:
        """A request has ended."""
        window = self._window(outcome.at_us)
        if window is not None:
            _count_outcome(window, outcome)

    def _window(self, at_us: int) -> _Open | None:
        window = self._open
        since_us = at_us - window.start_us
        if 0 <= since_us < MINUTE_US:
            return window
        if since_us < 0:
            window.late += 1
            return None
        return self._begin(self._minute_of(at_us))

    def _begin(self, start_us: int) -> _Open:
        """Go on to a later minute; those between were quiet, and are minutes all the same."""
        window = self._open
        skipped = (start_us - window.start_us) // MINUTE_US - 1
        if 0 <= skipped <= KEPT:
            self._ended.append(window)
            self._ended += [
                _Open(window.start_us + step * MINUTE_US) for step in range(1, skipped + 1)
            ]
        self._open = _Open(start_us)
        return self._open

    # by the clock -------------------------------------------------------------------------------

    def close(self, facts: Callable[[], Facts] = Facts) -> list[Minute]:
        """The minutes that are over, oldest first; ``facts`` stand at the last one's close. None
        are before ``rebuild`` was told what the log knows.
        """
        now_us = self._minute_of(self._clock.wall_us())
        if now_us > self._open.start_us:
            self._begin(now_us)
        elif self._open.start_us - now_us > BACK * MINUTE_US:
            self._set_back(now_us)
        if not self.rebuilt or not self._ended:
            return []
        last, standing = self._ended[-1], facts()
        found = [each.closed(standing if each is last else None) for each in self._ended]
        self._ended = []
        for minute in found:
            self._keep(minute)
        return found

    def _set_back(self, now_us: int) -> None:
        """The wall clock was set back: what stands in its future is no minute of it."""
        self._ended = [each for each in self._ended if each.start_us < now_us]
        kept = [each for each in self._closed if each.start_us < now_us]
        self._closed = deque(kept, maxlen=KEPT)
        self._counts = [each for each in self._counts if each.end_us <= now_us]
        self._open = _Open(now_us)

    def _keep(self, minute: Minute) -> None:
        before = self._counts[-1] if self._counts else Count(0, 0, 0, 0)
        total = minute.total
        self._closed.append(minute)
        self._counts.append(
            Count(
                minute.end_us,
                before.answered + total.answered,
                before.failed + total.failed,
                before.cost_micro_usd + total.cost_micro_usd,
            )
        )
        if len(self._counts) > 2 * SERIES:
            del self._counts[: len(self._counts) - SERIES]

    def rebuild(
        self,
        minutes: Sequence[Minute],
        counts: Iterable[tuple[int, int, int, int]],
        records: Iterable[Attempt | Outcome],
    ) -> None:
        """Take what the log knows from before the start: closed minutes, the counts of more of
        them (start, answered, failed, cost), and the records of the minute of the start.
        """
        sums = Count(0, 0, 0, 0)
        past = []
        for start_us, answered, failed, cost in counts:
            if start_us < self._first_us:
                sums = Count(
                    start_us + MINUTE_US,
                    sums.answered + answered,
                    sums.failed + failed,
                    sums.cost_micro_usd + cost,
                )
                past.append(sums)
        self._counts = past[-SERIES:]
        self._closed.extend(each for each in minutes if each.start_us < self._first_us)
        first = next((e for e in [*self._ended, self._open] if e.start_us == self._first_us), None)
        for record in records if first is not None else ():
            if first is None or self._minute_of(record.at_us) != first.start_us:
                continue
            if isinstance(record, Attempt):
                _count_attempt(first, record)
            else:
                _count_outcome(first, record)
        self.rebuilt = True

    # for who asks -------------------------------------------------------------------------------

    @property
    def first_us(self) -> int:
        """The minute in which this began to count."""
        return self._first_us

    def minutes(self, last: int = 60) -> tuple[Minute, ...]:
        """The last closed minutes, oldest first; safe from any thread."""
        return tuple(self._closed)[-last:]

    def series(self) -> Series:
        """The sums of the last three days."""
        return Series(tuple(self._counts[-SERIES:]))


def _count_attempt(window: _Open, attempt: Attempt) -> None:
    counting = window.deployments.get(attempt.deployment)
    if counting is None:
        counting = window.deployments[attempt.deployment] = _Counting()
    kind, cost = attempt.error_kind, attempt.usage.cost_micro_usd
    counting.cost += cost
    window.total.cost += cost
    if attempt.role is Role.BATCH:
        return  # nobody waited for it
    counting.calls += 1
    if attempt.role is Role.FALLBACK:
        counting.fallbacks += 1
    if kind is None:
        counting.answered += 1
        counting.latency.add(attempt.latency_s)
    else:
        name = kind.value
        counting.errors[name] = counting.errors.get(name, 0) + 1
        if kind.blames_deployment:
            counting.failed += 1
            if kind is ErrorKind.TIMEOUT:
                counting.latency.add(attempt.latency_s)
    if attempt.ttft_s is not None:
        counting.ttft.add(attempt.ttft_s)


def _count_outcome(window: _Open, outcome: Outcome) -> None:
    total, kind = window.total, outcome.error_kind
    if outcome.mode is Mode.BATCH:
        return
    total.calls += 1
    if outcome.mode is Mode.FALLBACK:
        total.fallbacks += 1
    if outcome.status == 200:
        total.answered += 1
        total.latency.add(outcome.latency_s)
    elif outcome.status >= 500:
        total.failed += 1
        if kind is ErrorKind.TIMEOUT:
            total.latency.add(outcome.latency_s)
    if kind is not None:
        total.errors[kind.value] = total.errors.get(kind.value, 0) + 1
    if outcome.ttft_s is not None:
        total.ttft.add(outcome.ttft_s)
