"""POST /v1/chat/completions, the hot path: raw ASGI, the body parsed once, the rest bytes."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import msgspec

from service.api.admission import Grant, admit, read_request
from service.api.asgi import (
    ClientGone,
    Headers,
    Receive,
    Scope,
    Send,
    error_body,
    header,
    read_body,
    send_bytes,
    send_error,
)
from service.api.auth import authenticate
from service.api.queued import arrived, known, turned_away
from service.domain.chat import ChatRequest
from service.domain.clock import new_id, response_id
from service.domain.errors import ContentRefused, HeadgateError, UpstreamExhausted
from service.domain.records import Decision, Key, Usage
from service.providers.base import ProviderFailure
from service.queueing.desk import Arrival
from service.routing.dispatch import Served, ServedStream
from service.runtime import Runtime

log = logging.getLogger("headgate.api")

WATCH_AFTER_S = 0.05
LONG_BODY = 100_000
DONE = b"data: [DONE]\n\n"
_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class ChatEndpoint:
    """The endpoint; one object for all requests."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime = self._runtime
        request_id = new_id()
        watch, load, body = _Watch(receive, request_id), runtime.load, b""
        arrival: Arrival | None = None
        load.under_way += 1
        try:
            load.check()
            key = authenticate(scope, runtime.kept.keys)
            grant = admit(runtime, key)
            body = await read_body(scope, receive, load.bounds.body_bytes, load)
            request = await read_request(runtime, body)
            grant.tokens(request)
            arrival = arrived(runtime, scope, request, key, body)
            wish = request.options
            if (wish.queue or wish.webhook) and await known(runtime, arrival, request_id, send):
                return
            decision = await _decided(runtime, request, key, arrival.session)
            runtime.ledger.decision(decision)
            if (tracer := runtime.ledger.tracer) is not None:
                tracer.begin(decision.id, header(scope, b"traceparent"))
            if len(body) > LONG_BODY:  # let go of what has been read already
                request = request.lean()
                arrival = replace(arrival, request=request)
            watch.begin()
            await runtime.refusals.check(decision, request, request_id)
            try:
                await self._answer(decision, request, grant, watch, send)
            except ContentRefused as refused:
                raise await runtime.refusals.take(refused, decision, request, request_id) from None
        except HeadgateError as error:
            load.noted(error)
            watch.end()
            await turned_away(runtime, arrival, error, request_id, send)
        except ClientGone:
            pass
        except asyncio.CancelledError:
            if not watch.gone and not load.stopping:
                raise
            _uncancel()  # all is recorded; the caller has left, or the time of a stop is over
            if not watch.gone:
                await _cut_off(load.full("stopping"), watch, send)
        except Exception:
            log.exception("request %s failed", request_id)
            await send_error(send, HeadgateError("something went wrong here"), request_id)
        finally:
            load.under_way -= 1
            load.held_bytes -= len(body)
            watch.end()

    async def _answer(
        self, decision: Decision, request: ChatRequest, grant: Grant, watch: _Watch, send: Send
    ) -> None:
        if request.stream:
            await self._stream(decision, request, grant, watch, send)
            return
        answer, served = await self._runtime.dispatcher.complete(decision, request)
        grant.settle(served.usage)
        headers = _headers(decision, served, watch.request_id) + grant.headers()
        await send_bytes(send, 200, answer.body, headers)
        self._runtime.mirror.saw(decision, request, answer, served)
        self._runtime.panel.sampler.saw(decision, request, answer.body, served)

    async def _stream(
        self, decision: Decision, request: ChatRequest, grant: Grant, watch: _Watch, send: Send
    ) -> None:
        request_id = watch.request_id
        stream = await self._runtime.dispatcher.open(decision, request)
        try:
            headers: Headers = [
                (b"content-type", b"text/event-stream; charset=utf-8"),
                (b"cache-control", b"no-cache"),
                *_headers(decision, stream.served, request_id, with_cost=False),
                *grant.headers(),
            ]
            watch.answering = True
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            listener = self._runtime.panel.sampler.listens(decision, stream.served)
            if listener is not None:
                send = listener.beside(send)
            tail = await _forward(decision, request, stream, request_id, send)
        finally:
            await stream.close()
            grant.settle(stream.served.usage)
        await send({"type": "http.response.body", "body": tail})
        if listener is not None and tail.endswith(DONE):
            self._runtime.panel.sampler.streamed(decision, request, listener, stream.served)


