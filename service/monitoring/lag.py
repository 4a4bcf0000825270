"""How late the event loop is: a timer that measures its own lateness."""

from __future__ import annotations

import asyncio
import math
import time

EVERY_S = 0.1
SPAN_S = 1.0


class LoopLag:
    """Lateness in seconds: the last, the greatest, and an average that forgets in a second."""

    def __init__(self) -> None:
        self.last_s = 0.0
        self.greatest_s = 0.0
        self.average_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0

    def start(self) -> None:
        """Watch the running loop."""
        self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def saw(self, late_s: float) -> None:
        """The timer fired so late. A long stall weighs by its length, not as one look of many."""
        self.last_s = late_s
        self.greatest_s = max(self.greatest_s, late_s)
        weight = -math.expm1(-(EVERY_S + late_s) / SPAN_S)
        self.average_s += weight * (late_s - self.average_s)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due_s = time.perf_counter() + EVERY_S
        self._timer = loop.call_later(EVERY_S, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.saw(max(time.perf_counter() - self._due_s, 0.0))
        self._arm(loop)
