"""How long requests may still wait: the latest start at which every deadline is kept."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Due:
    """A batch: how many of its requests are left, and until when (microseconds)."""

    id: str
    key_id: str
    deadline_us: int
    left: int


@dataclass(frozen=True, slots=True)
class Lanes:
    """How many requests may run at once, in all and of a key; ``each_s``: how long one takes at
    most, as far as it is learned; ``safety``: by how much that is multiplied; ``least_s``: what is
    left for the last ones in any case.
    """

    most: int
    of_key: int
    each_s: float
    safety: float = 1.0
    least_s: float = 0.0


def latest_starts(batches: Iterable[Due], lanes: Lanes) -> dict[str, int]:
    """The latest moment for each batch at which it must be begun.

    By the earliest deadline first: up to a batch's deadline all is to be done that is due until
    then, so that a batch is urgent as soon as one is that comes after it.
    """
    line = sorted(batches, key=lambda each: (each.deadline_us, each.id))
    by_key: dict[str, int] = {}
    starts: list[tuple[str, int]] = []
    total = 0
    for each in line:
        total += each.left
        by_key[each.key_id] = by_key.get(each.key_id, 0) + each.left
        turns = max(
            math.ceil(total / lanes.most),
            math.ceil(by_key[each.key_id] / min(lanes.of_key, lanes.most)),
        )
        needed_s = max(lanes.safety * lanes.each_s * turns, lanes.least_s)
        starts.append((each.id, each.deadline_us - math.ceil(needed_s * 1e6)))
    found: dict[str, int] = {}
    least = None
    for batch_id, start in reversed(starts):
        least = start if least is None else min(least, start)
        found[batch_id] = least
    return found


class Durations:
    """How long a request takes: its mean, and how far from that it is (Jacobson 1988)."""

    GAIN, SPREAD_GAIN, SPREADS = 1 / 8, 1 / 4, 4.0

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._mean_s: float | None = None
        self._spread_s = 0.0

    def took(self, seconds: float) -> None:
        """One more."""
        if self._mean_s is None:
            self._mean_s, self._spread_s = seconds, seconds / 2.0
            return
        off = seconds - self._mean_s
        self._mean_s += self.GAIN * off
        self._spread_s += self.SPREAD_GAIN * (abs(off) - self._spread_s)

    @property
    def most_s(self) -> float:
        """What hardly one takes longer than; a guess until one was seen."""
        if self._mean_s is None:
            return self._first_s
        return self._mean_s + self.SPREADS * self._spread_s
