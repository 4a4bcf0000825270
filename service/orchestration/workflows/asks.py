"""What the engine asks of its surroundings: calls made, results kept, progress told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.domain.errors import HeadgateError
from service.domain.records import Usage
from service.orchestration.workflows.forms import CallForm

NOTHING = Usage(0, 0, 0, 0)


class StepFailed(Exception):
    """A step did not come to its result; a fallback may still."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class LimitReached(Exception):
    """A limit of the run leaves no room; nothing falls back from it."""

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = limit, message


@dataclass(frozen=True, slots=True)
class Ask:
    """One call that a step wants. ``body``: as of a request of its kind, without a model;
    ``most_micro_usd``: what it may cost, all tries of routing together; ``exclude``: deployments
    that may not answer beside those of the form.
    """

    kind: str  # chat, image, speech, embed
    path: str
    form: CallForm
    body: Mapping[str, Any]
    timeout_s: float
    most_micro_usd: int = 0
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """What came of a call. ``fields``: text and finish of a chat; image; audio; vectors."""

    fields: Mapping[str, Any]
    deployment: str
    decision_id: str
    usage: Usage
    latency_s: float = 0.0
    cached: bool = False


class Calls(Protocol):
    """Who makes the calls of a run, under its caller's key."""

    def worst_micro_usd(self, ask: Ask) -> tuple[int, int]:
        """What one try of a call may cost, at the cheapest and at the dearest who may answer."""

    async def make(self, ask: Ask, bill: list[Usage]) -> Said:
        """The call; raises HeadgateError. What it took is put on the bill, also where it failed or
        was called off.
        """

    def kin(self, names: Sequence[str]) -> tuple[str, ...]:
        """These deployments and all of their families."""


@dataclass(frozen=True, slots=True)
class Entry:
    """How one execution of a step ended: ``done``, ``failed`` or ``skipped``."""

    path: str
    step: str
    kind: str
    status: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    message: str = ""
    usage: Usage = NOTHING
    decisions: tuple[str, ...] = ()
    deployment: str = ""
    calls: int = 0
    began_s: float = 0.0  # since the run's start
    latency_s: float = 0.0


class Journal(Protocol):
    """Where the results of a run go, and where those of an earlier try lie."""

    def kept(self, path: str) -> Entry | None:
        """The result that this execution had before."""

    async def keep(self, entry: Entry) -> None:
        """A result; what must be durable is so when this returns."""

    def tell(self, event: str, path: str, more: Mapping[str, Any]) -> None:
        """Progress."""


class Memory:
    """A journal that lasts as long as its run."""

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self._before = {each.path: each for each in entries}
        self.entries: list[Entry] = []
        self.events: list[tuple[str, str, Mapping[str, Any]]] = []

    def kept(self, path: str) -> Entry | None:
        return self._before.get(path)

    async def keep(self, entry: Entry) -> None:
        self.entries.append(entry)

    def tell(self, event: str, path: str, more: Mapping[str, Any]) -> None:
        self.events.append((event, path, more))


def told(error: HeadgateError) -> StepFailed:
    """A refused or failed call as a step's failure."""
    return StepFailed(error.code, error.message)


def summed(usages: Sequence[Usage]) -> Usage:
    """What several calls took together."""
    return Usage(
        sum(u.tokens_in for u in usages), sum(u.tokens_out for u in usages),
        sum(u.cached_tokens for u in usages), sum(u.cost_micro_usd for u in usages),
        any(u.estimated for u in usages),
    )  # fmt: skip
