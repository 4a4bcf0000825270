"""What becomes of a chat completion that no deployment could serve: a ticket, or the refusal."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from service.api.asgi import Headers, Scope, Send, header, send_bytes, send_error
from service.api.workflow_chat import PREFIX as WORKFLOW
from service.domain.chat import ChatRequest
from service.domain.errors import BudgetExceeded, HeadgateError, InvalidRequest
from service.domain.modalities import CHAT
from service.domain.records import Key
from service.domain.tickets import Ticket
from service.queueing.desk import NOBODY, Arrival
from service.runtime import Runtime

MAX_KEY = 255
MOST_RETRY_S = 3_600


def arrived(runtime: Runtime, scope: Scope, request: ChatRequest, key: Key, body: bytes) -> Arrival:
    """A request as it came, its headers read."""
    mark = header(scope, b"idempotency-key") if request.options.queue else ""
    session = header(scope, b"x-session-id")
    return Arrival(request, key, body, session, mark, runtime.clock.monotonic_s())


async def known(runtime: Runtime, arrival: Arrival, request_id: str, send: Send) -> bool:
    """Whether the request was answered with the ticket that its Idempotency-Key got before.

    Raises InvalidRequest for what cannot be queued here.
    """
    if not arrival.request.options.queue:
        raise InvalidRequest(
            "headgate.webhook tells of a queued request; give queue: true with it",
            param="headgate.webhook",
            code="invalid_option",
        )
    if runtime.queue is None:
        raise InvalidRequest(
            "headgate.queue is not offered here: the operators must set queue.enabled in the "
            "plan; leave the option out",
            param="headgate.queue",
            code="invalid_option",
        )
    if len(arrival.idempotency) > MAX_KEY:
        raise InvalidRequest(
            f"Idempotency-Key must have at most {MAX_KEY} characters", param="Idempotency-Key"
        )
    ticket = await runtime.queue.desk.before(arrival)
    if ticket is None:
        return False
    await _accepted(runtime, ticket, request_id, send)
    return True


Tell = Callable[[Send, HeadgateError, str], Awaitable[None]]


async def turned_away(
    runtime: Runtime,
    arrival: Arrival | None,
    error: HeadgateError,
    request_id: str,
    send: Send,
    tell: Tell = send_error,
) -> None:
    """Answer a request that failed: 202 with a ticket where that was asked for and helps."""
    waits = isinstance(error, NOBODY) or (isinstance(error, BudgetExceeded) and error.queued)
    if arrival is None or not waits or not _may_wait(arrival.request):
        await tell(send, error, request_id)
        return
    if _open_to_all(arrival.request) and not error.willed:
        runtime.outage.failed(error.code, error.message)
    if runtime.queue is not None:
        try:
            if arrival.request.options.queue:
                ticket = await runtime.queue.desk.take(arrival, error)
                await _accepted(runtime, ticket, request_id, send)
                return
            error.message += "; with headgate.queue true it is kept and answered later"
        except HeadgateError as refusal:
            error = refusal
    await tell(send, error, request_id)


async def _accepted(runtime: Runtime, ticket: Ticket, request_id: str, send: Send) -> None:
    assert runtime.queue is not None
    shown = await runtime.queue.desk.shown(ticket)
    shown.pop("answer", None)  # it is given out where it is polled
    shown.pop("headgate", None)
    headers: Headers = [
        (b"x-request-id", request_id.encode()),
        (b"location", shown["poll_url"].encode()),
        (b"retry-after", str(retry_after_s(shown)).encode()),
    ]
    await send_bytes(send, 202, msgspec.json.encode(shown), headers)


def retry_after_s(shown: dict[str, Any]) -> int:
    """Whole seconds until it is worth asking again; at once for what has ended."""
    eta_s: float = shown.get("eta_s", 0.0)
    return min(max(1, math.ceil(eta_s)), MOST_RETRY_S)


def _may_wait(request: ChatRequest) -> bool:
    """Whether its like is ever given a ticket."""
    return request.modality == CHAT and not request.model.startswith(WORKFLOW)


def _open_to_all(request: ChatRequest) -> bool:
    """Whether any deployment might have served it, so that its failure tells of an outage."""
    options = request.options
    narrow = options.deployments or options.exclude or options.max_cost_usd or options.min_quality
    return not narrow and request.model.split(":")[0] == "auto"
