"""Users whose requests were refused too often within the hour."""

from __future__ import annotations

from collections import OrderedDict, deque

HOUR_S = 3_600.0
MOST_UNITS = 10_000


class Offenders:
    """Refusals by unit; more than ``most`` within an hour is too often. 0: never."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._by_unit: OrderedDict[str, deque[float]] = OrderedDict()

    def add(self, unit: str, at_s: float) -> bool:
        """One more refusal; whether it is the one that is too many."""
        if not self.most or not unit:
            return False
        times = self._by_unit.setdefault(unit, deque(maxlen=self.most + 1))
        while times and times[0] <= at_s - HOUR_S:
            times.popleft()
        crosses = len(times) == self.most
        times.append(at_s)
        self._by_unit.move_to_end(unit)
        if len(self._by_unit) > MOST_UNITS:
            self._by_unit.popitem(last=False)
        return crosses

    def wait_s(self, unit: str, now_s: float) -> float:
        """Seconds until the unit may ask again; 0 where it may now."""
        times = self._by_unit.get(unit)
        if times is None or len(times) <= self.most:
            return 0.0
        return max(times[0] + HOUR_S - now_s, 0.0)
