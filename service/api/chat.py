"""The hot path, POST /v1/chat/completions and its like: raw ASGI, the body parsed once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any, NamedTuple

from service.api.admission import Grant, admit
from service.api.asgi import (
    ClientGone,
    Headers,
    Receive,
    Scope,
    Send,
    header,
    read_body,
    send_bytes,
)
from service.api.fronts import Front, Turn, dollars
from service.api.queued import arrived, known, turned_away
from service.domain.chat import ChatRequest
from service.domain.clock import new_id
from service.domain.errors import ContentRefused, HeadgateError, UpstreamExhausted
from service.domain.records import Decision, Key
from service.orchestration.answering import Given
from service.orchestration.sampling import Stream as Listener
from service.providers.base import ProviderFailure
from service.queueing.desk import Arrival
from service.routing.dispatch import Served
from service.runtime import Runtime

log = logging.getLogger("headgate.api")

WATCH_AFTER_S = 0.05
LONG_BODY = 100_000


class Work(NamedTuple):
    """A request that is decided, and what its front keeps of it."""

    decision: Decision
    request: ChatRequest
    memo: Any


class ChatEndpoint:
    """The endpoint of a dialect; one object for all requests."""

    def __init__(self, runtime: Runtime, front: Front) -> None:
        self._runtime, self._front = runtime, front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime, front = self._runtime, self._front
        request_id = new_id()
        watch, load, body = Watch(receive, request_id), runtime.load, b""
        arrival: Arrival | None = None
        load.under_way += 1
        try:
            load.check()
            key = front.key(scope, runtime.kept.keys)
            grant = admit(runtime, key)
            body = await read_body(scope, receive, load.bounds.body_bytes, load)
            request, chat, memo = await front.read(runtime, body)
            grant.tokens(request)
            arrival = arrived(runtime, scope, request, key, chat)
            wish = request.options
            if (wish.queue or wish.webhook) and await known(runtime, arrival, request_id, send):
                return
            decision = await self._decided(request, key, arrival.session, memo)
            runtime.ledger.decision(decision)
            if (tracer := runtime.ledger.tracer) is not None:
                tracer.begin(decision.id, header(scope, b"traceparent"))
            if len(body) > LONG_BODY:  # let go of what has been read already
                request = request.lean()
                arrival = replace(arrival, request=request)
            watch.begin()
            await runtime.refusals.check(decision, request, request_id)
            try:
                await self._answer(Work(decision, request, memo), grant, watch, send)
            except ContentRefused as refused:
                raise await runtime.refusals.take(refused, decision, request, request_id) from None
        except HeadgateError as error:
            load.noted(error)
            watch.end()
            await turned_away(runtime, arrival, error, request_id, send, front.tell)
        except ClientGone:
            pass
        except asyncio.CancelledError:
            if not watch.gone and not load.stopping:
                raise
            _uncancel()  # all is recorded; the caller has left, or the time of a stop is over
            if not watch.gone:
                await self._cut_off(load.full("stopping"), watch, send)
        except Exception:
            log.exception("request %s failed", request_id)
            await front.tell(send, HeadgateError("something went wrong here"), request_id)
        finally:
            load.under_way -= 1
            load.held_bytes -= len(body)
            watch.end()

    async def _decided(self, request: ChatRequest, key: Key, session: str, memo: Any) -> Decision:
        """The decision, its task asked for first where the plan wants that; else nothing is
        awaited.
        """
        runtime = self._runtime
        if runtime.asker.wanted:
            return await runtime.asker.decide(request, key, session)
        return runtime.router.decide(request, key, session)

    async def _answer(self, work: Work, grant: Grant, watch: Watch, send: Send) -> None:
        decision, request, memo = work
        if request.stream:
            await self._stream(work, grant, watch, send)
            return
        answer, served = await self._runtime.answering.complete(decision, request)
        grant.settle(served.usage)
        headers = headers_of(decision, served, watch.request_id) + grant.headers()
        body = await self._front.answer(memo, decision, answer, served)
        await send_bytes(send, 200, body, headers)
        self._runtime.mirror.saw(decision, request, answer, served)
        self._runtime.panel.sampler.saw(decision, request, answer.body, served)

    async def _stream(self, work: Work, grant: Grant, watch: Watch, send: Send) -> None:
        decision, request, memo = work
        request_id = watch.request_id
        stream = await self._runtime.answering.open(decision, request)
        try:
            headers: Headers = [
                (b"content-type", b"text/event-stream; charset=utf-8"),
                (b"cache-control", b"no-cache"),
                *headers_of(decision, stream.served, request_id, with_cost=False),
                *grant.headers(),
            ]
            watch.turn = turn = self._front.turn(memo, decision, request)
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            listener = self._runtime.panel.sampler.listens(decision, stream.served)
            tail, whole = await _forward(turn, stream, request_id, send, listener)
        finally:
            await stream.close()
            grant.settle(stream.served.usage)
        await send({"type": "http.response.body", "body": tail})
        if listener is not None and whole:
            self._runtime.panel.sampler.streamed(decision, request, listener, stream.served)

    async def _cut_off(self, error: HeadgateError, watch: Watch, send: Send) -> None:
        """End an answer that a stop leaves no time for, with an error; a stream's last event."""
        if watch.turn is not None:
            body = watch.turn.broken(error, watch.request_id)
            await send({"type": "http.response.body", "body": body})
        else:
            await self._front.tell(send, error, watch.request_id)


