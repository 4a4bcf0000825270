"""How fast the queue is worked off, measured, and so when a ticket may expect its answer."""

from __future__ import annotations

from service.domain.clock import Clock

NEWS = 0.2  # weight of the latest completion
FIRST_S = 2.0  # seconds a ticket before anything was measured, for one worker


class Pace:
    """The moving average of the seconds from one completion to the next while there is work."""

    def __init__(self, clock: Clock, workers: int) -> None:
        self._clock = clock
        self.each_s = FIRST_S / workers
        self._since_s: float | None = None

    def working(self) -> None:
        """Work is under way: from here on time counts, unless it already does."""
        if self._since_s is None:
            self._since_s = self._clock.monotonic_s()

    def idle(self) -> None:
        """Nothing is being worked on: the time until the next work is nobody's."""
        self._since_s = None

    def completed(self) -> None:
        """A ticket was answered."""
        now_s = self._clock.monotonic_s()
        if self._since_s is not None:
            self.each_s += NEWS * (now_s - self._since_s - self.each_s)
        self._since_s = now_s

    def eta_s(self, ahead: int, not_before_s: float) -> float:
        """Seconds until a ticket with so many ahead of it is answered, if the next try is.

        ``not_before_s``: seconds until any deployment may be tried at all.
        """
        return max(not_before_s, 0.0) + (ahead + 1) * self.each_s
