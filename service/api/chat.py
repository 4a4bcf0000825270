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
from service.api.keeping import Both, begun, kept, kept_stream, taken_up
from service.api.queued import arrived, known, turned_away
from service.api.workflow_chat import PREFIX as WORKFLOW
from service.api.workflow_chat import answered
from service.caching.desk import NOTHING
from service.caching.passage import Hit, Passage
from service.caching.tapped import Tapped
from service.domain.chat import ChatRequest
from service.domain.clock import new_id
from service.domain.errors import ContentRefused, HeadgateError, UpstreamExhausted
from service.domain.modalities import CHAT
from service.domain.records import Decision, Key
from service.orchestration.answering import Given
from service.orchestration.conversation.keeping import Hold
from service.orchestration.retold import Retold
from service.orchestration.sampling import Stream as Listener
from service.providers.base import Answer, ProviderFailure
from service.queueing.desk import Arrival
from service.routing.dispatch import Served
from service.runtime import Runtime

log = logging.getLogger("headgate.api")

WATCH_AFTER_S = 0.05
LONG_BODY = 100_000
EVENTS: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
]


class Work(NamedTuple):
    """A request that is decided, and what its front keeps of it."""

    decision: Decision
    request: ChatRequest
    memo: Any
    hold: Hold | None = None  # of the kept conversation that it goes on with
    passage: Passage | None = None  # through the cache, where there is one


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
            request, watch.hold = await taken_up(runtime, front, request, memo, (key, scope))
            grant.tokens(request)
            arrival = arrived(runtime, scope, request, key, chat)
            if await self._flowed(scope, (request, key, memo), grant, watch, send):
                return
            wish = request.options
            if (wish.queue or wish.webhook) and await known(runtime, arrival, request_id, send):
                return
            if await self._kept(arrival, memo, grant, watch, send):
                return
            decision = await self._decided(arrival, memo, watch.passage)
            _begun(runtime, decision, scope)
            if len(body) > LONG_BODY:  # let go of what has been read already
                request = request.lean()
                arrival = replace(arrival, request=request)
            watch.begin()
            work = Work(decision, request, memo, watch.hold, watch.passage)
            await self._checked(work, grant, watch, send)
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

    async def _decided(self, arrival: Arrival, memo: Any, passage: Passage | None) -> Decision:
        """The decision, its task asked for first where the plan wants that; else nothing is
        awaited. What the cache has read already is not read again.
        """
        runtime, came = self._runtime, (arrival.request, arrival.key, arrival.session)
        if runtime.asker.wanted:
            decision = await runtime.asker.decide(*came)
        else:
            asked = None if passage is None else passage.asked
            decision = runtime.router.decide(*came, asked=asked)
        if passage is not None:
            passage.decided(decision)
        return decision

    async def _checked(self, work: Work, grant: Grant, watch: Watch, send: Send) -> None:
        """Answered, unless it was refused before or is refused now."""
        refusals, decision, request = self._runtime.refusals, work.decision, work.request
        await refusals.check(decision, request, watch.request_id)
        try:
            await self._answer(work, grant, watch, send)
        except ContentRefused as refused:
            raise await refusals.take(refused, decision, request, watch.request_id) from None

    async def _answer(self, work: Work, grant: Grant, watch: Watch, send: Send) -> None:
        decision, request, _, _, passage = work
        if request.stream:
            await self._stream(work, grant, watch, send)
            return
        answer, served = await self._runtime.answering.complete(decision, request)
        if passage is not None:
            served = passage.marked(served)
            passage.answered(decision, answer, served)
        await self._whole(work, (answer, served), grant, watch, send)
        self._runtime.mirror.saw(decision, request, answer, served)
        self._runtime.panel.sampler.saw(decision, request, answer.body, served)

    async def _whole(
        self, work: Work, found: tuple[Answer, Served], grant: Grant, watch: Watch, send: Send
    ) -> None:
        answer, served = found
        grant.settle(served.usage)
        headers = headers_of(work.decision, served, watch.request_id) + grant.headers()
        if work.hold is not None:
            headers += await kept(self._runtime, self._front, work, served, answer.body)
        body = await self._front.answer(work.memo, work.decision, answer, served)
        await send_bytes(send, 200, body, headers)

    async def _flowed(
        self, scope: Scope, asked: tuple[ChatRequest, Key, Any], grant: Grant, watch: Watch,
        send: Send,
    ) -> bool:  # fmt: skip
        """Whether a workflow was asked for, which has answered then."""
        request, key, memo = asked
        if not request.model.startswith(WORKFLOW):
            return False
        watch.begin()
        parent = header(scope, b"traceparent")
        decision, answer, served = await answered(self._runtime, request, key, parent)
        work = Work(decision, request, memo, watch.hold)
        if request.stream:
            await self._stream(work, grant, watch, send, Retold(answer, served))
        else:
            await self._whole(work, (answer, served), grant, watch, send)
        return True

    async def _stream(
        self, work: Work, grant: Grant, watch: Watch, send: Send, flow: Given | None = None
    ) -> None:
        decision, request, memo, hold, passage = work
        request_id = watch.request_id
        stream: Given = flow or await self._runtime.answering.open(decision, request)
        if passage is not None:
            stream = Tapped(stream, passage, decision)
        try:
            headers: Headers = [
                *EVENTS,
                *headers_of(decision, stream.served, request_id, with_cost=False),
                *grant.headers(),
                *([] if hold is None else begun(self._front, memo, hold)),
            ]
            watch.turn = turn = self._front.turn(memo, decision, request)
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            listens = self._runtime.panel.sampler.listens
            listener = None if flow else listens(decision, stream.served)
            heard = listener if hold is None else Both(listener, hold)
            tail, whole = await _forward(turn, stream, request_id, send, heard)
        finally:
            await stream.close()
            grant.settle(stream.served.usage)
        if hold is not None and whole:
            tail = await kept_stream(self._runtime, work, stream.served, (turn, tail, request_id))
        await send({"type": "http.response.body", "body": tail})
        if listener is not None and whole:
            self._runtime.panel.sampler.streamed(decision, request, listener, stream.served)

    async def _kept(
        self, arrival: Arrival, memo: Any, grant: Grant, watch: Watch, send: Send
    ) -> bool:
        """Whether it was answered with what is kept; else what the cache knows goes along."""
        caching = self._runtime.caching
        if caching is None or watch.hold is not None or arrival.request.modality != CHAT:
            return False
        watch.begin()
        watch.passage = await caching.enter(arrival.request, arrival.key, arrival.session)
        hit = watch.passage.hit
        if hit is not None:
            await self._again(hit, (arrival.request, memo), grant, watch, send)
        return hit is not None

    async def _again(
        self, hit: Hit, came: tuple[ChatRequest, Any], grant: Grant, watch: Watch, send: Send
    ) -> None:
        """Give an answer that is kept, in the form that is asked for."""
        (request, memo), front = came, self._front
        grant.settle(NOTHING)
        served, age = hit.served, (b"age", b"%d" % int(hit.age_s))
        headers = headers_of(hit.decision, served, watch.request_id, not request.stream)
        headers += [age, *grant.headers()]
        if not request.stream:
            body = await front.answer(memo, hit.decision, hit.answer, served)
            await send_bytes(send, 200, body, headers)
            return
        headers += EVENTS
        stream, turn = Retold(hit.answer, served), front.turn(memo, hit.decision, request)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        tail, _ = await _forward(turn, stream, watch.request_id, send, None)
        await send({"type": "http.response.body", "body": tail})

    async def _cut_off(self, error: HeadgateError, watch: Watch, send: Send) -> None:
        """End an answer that a stop leaves no time for, with an error; a stream's last event."""
        if watch.turn is not None:
            body = watch.turn.broken(error, watch.request_id)
            await send({"type": "http.response.body", "body": body})
        else:
            await self._front.tell(send, error, watch.request_id)


def _begun(runtime: Runtime, decision: Decision, scope: Scope) -> None:
    """Log it before the call; where there are traces, in that of its caller."""
    runtime.ledger.decision(decision)
    if (tracer := runtime.ledger.tracer) is not None:
        tracer.begin(decision.id, header(scope, b"traceparent"))


async def _forward(
    turn: Turn, stream: Given, request_id: str, send: Send, listener: Listener | Both | None
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
        self.passage: Passage | None = None  # through the cache, left when all is over
        self.turn: Turn | None = None  # of a stream that has begun
        self.hold: Hold | None = None  # of a kept conversation, until the request is over
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.gone = False

    def begin(self) -> None:
        """Watch from a moment on; once is enough."""
        if self._timer is not None:
            return
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
        """Stop watching; a turn of a kept conversation is let go, and who waits for this answer
        waits no longer.
        """
        if self.hold is not None:
            self.hold.let_go()
        if self.passage is not None:
            self.passage.leave()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
