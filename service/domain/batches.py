"""Batches: a file of requests, how it stands, each of its requests, and what that brought."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CHAT_ENDPOINT, EMBEDDINGS_ENDPOINT = "/v1/chat/completions", "/v1/embeddings"
ENDPOINTS = (CHAT_ENDPOINT, EMBEDDINGS_ENDPOINT)
PRIORITIES = ("low", "normal", "high")  # by their numbers


class BatchState(StrEnum):
    """Where a batch is in its life, in OpenAI's words."""

    IN_PROGRESS = "in_progress"
    CANCELLING = "cancelling"
    FAILED = "failed"  # its file could not be read
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


LIVE = (BatchState.IN_PROGRESS, BatchState.CANCELLING)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a file or batch is: of a key, and of all keys of its tenant where it has one."""

    key_id: str
    tenant: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that was uploaded or made, without its content. ``keep_until_us``: then it is erased;
    ``size``: in bytes.
    """

    id: str
    owner: Owner
    purpose: str  # batch, or batch_output
    name: str
    size: int
    created_us: int
    keep_until_us: int


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A line of a batch's file. ``tokens``: foreseen of the request and its answer."""

    custom_id: str
    body: bytes
    tokens: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it stands. ``window``: the time that was given for it, as the caller wrote it;
    ``errors``, ``metadata``: JSON; ``tokens``: foreseen of all its requests; ``idempotency`` is a
    keyed hash, and ``digest`` that of what was asked under it.
    """

    id: str
    owner: Owner
    endpoint: str
    input_file: str
    state: BatchState
    created_us: int
    deadline_us: int
    window: str
    priority: int
    metadata: str
    total: int
    tokens: int
    completed: int = 0
    failed: int = 0
    cancelling_us: int | None = None
    ended_us: int | None = None
    keep_until_us: int | None = None
    output_file: str = ""
    error_file: str = ""
    errors: str = "[]"
    idempotency: str = ""
    digest: str = ""

    @property
    def cost(self) -> float:
        """Tokens of one of its requests on average, at least one."""
        return max(self.tokens / max(self.total, 1), 1.0)


@dataclass(slots=True)
class Standing:
    """A live batch's requests: how many wait and run, and when the next may be tried."""

    batch: Batch
    waiting: int
    running: int = 0
    ready_us: int = 0

    @property
    def left(self) -> int:
        """Those without a result."""
        return self.waiting + self.running


@dataclass(frozen=True, slots=True)
class Taken:
    """A request that is being tried. ``number``: its line, from 1; ``tries``: counted ones;
    ``alone``: it has been with a provider's batch, and is answered by a call now.
    """

    batch_id: str
    number: int
    custom_id: str
    body: bytes
    tries: int
    alone: bool = False


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A request of a batch that has its result; no texts, and not the caller's name for it.

    ``way``: sync, or provider (in a batch of the provider's); ``hours``: off_peak, urgent (tried
    outside of the windows so that it would not be late), or none where it was never tried;
    ``list_micro_usd``: what it would have cost alone, at the same prices. A line of the result
    ``unused`` stands beside that of the result: a provider's batch answered too late or not well
    enough, and was paid.
    """

    batch_id: str
    number: int
    at_us: int
    key_id: str
    tenant: str
    endpoint: str
    decision_id: str | None
    deployment: str
    way: str
    hours: str
    result: str  # completed, failed, expired, cancelled; unused
    code: str
    tries: int
    tokens_in: int
    tokens_out: int
    paid_micro_usd: int
    list_micro_usd: int
