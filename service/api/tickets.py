"""The callers' routes of the queue: a ticket, its end by hand, the webhooks' secret."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from service.api.access import allowed
from service.api.queued import retry_after_s
from service.api.schemas import ErrorAnswer
from service.domain.clock import parse_id
from service.domain.errors import NotFound
from service.domain.records import Key
from service.domain.tickets import Ticket
from service.queueing.whole import Queue
from service.runtime import Runtime

router = APIRouter(prefix="/v1/tickets")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


@router.get("/signing-secret", responses=_ERRORS)
async def signing_secret(request: Request, response: Response) -> dict[str, str]:
    """The secret that signs the webhooks of the key that asks; it is the same each time."""
    runtime, key = allowed(request, "caller")
    if runtime.queue is None:
        raise NotFound("there is no queue here: the plan's queue.enabled is false")
    response.headers["cache-control"] = "no-store"
    return {"algorithm": "HMAC-SHA256", "secret": runtime.queue.signing_secret(key.id)}


@router.get("/{ticket_id}", responses=_ERRORS, response_class=Response)
async def ticket(request: Request, ticket_id: str) -> Response:
    """A ticket: queued, running, done (with its answer), dead or expired (with why)."""
    runtime, key = allowed(request, "caller")
    queue, found = await _own(runtime, key, ticket_id)
    shown = await queue.desk.shown(found)
    if found.answer is not None:
        await queue.desk.fetched(found)
    headers = {"cache-control": "no-store"}
    if shown["status"] in ("queued", "running"):
        headers["retry-after"] = str(retry_after_s(shown))
    return Response(msgspec.json.encode(shown), media_type="application/json", headers=headers)


@router.delete("/{ticket_id}", responses=_ERRORS)
async def cancel(request: Request, ticket_id: str) -> dict[str, str]:
    """Take a ticket back: it is not tried again, and its prompt and answer are erased."""
    runtime, key = allowed(request, "caller")
    queue, found = await _own(runtime, key, ticket_id)
    await queue.desk.remove(found.id)
    return {"id": found.id, "object": "headgate.ticket", "status": "cancelled"}


async def _own(runtime: Runtime, key: Key, text: str) -> tuple[Queue, Ticket]:
    """A ticket that this key may see; another's does not exist for it."""
    identity = parse_id(text)
    if runtime.queue is not None and identity is not None:
        found = await runtime.queue.desk.find(identity)
        if found is not None and _may_see(key, found):
            return runtime.queue, found
    raise NotFound("no ticket of that id", param="ticket_id", code="ticket_not_found")


def _may_see(key: Key, found: Ticket) -> bool:
    return key.id == found.key_id or (bool(key.tenant) and key.tenant == found.tenant)
