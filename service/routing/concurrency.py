"""How many calls a deployment may have in work: a limit that follows how fast it answers."""

from __future__ import annotations

import math
from collections import deque

LEAST = 3
MOST = 1_000
START = 20
TIGHT_S = 60.0
TOLERANCE = 1.5
SAMPLES, WINDOW_S = 20, 0.2
SLOW = 0.01  # the part that one window moves the long-run latency
KEPT = 200
CALM = 8


class Latencies:
    """The latencies of one kind of answer: the last ones, their long-run level, their p95."""

    def __init__(self) -> None:
        self._long_s: float | None = None
        self._window: list[float] = []
        self._began_s = 0.0
        self._kept: deque[float] = deque(maxlen=KEPT)
        self._p95 = (-1e9, 0.0)  # when it was reckoned, and what it was

    def p95(self, now_s: float) -> float | None:
        """The 95th percentile of the last answers, seconds; None below twenty of them."""
        if len(self._kept) < SAMPLES:
            return None
        if now_s - self._p95[0] >= 1.0:
            ordered = sorted(self._kept)
            self._p95 = (now_s, ordered[math.ceil(0.95 * len(ordered)) - 1])
        return self._p95[1]

    def kept(self, latency_s: float) -> None:
        """One more, for the percentile alone."""
        self._kept.append(latency_s)

    def took(self, latency_s: float, now_s: float) -> float | None:
        """An answer took so long; the gradient in (0, 1] when that closes a window."""
        self._kept.append(latency_s)
        self._window.append(latency_s)
        if len(self._window) < SAMPLES or now_s - self._began_s < WINDOW_S:
            return None
        median_s = sorted(self._window)[len(self._window) // 2]
        self._window.clear()
        self._began_s = now_s
        long_s = median_s if self._long_s is None else self._long_s
        self._long_s = long_s + SLOW * (median_s - long_s)
        return min(max(TOLERANCE * long_s / max(median_s, 1e-9), 0.5), 1.0)


class AdaptiveLimit:
    """Limit' = gradient x limit + sqrt(limit), gradient = long-run over recent latency.

    As Envoy's and Netflix's gradient controllers, with two differences that language models ask
    for: latency varies tenfold with the length of the answer, so a window's *median* is compared
    with its own long-run level (with a tolerance of half) instead of with the fastest answer ever;
    and no traffic is held back to measure. Whole answers and first tokens are told apart. A
    refusal for load or a timeout takes a tenth off. It begins low and each answer adds one while it
    is in use (TCP's slow start), so that a deployment that never answers holds few calls; until
    something has lowered it, such a limit steers and need not refuse (``tight``).
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = max(most, LEAST)
        self.limit = float(min(START, self._most))
        self.calm = CALM  # below so many calls in work nothing can stand against one more
        self.in_flight = 0
        self._peak = 0
        self._cut_s = -1e9
        self._lowered_s = -1e9
        self._starting = True
        self._heard_s = 0.0
        self._whole, self._first = Latencies(), Latencies()

    def follow(self, most: int) -> None:
        """Go on with another greatest limit."""
        self._most = max(most, LEAST)
        self._set(self.limit)

    def waited(self, waited_s: float, now_s: float) -> None:
        """A call was given up after so long: an answer would have taken no less. Shorter waits
        than most answers take say nothing.
        """
        slow_s = self._whole.p95(now_s)
        if slow_s is not None and waited_s >= slow_s:
            self._whole.kept(waited_s)

    @property
    def full(self) -> bool:
        """Whether one more call would pass the limit."""
        return self.in_flight + 1 > self.limit

    def tight(self, now_s: float) -> bool:
        """Whether something has lowered the limit of late."""
        return now_s - self._lowered_s < TIGHT_S

    def p95(self, now_s: float) -> float | None:
        """The 95th percentile of whole answers, seconds; None while too few are known."""
        return self._whole.p95(now_s)

    def silent(self, now_s: float, least_waiting: int, least_s: float) -> bool:
        """Whether many wait and nothing has been heard for longer than answers ever take.

        Twice the 95th percentile: then most of what waits will not be answered, and what is sent
        now would wait behind it. Any sign of life ends it.
        """
        if self.in_flight < least_waiting or now_s - self._heard_s <= least_s:
            return False
        slowest_s = max(self._whole.p95(now_s) or 0.0, self._first.p95(now_s) or 0.0)
        return now_s - self._heard_s > 2.0 * slowest_s

    def began(self, now_s: float) -> None:
        """A call begins."""
        if self.in_flight == 0:
            self._heard_s = now_s
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)

    def heard(self, now_s: float, first_s: float | None = None) -> None:
        """A sign of life; ``first_s``: how long the first token of a stream took."""
        self._heard_s = now_s
        if first_s is not None:
            self._answered(self._first.took(first_s, now_s), now_s)

    def ended(self, now_s: float, whole_s: float | None = None, overloaded: bool = False) -> None:
        """A call has ended; how long it took where it was a whole answer."""
        self.in_flight = max(self.in_flight - 1, 0)
        if overloaded:
            self._cut(now_s)
        if whole_s is not None:
            self._answered(self._whole.took(whole_s, now_s), now_s)

    def _cut(self, now_s: float) -> None:
        if now_s - self._cut_s >= WINDOW_S:
            self._cut_s = now_s
            self._lower(self.limit * 0.9, now_s)

    def _answered(self, gradient: float | None, now_s: float) -> None:
        self._heard_s = now_s
        used = self._peak * 2 >= self.limit
        if self._starting and used:
            self._set(self.limit + 1.0)
        if gradient is None:
            return
        # Room is only added where it was used: an idle limit would grow without meaning.
        if gradient < 1.0:
            self._lower(gradient * self.limit + math.sqrt(self.limit), now_s)
        elif used:
            self._set(self.limit + math.sqrt(self.limit))
        self._peak = self.in_flight

    def _lower(self, limit: float, now_s: float) -> None:
        self._starting = False
        if limit < self.limit:
            self._lowered_s = now_s
        self._set(limit)

    def _set(self, limit: float) -> None:
        self.limit = float(min(max(limit, LEAST), self._most))
        self.calm = min(CALM, int(self.limit))