async def _decided(runtime: Runtime, request: ChatRequest, key: Key, session: str) -> Decision:
    """The decision, its task asked for first where the plan wants that; else nothing is awaited."""
    if runtime.asker.wanted:
        return await runtime.asker.decide(request, key, session)
    return runtime.router.decide(request, key, session)


async def _forward(
    decision: Decision, request: ChatRequest, stream: ServedStream, request_id: str, send: Send
) -> bytes:
    """Pass the chunks on; what is to be sent last: the end, or an error that says it is none."""
    try:
        async for data in stream:
            await send({"type": "http.response.body", "body": data, "more_body": True})
    except ProviderFailure as failure:
        error = UpstreamExhausted(
            f"the answer broke off ({failure.kind.value}); what came is incomplete",
            code="stream_interrupted",
        )
        return _error_event(error, request_id)
    if not request.wants_usage:
        return DONE
    event = _usage_event(decision, stream)
    return b"data: " + event + b"\n\n" + DONE


def _error_event(error: HeadgateError, request_id: str) -> bytes:
    text = msgspec.json.encode(error_body(error, request_id))
    return b"event: error\ndata: " + text + b"\n\n"


async def _cut_off(error: HeadgateError, watch: _Watch, send: Send) -> None:
    """End an answer that a stop leaves no time for, with an error; in a stream, its last event."""
    if watch.answering:
        await send({"type": "http.response.body", "body": _error_event(error, watch.request_id)})
    else:
        await send_error(send, error, watch.request_id)


def _usage_event(decision: Decision, stream: ServedStream) -> bytes:
    """The last chunk: the provider's usage (or our estimate) and what it cost."""
    total = stream.served.usage
    fields: dict[str, msgspec.Raw] = {}
    usage: dict[str, msgspec.Raw] = {}
    if stream.usage_event:
        fields = _raw(stream.usage_event)
        usage = _raw(fields["usage"])
        if total.estimated:
            usage["estimated"] = msgspec.Raw(b"true")
    else:
        head = {
            "id": response_id(decision.id),
            "object": "chat.completion.chunk",
            "created": decision.at_us // 1_000_000,
            "model": stream.served.deployment.name,
            "choices": [],
        }
        fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in head.items()}
        counts = {
            "prompt_tokens": total.tokens_in,
            "completion_tokens": total.tokens_out,
            "total_tokens": total.tokens_in + total.tokens_out,
            "estimated": True,
        }
        usage = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in counts.items()}
    usage["cost_usd"] = msgspec.Raw(_dollars(total))
    fields["usage"] = msgspec.Raw(msgspec.json.encode(usage))
    return msgspec.json.encode(fields)


def _dollars(usage: Usage) -> bytes:
    return f"{usage.cost_micro_usd / 1e6:.6f}".encode()


def hundredths(confidence: float) -> bytes:
    """Cut, not rounded: 0.7499 is not shown as the threshold that it does not reach."""
    return b"%.2f" % (int(100.0 * confidence) / 100.0)


def _headers(
    decision: Decision, served: Served, request_id: str, with_cost: bool = True
) -> Headers:
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
        (b"x-headgate-cache", b"bypass"),
    ]
    if with_cost:
        headers.append((b"x-headgate-cost", _dollars(served.usage)))
    if decision.assigned:
        first = decision.assigned[0]
        headers.append((b"x-headgate-experiment", first.experiment.encode()))
        headers.append((b"x-headgate-variant", first.variant.encode()))
    if served.fallback_from:
        headers.append((b"x-headgate-fallback-from", served.fallback_from.encode()))
    return headers


class _Watch:
    """Cancels the request's task when its caller leaves.

    Watching costs a task, so it begins only when the answer takes longer than a moment.
    """

    def __init__(self, receive: Receive, request_id: str) -> None:
        self._receive = receive
        self.request_id = request_id
        self.answering = False  # a stream has begun
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
