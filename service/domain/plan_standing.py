"""Which plan is in force, and the last one that was refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.domain.acting import Person


@dataclass(frozen=True, slots=True)
class PlanRefusal:
    """A plan that was not taken, and every reason."""

    at_us: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlanStanding:
    """The plan in force. ``digest``: the start of the SHA-256 of its file, empty when the plan
    came from no file. ``refused``: the last reload, when that one failed.
    """

    digest: str
    loaded_us: int
    reloads: int = 0
    refused: PlanRefusal | None = None


Reload = Callable[[str, str, Person | None], Awaitable[PlanStanding]]  # by whom, and from where
