"""The records: what a decision, an attempt, an outcome, a feedback and an override are.

Times are microseconds since the epoch (UTC), durations seconds of a monotonic clock, money
integer micro-dollars. A record is written once; a correction is a new record.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from service.domain.escalation import ClimbStart
from service.domain.experiments import Assigned
from service.domain.guesses import Guess
from service.domain.prediction import Predicted
from service.domain.staying import Stay


class Mode(StrEnum):
    """How a decision was made; and, for the last ones, how its answer came to be served."""

    RANDOMISED = "randomised"
    PINNED = "pinned"
    OVERRIDE = "override"
    STICKY = "sticky"
    CACHE = "cache"
    FALLBACK = "fallback"
    ESCALATION = "escalation"
    ENSEMBLE = "ensemble"
    BATCH = "batch"


class Role(StrEnum):
    """Why a call was made."""

    FIRST = "first"
    FALLBACK = "fallback"
    HEDGE = "hedge"
    ESCALATION = "escalation"
    SHADOW = "shadow"
    JUDGE = "judge"
    STEP = "step"
    CLASSIFY = "classify"
    SUMMARY = "summary"
    ENSEMBLE = "ensemble"  # one of several outputs for the same answer
    FUSION = "fusion"  # the one answer made of them
    BATCH = "batch"  # in a batch of the provider's: nobody waited for it

    @property
    def beside(self) -> bool:
        """Whether the call was not for the answer itself, so that no caller paid for it."""
        return self in (Role.SHADOW, Role.JUDGE, Role.CLASSIFY, Role.SUMMARY)

    @property
    def races(self) -> bool:
        """Whether such a call is cancelled for a hedge's sake, where it is cancelled."""
        return not self.beside and self not in (Role.ENSEMBLE, Role.FUSION)


class ErrorKind(StrEnum):
    """What went wrong with a call, in our words."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    SERVER = "server"
    MALFORMED = "malformed"
    CUT = "cut"
    STALLED = "stalled"
    AUTH = "auth"
    INVALID = "invalid"
    DIALECT = "dialect"  # the deployment's dialect has no words for what is asked
    CONTEXT_LENGTH = "context_length"
    POLICY = "policy"
    QUALITY = "quality"
    CANCELLED = "cancelled"

    @property
    def blames_deployment(self) -> bool:
        """Whether the failure says something of the deployment rather than of the request."""
        return self not in (
            ErrorKind.INVALID, ErrorKind.DIALECT, ErrorKind.CONTEXT_LENGTH, ErrorKind.POLICY,
            ErrorKind.CANCELLED,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Disqualified:
    """A deployment that left before the draw, and what for."""

    deployment: str
    reason: str


@dataclass(frozen=True, slots=True)
class Candidates:
    """Who was eligible, each with its exact probability and what was thought of it.

    Every tuple is parallel to ``names``. The scores are empty where no policy was asked (a pin,
    a force, a held session).
    """

    names: tuple[str, ...]
    propensities: tuple[float, ...]
    quality: tuple[float, ...] = ()
    cost_usd: tuple[float, ...] = ()
    latency_s: tuple[float, ...] = ()
    error_rate: tuple[float, ...] = ()
    utility: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the key, and the labels that the request carries."""

    key_id: str
    tenant: str = ""
    tier: str = ""
    feature: str = ""
    tags: tuple[str, ...] = ()
    unit: str = ""  # keyed hash of the session, user or request
    session: str = ""  # keyed hash; empty: none


@dataclass(frozen=True, slots=True)
class PolicyMark:
    """Which learned state answered: its version, the last checkpoint, the last update in it."""

    name: str
    version_id: str
    checkpoint_id: str
    update_seq: int


@dataclass(frozen=True, slots=True)
class Decision:
    """One a request that is routed; queued for the log before the call."""

    id: str
    at_us: int
    caller: Caller
    task: str
    task_confidence: float
    task_source: str
    prompt_hash: str
    features: NDArray[np.float32]
    tokens_in: int
    tokens_out_limit: int
    cost_dial: float
    stream: bool
    candidates: Candidates
    disqualified: tuple[Disqualified, ...]
    draw: float
    deployment: str
    propensity: float
    mode: Mode
    reason: str
    policy: PolicyMark
    override_id: str | None = None
    session_decision_id: str | None = None
    assigned: tuple[Assigned, ...] = ()  # at most one a layer; empty: in no experiment
    guess: Guess | None = None  # the classifier's; in memory alone
    predicted: Predicted | None = None  # logged by itself
    climb: ClimbStart | None = None  # of one that may climb; logged by itself
    stay: Stay | None = None  # whether its session should leave; logged by itself


