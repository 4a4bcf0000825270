"""From a decision to an answer: the drawn deployment first, the others after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest
from service.domain.clock import Clock, response_id
from service.domain.records import Attempt, Decision, ErrorKind, Mode, Outcome, Role, Usage
from service.providers.base import (
    Answer,
    AnswerStream,
    Chunk,
    Names,
    Provider,
    ProviderFailure,
    Tokens,
)
from service.routing.billing import Seen, seen_before, seen_in_time, usage_of
from service.routing.exhaustion import Failed, next_target, verdict

NOTHING = Usage(0, 0, 0, 0)


class Records(Protocol):
    """Where attempts and outcomes go."""

    def attempt(self, attempt: Attempt) -> None:
        """One call has ended."""

    def outcome(self, outcome: Outcome) -> None:
        """The request has ended."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Time limits, in seconds: each attempt's in turn, between chunks, and for the whole."""

    attempts_s: tuple[float, ...]
    stream_idle_s: float
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Means:
    """What a dispatcher stands on."""

    catalog: Sequence[Deployment]
    providers: Mapping[str, Provider]  # by dialect
    alternatives: Callable[[Decision], list[Deployment]]
    sent: Callable[[Deployment, int, float], None]
    records: Records
    clock: Clock
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class Served:
    """What the caller is told of how it was served."""

    deployment: Deployment
    mode: Mode
    attempts: int
    usage: Usage
    overhead_s: float
    fallback_from: str


@dataclass(slots=True)
class _Run:
    """One request on its way through its attempts."""

    decision: Decision
    request: ChatRequest
    started_s: float
    deadline_s: float
    target: Deployment
    attempts: int = 0
    upstream_s: float = 0.0
    cost: list[Usage] = field(default_factory=list)
    failures: list[Failed] = field(default_factory=list)
    others: list[Deployment] | None = None
    closed: bool = False

    @property
    def mode(self) -> Mode:
        return Mode.FALLBACK if self.failures else self.decision.mode

    @property
    def total(self) -> Usage:
        return Usage(
            sum(u.tokens_in for u in self.cost),
            sum(u.tokens_out for u in self.cost),
            sum(u.cached_tokens for u in self.cost),
            sum(u.cost_micro_usd for u in self.cost),
            any(u.estimated for u in self.cost),
        )


@dataclass(frozen=True, slots=True)
class _Call:
    """One call under way."""

    started_s: float
    deployment: Deployment
    timeout_s: float


