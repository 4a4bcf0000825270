"""Is there an outage: do requests fail for want of any deployment, and for how long now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.domain.clock import Clock

CALM_S = 5.0  # nobody was answered for so long: the first failure is news
IN_A_ROW = 3  # else so many failures without an answer between them
STEADY_S = 30.0  # an outage ends when requests have been answered for so long
STRAY = 20  # answers for which one failure is forgiven in that time


@dataclass(frozen=True, slots=True)
class Outage:
    """An outage that began, or (``lasted_s`` given) that has ended."""

    began_us: int
    failed: int
    reason: str
    code: str
    lasted_s: float | None = None


class OutageWatch:
    """Told of every answer and of every request that no deployment could serve.

    It speaks once when an outage begins and once when it has ended, however many requests fail:
    between the two it needs half a minute of answers, so one that flaps is one outage.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.tell: Callable[[Outage], None] = lambda outage: None
        self.answered_s = float("-inf")
        self._row = 0
        self._began_s: float | None = None
        self._began_us = 0
        self._failed = 0
        self._cause = ("", "")
        self._mending_s: float | None = None
        self._window = [0, 0]  # answers and failures since it began to mend

    @property
    def current(self) -> Outage | None:
        """The outage that lasts now."""
        if self._began_s is None:
            return None
        return Outage(self._began_us, self._failed, *self._cause)

    def answered(self) -> None:
        """A deployment has answered a request."""
        now_s = self._clock.monotonic_s()
        self.answered_s = now_s
        self._row = 0
        if self._began_s is not None:
            if self._mending_s is None:
                self._mending_s, self._window = now_s, [0, 0]
            self._window[0] += 1
            self.look()

    def failed(self, code: str, reason: str) -> None:
        """A request that any deployment might have served was served by none."""
        now_s = self._clock.monotonic_s()
        self._row += 1
        if self._began_s is not None:
            self._failed += 1
            self._window[1] += 1
            return
        if self._row < IN_A_ROW and now_s - self.answered_s < CALM_S:
            return
        self._began_s, self._began_us = now_s, self._clock.wall_us()
        self._failed, self._cause, self._mending_s = self._row, (reason, code), None
        self.tell(Outage(self._began_us, self._failed, reason, code))

    def look(self) -> None:
        """Has it ended? Asked at each answer and once a second."""
        if self._began_s is None or self._mending_s is None:
            return
        now_s = self._clock.monotonic_s()
        if now_s - self._mending_s < STEADY_S:
            return
        answers, failures = self._window
        if failures * STRAY > answers:
            self._mending_s = None  # from the next answer on, another half minute
            return
        ended = Outage(self._began_us, self._failed, *self._cause, now_s - self._began_s)
        self._began_s = self._mending_s = None
        self._row = 0
        self.tell(ended)

    def warnings(self) -> list[str]:
        """An outage in words, for the status."""
        outage = self.current
        if outage is None:
            return []
        mending = "; some requests are answered again" if self._mending_s is not None else ""
        return [
            f"no deployment could serve {outage.failed} requests since the outage began: "
            f"{outage.reason}{mending}"
        ]
