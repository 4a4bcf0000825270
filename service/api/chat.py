"""POST /v1/chat/completions, the hot path: raw ASGI, the body parsed once, the rest bytes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from service.api.asgi import (
    ClientGone,
    Headers,
    Receive,
    Scope,
    Send,
    error_body,
    read_body,
    send_bytes,
    send_error,
)
from service.api.auth import authenticate
from service.api.queued import arrived, known, turned_away
from service.domain.chat import ChatRequest, parse
from service.domain.clock import new_id, response_id
from service.domain.errors import HeadgateError, UpstreamExhausted
from service.domain.records import Decision, Usage
from service.providers.base import ProviderFailure
from service.queueing.desk import Arrival
from service.routing.dispatch import Served, ServedStream
from service.runtime import Runtime

log = logging.getLogger("headgate.api")

WATCH_AFTER_S = 0.05
DONE = b"data: [DONE]\n\n"
_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class ChatEndpoint:
    """The endpoint; one object for all requests."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime = self._runtime
        request_id = new_id()
        watch = _Watch(receive)
        arrival: Arrival | None = None
        runtime.under_way += 1
        try:
            key = authenticate(scope, runtime.kept.keys)
            body = await read_body(scope, receive, runtime.plan.service.body_bytes)
            request = parse(body)
            arrival = arrived(runtime, scope, request, key, body)
            wish = request.options
            if (wish.queue or wish.webhook) and await known(runtime, arrival, request_id, send):
                return
            decision = runtime.router.decide(request, key, arrival.session)
            runtime.ledger.decision(decision)
            watch.begin()
            if request.stream:
                await self._stream(decision, request, request_id, send)
            else:
                answer, served = await runtime.dispatcher.complete(decision, request)
                await send_bytes(send, 200, answer.body, _headers(decision, served, request_id))
        except HeadgateError as error:
            watch.end()
            await turned_away(runtime, arrival, error, request_id, send)
        except ClientGone:
            pass
        except asyncio.CancelledError:
            if not watch.gone:
                raise
            _uncancel()  # the caller has left: all is recorded, nobody listens
        except Exception:
            log.exception("request %s failed", request_id)
            await send_error(send, HeadgateError("something went wrong here"), request_id)
        finally:
            runtime.under_way -= 1
            watch.end()

    async def _stream(
        self, decision: Decision, request: ChatRequest, request_id: str, send: Send
    ) -> None:
        stream = await self._runtime.dispatcher.open(decision, request)
        try:
            headers: Headers = [
                (b"content-type", b"text/event-stream; charset=utf-8"),
                (b"cache-control", b"no-cache"),
                *_headers(decision, stream.served, request_id, with_cost=False),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            tail = await _forward(decision, request, stream, request_id, send)
        finally:
            await stream.close()
        await send({"type": "http.response.body", "body": tail})


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
        text = msgspec.json.encode(error_body(error, request_id))
        return b"event: error\ndata: " + text + b"\n\n"
    if not request.wants_usage:
        return DONE
    event = _usage_event(decision, stream)
    return b"data: " + event + b"\n\n" + DONE


def _usage_event(decision: Decision, stream: ServedStream) -> bytes:
    """The last chunk: the provider's usage (or our estimate) and what it cost."""
    total = stream.served.usage
    fields: dict[str, msgspec.Raw] = {}
    usage: dict[str, msgspec.Raw] = {}
    if stream.usage_event:
        fields = _raw(stream.usage_event)
        usage = _raw(fields["usage"])
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
        (b"x-headgate-confidence", b"%.2f" % decision.task_confidence),
        (b"x-headgate-policy", f"{mark.name}@{mark.update_seq}".encode()),
        (b"x-headgate-overhead-ms", b"%.2f" % (served.overhead_s * 1e3)),
        (b"x-headgate-attempts", str(served.attempts).encode()),
        (b"x-headgate-cache", b"bypass"),
    ]
    if with_cost:
        headers.append((b"x-headgate-cost", _dollars(served.usage)))
    if served.fallback_from:
        headers.append((b"x-headgate-fallback-from", served.fallback_from.encode()))
    return headers


class _Watch:
    """Cancels the request's task when its caller leaves.

    Watching costs a task, so it begins only when the answer takes longer than a moment.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
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
