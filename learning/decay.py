"""Sums that forget by time: exponential weights on a moving reference, so that sums add."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

MAX_EXPONENT = 40.0
PER_HALF_LIFE = 1.0 / math.log(2.0)


@dataclass(slots=True)
class DecayClock:
    """Weights ``exp((t - reference) / tau)`` for sums that are read as of some later time.

    A contribution is added once with its weight and never touched again, so the order of
    contributions does not matter, two sums with one reference add, and a contribution is taken
    back by subtracting what was added. The reference moves (and the owner rescales its sums)
    before weights overflow.
    """

    half_life_s: float
    reference_s: float = 0.0
    latest_s: float = 0.0
    started: bool = False
    _tau: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._tau = self.half_life_s * PER_HALF_LIFE

    def weight(self, at_s: float) -> float:
        """The weight of something that happened at ``at_s``."""
        return math.exp((at_s - self.reference_s) / self._tau)

    def discount(self, at_s: float) -> float:
        """What the sums are multiplied with to be read as of ``at_s``.

        A clock that was set back makes nothing younger: no time before the latest is read at.
        """
        return math.exp((self.reference_s - max(at_s, self.latest_s)) / self._tau)

    def rescale(self, at_s: float) -> float:
        """The factor to multiply the sums with now; 1 while the reference may stay."""
        if not self.started:
            self.reference_s = self.latest_s = at_s
            self.started = True
            return 1.0
        self.latest_s = max(self.latest_s, at_s)
        if (at_s - self.reference_s) / self._tau <= MAX_EXPONENT:
            return 1.0
        factor = self.discount(at_s)
        self.reference_s = at_s
        return factor
