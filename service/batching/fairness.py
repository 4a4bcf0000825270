"""Whose turn it is: deficit round robin, after Shreedhar and Varghese (1996)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

QUANTUM = 2_000.0  # tokens that a turn brings


class Rounds:
    """Gives each name in line the same share of what is served, whatever its requests cost.

    While two names are in line all the time, what they were served never differs by more than
    two quanta and one request.
    """

    def __init__(self, quantum: float = QUANTUM) -> None:
        self._quantum = quantum
        self._line: deque[str] = deque()
        self._left: dict[str, float] = {}
        self._fresh = True  # the first in line has not had this turn's quantum yet

    def next(self, costs: Mapping[str, float]) -> str | None:
        """Who is served now. ``costs``: of the next request of each who is in line; who is not has
        no claim to what it did not use.
        """
        if not costs:
            return None
        first = self._line[0] if self._line else None
        self._line = deque(name for name in self._line if name in costs)
        self._left = {name: self._left[name] for name in self._line}
        if first not in costs:
            self._fresh = True
        for name in costs:
            if name not in self._left:
                self._left[name] = 0.0
                self._line.append(name)
        self._skip(costs)
        while True:
            name = self._line[0]
            if self._fresh:
                self._left[name] += self._quantum
                self._fresh = False
            if self._left[name] >= costs[name]:
                self._left[name] -= costs[name]
                return name
            self._line.rotate(-1)
            self._fresh = True

    def _skip(self, costs: Mapping[str, float]) -> None:
        """The rounds in which nobody could be served, all at once."""
        rounds = min((costs[n] - self._left[n]) / self._quantum for n in costs) - 1.0
        if rounds > 1.0:
            for name in self._left:
                self._left[name] += int(rounds) * self._quantum