async def _forward(
    turn: Turn, stream: Given, request_id: str, send: Send, listener: Listener | None
) -> tuple[bytes, bool]:
    """Pass the chunks on; what is to be sent last (the end, or an error that says it is none), and
    whether it ended whole. Who listens hears it in OpenAI's form, whatever the caller speaks.
    """
    try:
        if begun := turn.begin(stream.served):
            await send({"type": "http.response.body", "body": begun, "more_body": True})
        async for data in stream:
            if listener is not None:
                listener.heard(data)
            if told := turn.feed(data):
                await send({"type": "http.response.body", "body": told, "more_body": True})
    except ProviderFailure as failure:
        error = UpstreamExhausted(
            f"the answer broke off ({failure.kind.value}); what came is incomplete",
            code="stream_interrupted",
        )
        return turn.broken(error, request_id), False
    return turn.end(stream), True


def hundredths(confidence: float) -> bytes:
    """Cut, not rounded: 0.7499 is not shown as the threshold that it does not reach."""
    return b"%.2f" % (int(100.0 * confidence) / 100.0)


def headers_of(
    decision: Decision, served: Served, request_id: str, with_cost: bool = True
) -> Headers:
    """What an answer's headers tell of it."""
    mark = decision.policy
    headers: Headers = [
        (b"x-request-id", request_id.encode()),
        (b"x-headgate-decision-id", decision.id.encode()),
        (b"x-headgate-deployment", served.deployment.name.encode()),
        (b"x-headgate-provider", served.deployment.provider.encode("latin-1", "replace")),
        (b"x-headgate-mode", served.mode.value.encode()),
        (b"x-headgate-reason", decision.reason.encode()),
        (b"x-headgate-task", decision.task.encode()),
        (b"x-headgate-confidence", hundredths(decision.task_confidence)),
        (b"x-headgate-policy", f"{mark.name}@{mark.update_seq}".encode()),
        (b"x-headgate-overhead-ms", b"%.2f" % (served.overhead_s * 1e3)),
        (b"x-headgate-attempts", str(served.attempts).encode()),
        (b"x-headgate-tier", str(served.tier).encode()),
        (b"x-headgate-cache", served.cache.encode()),
    ]
    if with_cost:
        headers.append((b"x-headgate-cost", dollars(served.usage)))
    if decision.assigned:
        first = decision.assigned[0]
        headers.append((b"x-headgate-experiment", first.experiment.encode()))
        headers.append((b"x-headgate-variant", first.variant.encode()))
    if served.fallback_from:
        headers.append((b"x-headgate-fallback-from", served.fallback_from.encode()))
    return headers


class Watch:
    """Cancels the request's task when its caller leaves.

    Watching costs a task, so it begins only when the answer takes longer than a moment.
    """

    def __init__(self, receive: Receive, request_id: str) -> None:
        self._receive = receive
        self.request_id = request_id
        self.turn: Turn | None = None  # of a stream that has begun
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.gone = False

    def begin(self) -> None:
        """Watch from a moment on."""
        owner = asyncio.current_task()
        loop = asyncio.get_running_loop()
        if owner is not None:
            self._timer = loop.call_later(WATCH_AFTER_S, self._start, loop, owner)

    def _start(self, loop: asyncio.AbstractEventLoop, owner: asyncio.Task[Any]) -> None:
        self._task = loop.create_task(self._wait(owner))

    async def _wait(self, owner: asyncio.Task[Any]) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                owner.cancel()
                return

    def end(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