class Dispatcher:
    """Makes the calls, records each as an attempt, and the whole as an outcome."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._by_name = {each.name: each for each in means.catalog}
        self._clock = means.clock

    # whole answers ----------------------------------------------------------------------------

    async def complete(self, decision: Decision, request: ChatRequest) -> tuple[Answer, Served]:
        """A whole answer; raises HeadgateError when every attempt failed."""
        run = self._begin(decision, request)
        while True:
            call = self._call(run)
            names = Names(response_id(decision.id), call.deployment.name)
            body = request.for_upstream(call.deployment.model)
            provider = self._means.providers[call.deployment.dialect]
            try:
                async with asyncio.timeout(call.timeout_s):
                    answer = await provider.complete(call.deployment, body, names)
            except ProviderFailure as failure:
                self._failed(run, call, failure, seen_before(failure))
            except TimeoutError:
                self._failed(run, call, ProviderFailure(ErrorKind.TIMEOUT), seen_in_time())
            except asyncio.CancelledError:
                self._cancelled(run, call, seen_in_time())
                raise
            else:
                seen = Seen(True, answer.content_chars, answer.tokens)
                return answer, self._served(run, call, seen, None)

    # streams ----------------------------------------------------------------------------------

    async def open(self, decision: Decision, request: ChatRequest) -> ServedStream:
        """A stream whose first content has come; until then every deployment may be tried."""
        run = self._begin(decision, request)
        while True:
            call = self._call(run)
            names = Names(response_id(decision.id), call.deployment.name)
            body = request.for_upstream(call.deployment.model)
            provider = self._means.providers[call.deployment.dialect]
            stream: AnswerStream | None = None
            head = _Head()
            try:
                async with asyncio.timeout(call.timeout_s):
                    stream = await provider.stream(call.deployment, body, names)
                    await head.read(stream)
                return ServedStream(self, run, call, stream, head)
            except ProviderFailure as failure:
                self._failed(run, call, failure, seen_before(failure, head.seen.sent))
            except TimeoutError:
                self._failed(run, call, ProviderFailure(ErrorKind.TIMEOUT), head.sent())
            except asyncio.CancelledError:
                self._cancelled(run, call, head.sent())
                raise
            finally:
                if stream is not None and not head.ready:
                    await stream.close()

    # the steps --------------------------------------------------------------------------------

    def _begin(self, decision: Decision, request: ChatRequest) -> _Run:
        now_s = self._clock.monotonic_s()
        asked = request.options.deadline_s
        bound = self._means.bounds.deadline_s
        deadline_s = now_s + (min(asked, bound) if asked else bound)
        return _Run(decision, request, now_s, deadline_s, self._by_name[decision.deployment])

    def _call(self, run: _Run) -> _Call:
        now_s = self._clock.monotonic_s()
        limits = self._means.bounds.attempts_s
        timeout_s = min(limits[min(run.attempts, len(limits) - 1)], run.deadline_s - now_s)
        run.attempts += 1
        self._means.sent(run.target, run.decision.tokens_in, now_s)
        return _Call(now_s, run.target, max(timeout_s, 0.001))

    def _failed(self, run: _Run, call: _Call, failure: ProviderFailure, seen: Seen) -> None:
        """Record a failed attempt and choose the next; raises when there is none."""
        now_s = self._clock.monotonic_s()
        self._attempt(run, call, seen, failure.kind, failure.status)
        run.failures.append(Failed(call.deployment, failure))
        following = None
        if run.decision.mode is not Mode.PINNED and run.attempts < len(
            self._means.bounds.attempts_s
        ):
            if run.others is None:
                run.others = self._means.alternatives(run.decision)
            if now_s < run.deadline_s:
                following = next_target(run.failures, run.others, run.decision.tokens_in)
        if following is None:
            error = verdict(run.failures)
            self._outcome(run, None, error.status, failure.kind, None)
            raise error from None
        run.target = following

    def _cancelled(self, run: _Run, call: _Call, seen: Seen) -> None:
        self._attempt(run, call, seen, ErrorKind.CANCELLED, 0)
        self._outcome(run, None, 499, ErrorKind.CANCELLED, None)

    def _attempt(
        self, run: _Run, call: _Call, seen: Seen, kind: ErrorKind | None, status: int
    ) -> Usage:
        now_s = self._clock.monotonic_s()
        latency_s = now_s - call.started_s
        run.upstream_s += latency_s
        at_us = self._clock.wall_us()
        usage = usage_of(call.deployment, run.decision.tokens_in, seen, kind, at_us)
        run.cost.append(usage)
        self._means.records.attempt(
            Attempt(
                decision_id=run.decision.id,
                number=run.attempts,
                at_us=at_us,
                deployment=call.deployment.name,
                provider=call.deployment.provider,
                role=Role.FIRST if run.attempts == 1 else Role.FALLBACK,
                status=status,
                error_kind=kind,
                ttft_s=seen.ttft_s,
                latency_s=latency_s,
                usage=usage,
            )
        )
        return usage

    def _served(self, run: _Run, call: _Call, seen: Seen, kind: ErrorKind | None) -> Served:
        self._attempt(run, call, seen, kind, 200)
        status = 200 if kind is None else 499 if kind is ErrorKind.CANCELLED else 502
        overhead_s = self._outcome(run, call.deployment, status, kind, seen.ttft_s)
        return self.told(run, call, overhead_s)

    def told(self, run: _Run, call: _Call, overhead_s: float) -> Served:
        """What to tell the caller."""
        drawn = run.decision.deployment
        fallback_from = drawn if call.deployment.name != drawn else ""
        return Served(call.deployment, run.mode, run.attempts, run.total, overhead_s, fallback_from)

    def overhead(self, run: _Run, call: _Call) -> float:
        """Seconds spent so far that were not spent waiting for a provider's head."""
        return call.started_s - run.started_s - run.upstream_s

    def _outcome(
        self,
        run: _Run,
        deployment: Deployment | None,
        status: int,
        kind: ErrorKind | None,
        ttft_s: float | None,
    ) -> float:
        latency_s = self._clock.monotonic_s() - run.started_s
        overhead_s = max(latency_s - run.upstream_s, 0.0)
        self._means.records.outcome(
            Outcome(
                decision_id=run.decision.id,
                at_us=self._clock.wall_us(),
                deployment=deployment.name if deployment else None,
                mode=run.mode,
                status=status,
                error_kind=kind,
                latency_s=latency_s,
                ttft_s=ttft_s,
                overhead_s=overhead_s,
                attempts=run.attempts,
                usage=run.total,
            )
        )
        return overhead_s


