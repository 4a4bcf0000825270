"""What calls beside the answer may cost in a day: reserved before each call, settled after it."""

from __future__ import annotations

from service.domain.clock import Clock

DAY_US = 86_400_000_000


def day_of(at_us: int) -> int:
    """When the day (UTC) of a time began, microseconds since the epoch."""
    return at_us - at_us % DAY_US


class DaySpend:
    """One cap, micro-dollars a day (UTC). Not more than one call at a time: what a call costs is
    known when it has ended, so the cap is overshot by at most what one call took more than was
    reserved for it. A clock that is set back begins no day anew.
    """

    def __init__(self, cap_micro_usd: int, clock: Clock, spent_micro_usd: int = 0) -> None:
        self.cap_micro_usd = cap_micro_usd
        self._clock = clock
        self._day_us = day_of(clock.wall_us())
        self._spent = spent_micro_usd
        self._reserved: int | None = None

    @property
    def spent_micro_usd(self) -> int:
        """Today's."""
        self._turn()
        return self._spent

    def affords(self, micro_usd: int) -> bool:
        """Whether so much may still be spent today."""
        return self.spent_micro_usd + (self._reserved or 0) + micro_usd <= self.cap_micro_usd

    def reserve(self, micro_usd: int) -> bool:
        """Keep room for one call; False where there is none, or one is under way."""
        if self._reserved is not None or not self.affords(micro_usd):
            return False
        self._reserved = micro_usd
        return True

    def settle(self, micro_usd: int) -> None:
        """The call has ended, and cost so much; counted on the day on which it ended."""
        self._turn()
        self._reserved = None
        self._spent += micro_usd

    def _turn(self) -> None:
        today_us = day_of(self._clock.wall_us())
        if today_us > self._day_us:
            self._day_us, self._spent = today_us, 0


class SharedSpend:
    """One cap, micro-dollars a day (UTC), for several calls at a time: each reserves before it is
    made and settles after it. The cap is overshot by at most what the calls under way took more
    than was reserved for them. A clock that is set back begins no day anew.
    """

    def __init__(self, cap_micro_usd: int, clock: Clock, spent_micro_usd: int = 0) -> None:
        self.cap_micro_usd = cap_micro_usd
        self._clock = clock
        self._day_us = day_of(clock.wall_us())
        self._spent = spent_micro_usd
        self._reserved = 0

    @property
    def spent_micro_usd(self) -> int:
        """Today's."""
        self._turn()
        return self._spent

    def affords(self, micro_usd: int) -> bool:
        """Whether so much may still be spent today, beside what is reserved."""
        return self.spent_micro_usd + self._reserved + micro_usd <= self.cap_micro_usd

    def reserve(self, micro_usd: int) -> bool:
        """Keep room; False where there is none."""
        if not self.affords(micro_usd):
            return False
        self._reserved += micro_usd
        return True

    def settle(self, reserved: int, micro_usd: int) -> None:
        """What was reserved is free again, and so much was spent, on the day on which it ended."""
        self._turn()
        self._reserved -= reserved
        self._spent += micro_usd

    def _turn(self) -> None:
        today_us = day_of(self._clock.wall_us())
        if today_us > self._day_us:
            self._day_us, self._spent = today_us, 0
