"""How often an answer that was given for a like question was wrong, and what is off for it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from experiments.statistics.held_rate import HeldRate, held_rate

MOST_EVENTS = 5_000  # then the count begins anew
ALPHA = 0.05


@dataclass(slots=True)
class FalseHits:
    """A task's: of answers given for like questions that were regenerated in the shadow, which were
    wrong, in their order. ``off``: why nothing is given any more; empty: it is. ``by_hand``:
    somebody put it off.
    """

    events: list[int] = field(default_factory=list)
    rate: HeldRate | None = None
    off: str = ""
    by_hand: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    _judged: int = 0

    def saw(self, wrong: bool) -> None:
        """One was regenerated."""
        if len(self.events) >= MOST_EVENTS:
            self.events, self._judged = [], 0
        self.events.append(int(wrong))

    def judge(self, most_false: float) -> str:
        """Look at what came since; why it goes off now, if it does. The bound holds at any look: a
        task whose answers are right as often as allowed is put off with probability ``ALPHA`` at
        most by the one test, and once in a thousand answers by that for a sudden rise.
        """
        if self.off or len(self.events) == self._judged:
            return ""
        self._judged = len(self.events)
        self.rate = found = held_rate(self.events, most_false, ALPHA)
        if found.interval.low > most_false:
            self.off = (
                f"at least {found.interval.low:.3f} of the answers given for like questions are "
                f"wrong, more than {most_false:g}"
            )
        elif found.rose:
            self.off = found.broken
        return self.off

    def put_off(self, why: str, by_hand: bool) -> None:
        """Off from now on."""
        self.off, self.by_hand = why, by_hand

    def again(self) -> None:
        """Begin anew."""
        self.events, self.rate, self.off, self._judged = [], None, "", 0
        self.by_hand = False