class _Head:
    """The chunks up to the first content; nothing of them has been sent yet."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.iterator: AsyncIterator[Chunk] | None = None
        self.ready = False
        self.seen = Seen()

    async def read(self, stream: AnswerStream) -> None:
        self.seen = Seen(sent=True)
        self.iterator = aiter(stream)
        async for chunk in self.iterator:
            self.chunks.append(chunk)
            if chunk.has_content:
                self.ready = True
                return
            if chunk.done:
                raise ProviderFailure(ErrorKind.MALFORMED, status=200)
        raise ProviderFailure(ErrorKind.CUT, status=200)

    def sent(self) -> Seen:
        """Once the prompt was on its way it will be billed."""
        return self.seen if self.seen.sent else seen_in_time()


class ServedStream:
    """A stream that has begun to answer; iterate it to the end, or close it."""

    def __init__(
        self, dispatcher: Dispatcher, run: _Run, call: _Call, stream: AnswerStream, head: _Head
    ) -> None:
        self._dispatcher = dispatcher
        self._run = run
        self._call = call
        self._stream = stream
        self._head = head
        self._idle_s = dispatcher._means.bounds.stream_idle_s
        self._ttft_s = dispatcher._clock.monotonic_s() - call.started_s
        self._characters = 0
        self._tokens: Tokens | None = None
        self.usage_event = b""
        self.served = dispatcher.told(run, call, dispatcher.overhead(run, call))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The events to forward, up to but without the last one; raises ProviderFailure."""
        for chunk in self._head.chunks:
            if data := self._take(chunk):
                yield data
            if chunk.done:
                self._end(None)
                return
        iterator = self._head.iterator
        assert iterator is not None
        while True:
            try:
                async with asyncio.timeout(self._idle_s):
                    chunk = await anext(iterator)
            except TimeoutError:
                self._end(ErrorKind.STALLED)
                raise ProviderFailure(ErrorKind.STALLED, status=200) from None
            except ProviderFailure as failure:
                self._end(failure.kind)
                raise
            if data := self._take(chunk):
                yield data
            if chunk.done:
                self._end(None)
                return

    async def close(self) -> None:
        """Let the upstream go; an unfinished stream is one that the caller left."""
        self._end(ErrorKind.CANCELLED)
        await self._stream.close()

    def _take(self, chunk: Chunk) -> bytes:
        self._characters += chunk.content_chars
        self._tokens = chunk.tokens or self._tokens
        self.usage_event = chunk.usage_event or self.usage_event
        return chunk.data

    def _end(self, kind: ErrorKind | None) -> None:
        if self._run.closed:
            return
        self._run.closed = True
        seen = Seen(True, self._characters, self._tokens, self._ttft_s)
        self.served = self._dispatcher._served(self._run, self._call, seen, kind)
