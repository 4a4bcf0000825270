"""How many requests had a task that was not sure enough, by day: today beside the days before."""

from __future__ import annotations

from collections.abc import Iterable

from service.domain.clock import Clock

DAY_US = 86_400_000_000
DAYS = 7  # before today


class UnsureDays:
    """Told of requests as they come; the first of each session alone, since the others hang on it.
    A day of UTC is the stretch that is judged: with the next one the evidence begins anew.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._today = self._day()
        self._unsure = self._count = 0
        self._before: dict[int, tuple[int, int]] = {}

    def _day(self) -> int:
        return self._clock.wall_us() // DAY_US

    def resume(self, days: Iterable[tuple[int, int, int]]) -> None:
        """What the log knows: days since the epoch, each with its unsure requests and all."""
        for day, unsure, count in days:
            if day == self._today:
                self._unsure, self._count = self._unsure + unsure, self._count + count
            elif day < self._today:
                self._before[day] = (unsure, count)

    def forget(self) -> None:
        """Unsure means something else from now on."""
        self._unsure = self._count = 0
        self._before.clear()

    def saw(self, unsure: bool) -> None:
        """A request; on the path of all of them."""
        self._count += 1
        self._unsure += unsure

    def standing(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of the days before and of today how many were unsure, and how many there were. To be
        called every minute: it also notices that a day is over.
        """
        day = self._day()
        if day > self._today:
            self._before[self._today] = (self._unsure, self._count)
            self._today, self._unsure, self._count = day, 0, 0
        for old in [each for each in self._before if each < day - DAYS]:
            del self._before[old]
        kept = self._before.values()
        return (sum(each[0] for each in kept), sum(each[1] for each in kept)), (
            self._unsure,
            self._count,
        )
