"""Who came to the console, who left it and who was refused, as acts of the audit."""

from __future__ import annotations

from collections import OrderedDict

from service.domain.acting import Person, Told, act_of
from service.domain.clock import Clock
from service.domain.records import Key
from service.storage.event_log import EventLog

REFUSED_S = 60.0  # of an address, one refusal is told in so long
MOST_TOLD = 30  # refusals, of all addresses, in the same time
UNKNOWN = "unknown"  # the actor of a refusal where the key is none of ours


def caller(key: Key | None, address: str, request_id: str) -> Person:
    """Who stands at the door; nothing of what they gave as a key."""
    if key is None:
        return Person(UNKNOWN, "", "", address, request_id)
    return Person(key.name or key.id, key.id, key.role, address, request_id)


class Door:
    """Queues its acts and waits for no disk: a log-in must be possible while the log is not."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log, self._clock = log, clock
        self._told_s: OrderedDict[str, float] = OrderedDict()  # by address, the last one last
        self._untold = 0

    def entered(self, who: Person) -> None:
        """Somebody has logged in."""
        self._tell(who, Told("console.entered", "console"))

    def left(self, who: Person) -> None:
        """Somebody has logged out."""
        self._tell(who, Told("console.left", "console"))

    def refused(self, who: Person, why: str) -> None:
        """Somebody was not let in. The first of an address in a minute is told, and how many were
        not told since the one before, so that nobody can fill the log.
        """
        now_s = self._clock.monotonic_s()
        while self._told_s and now_s - next(iter(self._told_s.values())) >= REFUSED_S:
            self._told_s.popitem(last=False)
        if who.ip in self._told_s or len(self._told_s) >= MOST_TOLD:
            self._untold += 1
            return
        self._told_s[who.ip] = now_s
        untold, self._untold = self._untold, 0
        self._tell(who, Told("console.refused", "console", why, detail={"untold": untold}))

    def _tell(self, who: Person, told: Told) -> None:
        self._log.append(act_of(who, self._clock.wall_us(), told))