@dataclass(frozen=True, slots=True)
class Extras:
    """What a call was billed for beside its plain tokens; each 0 where there was none of it."""

    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    images: int = 0
    characters: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and money of one call; ``estimated`` when the provider did not say."""

    tokens_in: int
    tokens_out: int
    cached_tokens: int
    cost_micro_usd: int
    estimated: bool = False
    extras: Extras | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to a deployment for a decision."""

    decision_id: str
    number: int
    at_us: int
    deployment: str
    provider: str
    role: Role
    status: int
    error_kind: ErrorKind | None
    ttft_s: float | None
    latency_s: float
    usage: Usage


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the calls for a decision showed together; costs are the sum over all attempts."""

    decision_id: str
    at_us: int
    deployment: str | None
    mode: Mode
    status: int
    error_kind: ErrorKind | None
    latency_s: float
    ttft_s: float | None
    overhead_s: float
    attempts: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class Feedback:
    """What came later: a thumb, a score, a label. ``quality`` is its place in [0, 1]."""

    id: str
    decision_id: str
    at_us: int
    metric: str
    kind: str
    author: str
    value: float | None
    label: str | None
    quality: float | None
    deployment: str | None
    revises: str | None
    idempotency_key: str | None
    reason: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Update:
    """One thing that the policy was told, in its order: the learned state is a fold over these."""

    seq: int
    at_us: int
    decision_id: str
    decided_us: int
    arm: str
    kind: str  # outcome, judge, rating, revision, tick, prior, capability, evidence
    quality: float | None
    revises_quality: float | None
    cost_usd: float | None
    latency_s: float | None
    tokens_out: int | None
    failed: bool | None
    feedback_id: str | None
    version_id: str
    model_id: str | None = None  # of what is told by a file: which was taken
    weight: float = 1.0  # of the answer's quality, beside one that is wholly believed
    revises_weight: float = 1.0  # of the quality that this takes back

    def numbered(self, seq: int, at_us: int, version_id: str) -> Update:
        """In its place of the order. Written out: ``replace`` costs more than the rest of it."""
        return Update(
            seq, at_us, self.decision_id, self.decided_us, self.arm, self.kind, self.quality,
            self.revises_quality, self.cost_usd, self.latency_s, self.tokens_out, self.failed,
            self.feedback_id, version_id, self.model_id, self.weight, self.revises_weight,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Weight:
    """The share that a deployment now gets of a task, and the parts that move it."""

    at_us: int
    task: str
    deployment: str
    share: float
    quality: float
    cost_usd: float
    latency_s: float
    error_rate: float
    utility: float
    contexts: int
    update_seq: int
    why: str
    state: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """A policy and its parameters, promoted by a person, a plan or an experiment."""

    id: str
    at_us: int
    policy: str
    kind: str
    parameters: str  # JSON
    parent: str | None
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Learned state under a version, up to and with ``update_seq``; its bytes lie in a file."""

    id: str
    at_us: int
    version_id: str
    update_seq: int
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Override:
    """A person's will over the policy, for the requests of its scope: of ``task``, ``tenant`` and
    ``tier``, of each all where it is empty.
    """

    id: str
    at_us: int
    action: str  # of service.domain.overriding.Action
    deployment: str  # empty where the action takes none
    task: str
    reason: str
    author: str
    starts_us: int
    expires_us: int
    tenant: str = ""
    tier: str = ""
    target: str = ""  # of pin: a version's id; of kill_experiment: an experiment's
    least: float | None = None  # of bounds: shares of the draws, in [0, 1]
    greatest: float | None = None
    usd: float | None = None  # of cost_cap: US dollars a request
    ticket: str = ""
    renews: str | None = None  # the override that this one goes on with


@dataclass(frozen=True, slots=True)
class OverrideEnd:
    """The end of an override: lifted by somebody, expired, or gone on with by another one."""

    override_id: str
    at_us: int
    how: str  # lifted, expired, renewed
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody (or the service itself) did, for the operators' history.

    ``actor``: the name of the key; ``author``: who it says that it is. ``before`` and ``after``
    (JSON): what was changed; empty: nothing was, or is, there.
    """

    id: str
    at_us: int
    actor: str
    act: str
    subject: str
    reason: str
    detail: str  # JSON
    author: str = ""
    role: str = ""
    key_id: str = ""
    ip: str = ""
    request_id: str = ""
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """A caller's key; only its digest is kept. The secret before a rotation is valid until
    ``old_ends_us``.
    """

    id: str
    at_us: int
    name: str
    role: str
    tenant: str
    tier: str
    digest: str
    revoked: bool = False
    expires_us: int | None = None
    old_digest: str = ""
    old_ends_us: int | None = None
