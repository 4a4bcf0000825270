"""Which deployment a conversation stays with."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from service.domain.experiments import Assigned

BOUND = 100_000


@dataclass(frozen=True, slots=True)
class Held:
    """The deployment that a session's draw gave, that decision, and its variants; of a draw by a
    pinned version the override, with which it ends.
    """

    deployment: str
    decision_id: str
    seen_s: float
    assigned: tuple[Assigned, ...] = ()
    override_id: str | None = None


class Sessions:
    """Sessions by their keyed hash; bounded, forgotten when idle."""

    def __init__(self, idle_s: float, bound: int = BOUND) -> None:
        self.idle_s = idle_s
        self._bound = bound
        self._held: OrderedDict[str, Held] = OrderedDict()

    def held(self, session: str, now_s: float) -> Held | None:
        """What a session is held to, if it is still remembered."""
        held = self._held.get(session)
        if held is None:
            return None
        if now_s - held.seen_s > self.idle_s:
            del self._held[session]
            return None
        self._held[session] = Held(
            held.deployment, held.decision_id, now_s, held.assigned, held.override_id
        )
        self._held.move_to_end(session)
        return held

    def hold(self, session: str, held: Held) -> None:
        """Remember a session's draw."""
        self._held[session] = held
        self._held.move_to_end(session)
        if len(self._held) > self._bound:
            self._held.popitem(last=False)
