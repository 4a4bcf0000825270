"""What a provider is: a dialect spoken to one address, failures put in our words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import ClassVar, Protocol

from service.domain.catalog import Deployment
from service.domain.records import ErrorKind
from service.providers.incidents import Incidents

# Whether the call of this task has reached its provider: a connection stands for its prompt.
reached: ContextVar[bool] = ContextVar("reached", default=True)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the provider says it used; ``estimated`` where it contradicts itself.

    ``cache_write`` is a part of ``tokens_in``, ``reasoning`` of ``tokens_out``; ``characters``: of
    input, where they are known.
    """

    tokens_in: int
    tokens_out: int
    cached: int = 0
    estimated: bool = False
    cache_write: int = 0
    reasoning: int = 0
    characters: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer in OpenAI's form, its id and model rewritten, and what it used."""

    body: bytes
    tokens: Tokens | None
    content_chars: int
    images: int = 0
    made: int = 0  # images or vectors in it


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some whole events of a stream, ready to forward, and what they showed."""

    data: bytes
    content_chars: int
    tokens: Tokens | None
    has_content: bool
    usage_event: bytes = b""  # the usage event, held apart: forwarded only when asked for
    done: bool = False
    refusal: str = ""  # the code word of a refusal, in a chunk that has nothing else to say
    images: int = 0


class ProviderFailure(Exception):
    """A call that failed: the kind, the provider's status, when to come back, what it used.

    ``begun``: an answer had begun, so that the prompt will be billed; with how many characters of
    it came, and the tokens that it told.
    """

    def __init__(
        self,
        kind: ErrorKind,
        *,
        status: int = 0,
        retry_after_s: float | None = None,
        code: str = "",
        param: str = "",
        tokens: Tokens | None = None,
    ) -> None:
        super().__init__(kind.value)
        self.begun = False
        self.content_chars = 0
        self.kind = kind
        self.status = status
        self.retry_after_s = retry_after_s
        self.code = code
        self.param = param
        self.tokens = tokens

    def after(self, content_chars: int = 0, tokens: Tokens | None = None) -> ProviderFailure:
        """The same, after an answer had begun."""
        self.begun, self.content_chars, self.tokens = True, content_chars, tokens
        return self


@dataclass(frozen=True, slots=True)
class Names:
    """What the answer is to be called: our response id, and the deployment that serves; and what
    the call is called in the trace that it belongs to, where the provider is to know.
    """

    response_id: str
    model: str
    traceparent: str = ""


class AnswerStream(Protocol):
    """An open stream."""

    def __aiter__(self) -> AsyncIterator[Chunk]:
        """Its chunks; raises ProviderFailure."""

    async def close(self) -> None:
        """Let the connection go, cancelling the upstream call if it still runs."""


class Provider(ABC):
    """A dialect. One object serves all deployments that speak it."""

    dialect: ClassVar[str]

    def __init__(self) -> None:
        self.incidents = Incidents()

    @abstractmethod
    async def complete(self, deployment: Deployment, body: bytes, names: Names) -> Answer:
        """One whole answer; raises ProviderFailure. The caller bounds the time."""

    @abstractmethod
    async def stream(self, deployment: Deployment, body: bytes, names: Names) -> AnswerStream:
        """An open stream once the status is known; raises ProviderFailure."""

    @abstractmethod
    async def close(self) -> None:
        """Let all connections go."""
