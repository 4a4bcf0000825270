"""One request on its way through its calls: what it stands on, what it has met, what it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest
from service.domain.clock import Clock
from service.domain.records import Attempt, Decision, Mode, Outcome, Role, Usage
from service.providers.base import Answer, Provider
from service.routing.acceptance import Accept, form
from service.routing.budgets import Budgets, Hold
from service.routing.eligibility import ANSWER_RESERVE
from service.routing.exhaustion import Failed
from service.routing.fleet import Fleet
from service.routing.hedging import HedgeRules
from service.routing.ladder import NO_LADDERS, Ladders
from service.routing.purse import Purse
from service.routing.windows import Sent

# How an answer of a way of several calls came to be served, by the call that it came from.
OF_SEVERAL = {
    Role.ESCALATION: Mode.ESCALATION, Role.ENSEMBLE: Mode.ENSEMBLE, Role.FUSION: Mode.ENSEMBLE,
}  # fmt: skip


class Records(Protocol):
    """Where attempts and outcomes go."""

    def attempt(self, attempt: Attempt) -> None:
        """One call has ended."""

    def outcome(self, outcome: Outcome) -> None:
        """The request has ended."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Time limits, in seconds: each attempt's in turn (where no tier says otherwise), between
    chunks, for the whole up to the first content, and for a whole stream; and the least score
    with which an answer is taken.
    """

    attempts_s: tuple[float, ...]
    stream_idle_s: float
    deadline_s: float
    ladders: Ladders = NO_LADDERS
    stream_s: float = 900.0
    least_score: float = 0.5
    hedging: HedgeRules = field(default_factory=HedgeRules)


@dataclass(frozen=True, slots=True)
class Means:
    """What a dispatcher stands on."""

    catalog: Sequence[Deployment]
    providers: Mapping[str, Provider]  # by dialect
    alternatives: Callable[[Decision], list[Deployment]]
    fleet: Fleet
    records: Records
    clock: Clock
    bounds: Bounds
    accept: Accept = form
    allowed: Callable[[Decision, str], bool] = lambda decision, deployment: True
    traceparent: Callable[[str, int], str] = lambda decision_id, number: ""
    budgets: Budgets | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """What the caller is told of how it was served. ``tier``: 1 for the primary; ``cache``: hit,
    semantic, miss, or bypass where none was asked.
    """

    deployment: Deployment
    mode: Mode
    attempts: int
    usage: Usage
    overhead_s: float
    fallback_from: str
    tier: int = 1
    cache: str = "bypass"


@dataclass(frozen=True, slots=True)
class Call:
    """One call under way: to which endpoint of which deployment, and what was counted for it."""

    number: int
    started_s: float
    deployment: Deployment
    endpoint: Deployment
    timeout_s: float
    role: Role
    probe: bool
    stream: bool
    sent: Sent | None
    counted_tokens: int
    hold: Hold | None = None


@dataclass(frozen=True, slots=True)
class Poor:
    """An answer that came but was not good enough; served when nothing better comes."""

    score: float
    call: Call
    answer: Answer


@dataclass(slots=True)
class Run:
    """A request and its calls so far."""

    decision: Decision
    request: ChatRequest
    started_s: float
    deadline_s: float
    target: Deployment
    most: int
    attempts: int = 0
    upstream_s: float = 0.0
    cost: list[Usage] = field(default_factory=list)
    failures: list[Failed] = field(default_factory=list)
    others: list[Deployment] | None = None
    poor: Poor | None = None
    closed: bool = False
    purse: Purse | None = None
    first: Role = Role.FIRST  # of its first call
    several: Mode | None = None  # how it is served where it is a way of several calls

    def put_by(self) -> None:
        """Nothing stays reserved for calls that were never made."""
        if self.purse is not None:
            self.purse.close()

    def mode(self, served_by: Call | None) -> Mode:
        """How it was served: the decision's mode where the drawn deployment answered its first
        call, or where nobody answered one that no other was asked for.
        """
        if served_by is None and self.several is not None:
            return self.several
        if served_by is None:
            return Mode.FALLBACK if self.attempts > 1 else self.decision.mode
        if served_by.role in OF_SEVERAL:
            return OF_SEVERAL[served_by.role]
        drawn = served_by.deployment.name == self.decision.deployment
        return self.decision.mode if drawn and served_by.role is self.first else Mode.FALLBACK

    @property
    def tokens(self) -> int:
        """What a call is counted with towards limits, until its usage is known."""
        return self.decision.tokens_in + (self.decision.tokens_out_limit or ANSWER_RESERVE)

    @property
    def total(self) -> Usage:
        """What all calls took together."""
        return Usage(
            sum(u.tokens_in for u in self.cost),
            sum(u.tokens_out for u in self.cost),
            sum(u.cached_tokens for u in self.cost),
            sum(u.cost_micro_usd for u in self.cost),
            any(u.estimated for u in self.cost),
        )
