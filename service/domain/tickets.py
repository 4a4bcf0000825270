"""The queue's records: what a ticket is, what a worker holds of it, how many there are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a ticket is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class NewTicket:
    """What is put into the queue. ``lasts_s``: seconds from now until it is too late."""

    id: str
    key_id: str
    tenant: str
    body: bytes
    session: str
    webhook: str
    idempotency: str  # keyed hash of the caller's Idempotency-Key; empty: none
    digest: str  # keyed hash of the body
    lasts_s: float


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as it stands, without the prompt. ``deadline_s`` is of the monotonic clock."""

    id: str
    key_id: str
    tenant: str
    state: State
    created_us: int
    ended_us: int | None
    deadline_s: float
    tries: int
    decision_id: str
    reason: str
    code: str
    answer: bytes | None
    detail: str  # JSON: how it was served
    digest: str
    webhook: str
    webhook_tries: int
    webhook_due: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """A ticket that a worker holds: only with ``token`` may it be ended."""

    id: str
    token: str
    key_id: str
    body: bytes
    session: str
    tries: int  # this one included


@dataclass(frozen=True, slots=True)
class Ended:
    """A ticket that came to nothing, to be told to the operators."""

    id: str
    state: State
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tickets stand where, and for how long the oldest unanswered one has waited."""

    waiting: int = 0
    running: int = 0
    done: int = 0
    dead: int = 0
    expired: int = 0
    oldest_s: float = 0.0

    @property
    def unanswered(self) -> int:
        """What the bound counts."""
        return self.waiting + self.running
