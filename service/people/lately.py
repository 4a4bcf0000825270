"""How often something happened within a day, by kind; in hours, so that it stays small."""

from __future__ import annotations

from collections import Counter

from service.domain.clock import Clock

HOUR_S, HOURS = 3_600.0, 24


class Lately:
    """Counts of the running hour and the 24 before it, on the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._hours: dict[int, Counter[str]] = {}

    def add(self, kind: str) -> None:
        """It happened."""
        hour = int(self._clock.monotonic_s() // HOUR_S)
        if hour not in self._hours:
            self._hours = {h: n for h, n in self._hours.items() if h >= hour - HOURS}
            self._hours[hour] = Counter()
        self._hours[hour][kind] += 1

    def counts(self) -> Counter[str]:
        """How often of late."""
        since = int(self._clock.monotonic_s() // HOUR_S) - HOURS
        return sum((n for hour, n in self._hours.items() if hour >= since), Counter())
