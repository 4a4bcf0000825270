"""How many tickets may be tried at once: one while the outage lasts, all workers after it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from service.domain.clock import Clock

FIRST_S, MOST_S = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Signals:
    """What the gate looks at.

    ``live``: requests under way; ``answered_s``: when a deployment last answered anybody
    (monotonic); ``cool_down_s``: seconds until any deployment may be tried.
    """

    live: Callable[[], int]
    answered_s: Callable[[], float]
    cool_down_s: Callable[[], float]


class Gate:
    """Shut by a failure for want of any deployment, opened by any answer, ours or a caller's.

    While it is shut one ticket at a time is tried, ever more seldom. While it is open, live
    requests go first: each one under way takes a worker's place, down to one worker.
    """

    def __init__(self, workers: int, signals: Signals, clock: Clock, chance: random.Random) -> None:
        self._workers, self._signals = workers, signals
        self._clock, self._chance = clock, chance
        self._shut_s = self._next_s = clock.monotonic_s()
        self._probes = 0
        self._is_open = False

    @property
    def open(self) -> bool:
        """Whether some deployment answers."""
        if not self._is_open and self._signals.answered_s() > self._shut_s:
            self.answered()
        return self._is_open

    def answered(self) -> None:
        """A deployment has answered."""
        self._is_open, self._probes = True, 0

    def refused(self, retry_after_s: float | None) -> None:
        """No deployment could answer; the next try waits at least as long as was asked for."""
        now_s = self._clock.monotonic_s()
        wait_s = backoff_s(self._probes, FIRST_S, MOST_S, self._chance)
        if self._is_open or self._next_s <= now_s:
            self._probes += 1
        self._is_open, self._shut_s = False, now_s
        self._next_s = max(self._next_s, now_s + max(wait_s, retry_after_s or 0.0))

    def callers_refused(self, retry_after_s: float | None) -> None:
        """No deployment could answer a live request. While the gate is shut this is no news: many
        such requests must not put the next try off for ever.
        """
        if self.open or not self._probes:
            self.refused(retry_after_s)

    def may_start(self, running: int) -> bool:
        """Whether another ticket may be tried now."""
        if self.open:
            return running < max(1, self._workers - self._signals.live())
        return running == 0 and self.wait_s() <= 0.0

    def wait_s(self) -> float:
        """Seconds until the next try."""
        if self.open:
            return 0.0
        left_s = self._next_s - self._clock.monotonic_s()
        return max(left_s, self._signals.cool_down_s(), 0.0)


def backoff_s(turn: int, first_s: float, most_s: float, chance: random.Random) -> float:
    """An exponential wait with jitter: between a half and all of ``first_s`` times two a turn."""
    whole_s = min(first_s * 2.0 ** min(turn, 32), most_s)
    return whole_s * chance.uniform(0.5, 1.0)
