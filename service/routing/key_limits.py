"""What each key has asked in the last minute, and whether it may ask more."""

from __future__ import annotations

from dataclasses import dataclass

WINDOW_S = 60
_SLOTS = WINDOW_S + 1  # whole seconds: any sixty seconds lie within so many of them


class SlidingWindow:
    """Amounts by second. The sum over any sixty seconds never passes the limit by admission.

    ``now_s`` is seconds of a monotonic clock.
    """

    __slots__ = ("_slots", "limit", "second", "total")

    def __init__(self, limit: int, now_s: float) -> None:
        self.limit = limit
        self.total = 0
        self.second = int(now_s)
        self._slots = [0] * _SLOTS

    def room(self, now_s: float) -> int:
        """How much may be added now; negative when more was used than was foreseen."""
        self._turn(now_s)
        return self.limit - self.total

    def add(self, amount: int, now_s: float) -> int:
        """Add what there is room for, or what was used beyond; the second that it is booked in."""
        self._turn(now_s)
        self._slots[self.second % _SLOTS] += amount
        self.total += amount
        return self.second

    def correct(self, second: int, amount: int, now_s: float) -> None:
        """Change what was booked in a second that has not passed out of the window."""
        self._turn(now_s)
        if self.second - second < _SLOTS:
            self._slots[second % _SLOTS] += amount
            self.total += amount

    def free_in_s(self, amount: int, now_s: float) -> float:
        """Seconds until there is room for ``amount``."""
        wanted = amount - self.room(now_s)
        if wanted <= 0:
            return 0.0
        for second in range(self.second - WINDOW_S, self.second + 1):
            wanted -= self._slots[second % _SLOTS]
            if wanted <= 0:
                return second + _SLOTS - now_s
        return float(_SLOTS)

    def reset_in_s(self, now_s: float) -> float:
        """Seconds until nothing is booked any more."""
        self._turn(now_s)
        for second in range(self.second, self.second - _SLOTS, -1):
            if self._slots[second % _SLOTS]:
                return second + _SLOTS - now_s
        return 0.0

    def _turn(self, now_s: float) -> None:
        """Let go of the seconds that have passed out."""
        second = int(now_s)
        passed = second - self.second
        if passed <= 0:
            return
        slots = self._slots
        for each in range(self.second + 1, self.second + 1 + min(passed, _SLOTS)):
            self.total -= slots[each % _SLOTS]
            slots[each % _SLOTS] = 0
        self.second = second


@dataclass(frozen=True, slots=True)
class Usage:
    """The windows of one key; None where there is no limit."""

    requests: SlidingWindow | None
    tokens: SlidingWindow | None


class KeyLimits:
    """The windows by key id. A key that has asked nothing for a minute takes no room."""

    def __init__(self) -> None:
        self._by_key: dict[str, Usage] = {}
        self._swept_s = 0.0

    def __len__(self) -> int:
        return len(self._by_key)

    def of(self, key_id: str, limits: tuple[int, int], now_s: float) -> Usage:
        """The windows of a key under the limits of requests and of tokens a minute (0: none)."""
        if now_s - self._swept_s > WINDOW_S:
            self._sweep(now_s)
        usage = self._by_key.get(key_id)
        if usage is None or not _as_wanted(usage, limits):
            known = usage or Usage(None, None)
            usage = Usage(
                _wanted(known.requests, limits[0], now_s),
                _wanted(known.tokens, limits[1], now_s),
            )
            self._by_key[key_id] = usage
        return usage

    def _sweep(self, now_s: float) -> None:
        self._swept_s = now_s
        self._by_key = {
            key_id: usage
            for key_id, usage in self._by_key.items()
            if any(
                w is not None and now_s - w.second < _SLOTS for w in (usage.requests, usage.tokens)
            )
        }


def _as_wanted(usage: Usage, limits: tuple[int, int]) -> bool:
    requests, tokens = usage.requests, usage.tokens
    return (requests.limit if requests else 0, tokens.limit if tokens else 0) == limits


def _wanted(window: SlidingWindow | None, limit: int, now_s: float) -> SlidingWindow | None:
    """The window under a limit that may have changed; what was used stays booked."""
    if not limit:
        return None
    if window is None:
        return SlidingWindow(limit, now_s)
    window.limit = limit
    return window
