"""Learning held back by operators: it stays in the log, and is learned later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.domain.records import Decision, Feedback, Override
from service.domain.will import frozen, frozen_whole
from service.storage.cases import Case


def _none() -> Sequence[Override]:
    return ()


@dataclass(slots=True)
class Freeze:
    """``holding``: the overrides that hold learning back, among others: those in force, and freezes
    that have ended and whose time is not made up for yet. ``held_back`` counts what was.

    While somebody makes up for it, ``late`` takes what comes in beside; None else.
    """

    holding: Callable[[], Sequence[Override]] = _none
    held_back: int = 0
    late: list[tuple[Case, Feedback | None]] | None = field(default=None)

    def takes(self, case: Case, feedback: Feedback | None = None) -> bool:
        """Whether this is held back now: an outcome, or a rating."""
        holding = self.holding()
        if not holding or not frozen(case.decision, holding, case.answered_by):
            return False
        self.held_back += 1
        if self.late is not None:
            self.late.append((case, feedback))
        return True

    def of(self, decision: Decision) -> bool:
        """Whether nothing is learned of a decision now."""
        return frozen(decision, self.holding())

    @property
    def whole(self) -> bool:
        """Whether nothing at all is learned now."""
        return frozen_whole(self.holding())
