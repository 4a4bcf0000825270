"""What a caller saw of one request of the day."""

from __future__ import annotations

from dataclasses import dataclass

from service.rehearsal.traffic import Wish


@dataclass(slots=True)
class Seen:
    """What a caller saw of one request. ``took_s`` and ``first_s``: to the whole answer, and to its
    first part; ``waited_s`` of a ticket: until its answer was ready; ``batch``: its id, where it
    went into one.
    """

    wish: Wish
    status: int = 0
    code: str = ""
    decision_id: str = ""
    deployment: str = ""
    tier: int = 0
    cache: str = ""
    took_s: float = 0.0
    first_s: float = 0.0
    ticket: str = ""
    ended: str = ""
    waited_s: float = 0.0
    batch: str = ""
