"""How far an author is believed: by how often it agrees with those who are, on the same answers."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

CHANCE, EXPECTED = 0.5, 0.75  # agreement that is worth nothing, and that of whom nothing is held
AGREED, SEEN = 4.0, 5.0  # what is believed before anything was seen
MOST = 200.0  # so much is remembered: who betters itself is believed again


@dataclass(frozen=True, slots=True)
class Standing:
    """What was seen of an author: the sum of agreements, and of what each counts."""

    agreed: float = 0.0
    seen: float = 0.0

    @property
    def mean(self) -> float:
        """The posterior mean of its agreement under a Beta prior."""
        return (AGREED + self.agreed) / (SEEN + self.seen)

    def after(self, agreement: float, weight: float) -> Standing:
        """With one more, in [0, 1]."""
        agreed, seen = self.agreed + weight * agreement, self.seen + weight
        kept = min(1.0, MOST / seen) if seen > 0.0 else 1.0
        return Standing(agreed * kept, seen * kept)


class Believed:
    """The trust in every author: in [``least``, 1], 1 for whom nobody has seen beside another.

    Agreement between chance and what is usual among people is mapped to the span between. A fold
    over what was observed, in its order.
    """

    def __init__(self, least: float) -> None:
        if not 0.0 < least <= 1.0:
            raise ValueError(f"least lies in (0, 1], not {least!r}")
        self.least = least
        self._known: dict[Hashable, Standing] = {}

    def observe(self, who: Hashable, agreement: float, weight: float) -> None:
        """An author was seen beside another on one answer."""
        self._known[who] = self.standing(who).after(agreement, weight)

    def standing(self, who: Hashable) -> Standing:
        """What was seen of it."""
        return self._known.get(who, Standing())

    def trust(self, who: Hashable) -> float:
        """How far it is believed."""
        found = self._known.get(who)
        if found is None:
            return 1.0
        return min(1.0, max(self.least, (found.mean - CHANCE) / (EXPECTED - CHANCE)))
