"""What one scope has spent in a period, and what calls under way have reserved of it."""

from __future__ import annotations

import math
from zoneinfo import ZoneInfo

from service.domain.budgets import Forecast, Scope
from service.domain.periods import Period, bounds_us

Name = tuple[Scope, Period, str]  # the value of which scope in which period
LEAST_CALLS, LEAST_SHARE = 20, 0.1  # below: no forecast
Z95 = 1.959963984540054


class Counter:
    """Micro-dollars of one value of a scope. Nothing is ever taken back: a clock that is set back
    to the period before finds what was spent there, and what was spent since added to it.
    """

    __slots__ = (
        "_before", "_zone", "calls", "ends_us", "name", "period", "reserved", "spent", "squares",
        "starts_us",
    )  # fmt: skip

    def __init__(self, name: Name, zone: ZoneInfo, now_us: int) -> None:
        self.name, self.period, self.reserved = name, name[1], 0
        self.anew(zone, now_us)

    def anew(self, zone: ZoneInfo, now_us: int) -> None:
        """Nothing is known to be spent; what is reserved stays so."""
        self._zone = zone
        self._before: tuple[int, int, int, float] | None = None
        self.spent = self.calls = 0
        self.squares = 0.0
        self.starts_us, self.ends_us = bounds_us(self.period, now_us, zone)

    def turn(self, now_us: int) -> None:
        """Come to the period of now. What is reserved stays so: it will be spent in this one."""
        if self.starts_us <= now_us < self.ends_us:
            return
        begins, ends = bounds_us(self.period, now_us, self._zone)
        if now_us >= self.ends_us:
            self._before = (self.starts_us, self.spent, self.calls, self.squares)
            self.spent, self.calls, self.squares = 0, 0, 0.0
        elif self._before is not None:
            starts_us, spent, calls, squares = self._before
            if starts_us == begins:
                self.spent += spent
                self.calls += calls
                self.squares += squares
            self._before = None
        self.starts_us, self.ends_us = begins, ends

    def add(self, micro_usd: int, calls: int = 1, squares: float | None = None) -> None:
        """So much was spent, by so many calls; ``squares``: the sum of the squares of each."""
        self.spent += micro_usd
        self.calls += calls
        self.squares += float(micro_usd) * micro_usd if squares is None else squares

    def forecast(self, now_us: int) -> Forecast | None:
        """Spend at the period's end, if calls go on to come as they came in it, one independent of
        another (a compound Poisson process). The interval holds the chance of what is to come and
        the error of the rate; it does not know of working days and nights.
        """
        passed, left = now_us - self.starts_us, self.ends_us - now_us
        if self.calls < LEAST_CALLS or passed < LEAST_SHARE * (passed + left):
            return None
        ratio = left / passed
        expected = self.spent * (1.0 + ratio)
        spread = Z95 * math.sqrt(self.squares * (ratio + ratio * ratio))
        return Forecast(expected, max(expected - spread, float(self.spent)), expected + spread)

    def ahead(self, limit_micro_usd: int, now_us: int) -> float:
        """How far spend is ahead of an even pace towards the limit: 1 on it, below behind it."""
        if limit_micro_usd <= 0:
            return math.inf
        share = max((now_us - self.starts_us) / (self.ends_us - self.starts_us), 0.02)
        return self.spent / limit_micro_usd / share
