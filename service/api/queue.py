"""The operators' routes of the queue: what waits, what died, another try, an end."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from service.api.access import allowed, author, runtime_of, signed
from service.api.schemas import ErrorAnswer, LiftBody
from service.domain.acting import Told
from service.domain.clock import parse_id
from service.domain.errors import Conflict, NotFound
from service.domain.records import Key
from service.domain.tickets import State, Ticket
from service.queueing.whole import Queue
from service.runtime import Runtime

router = APIRouter(prefix="/admin/queue")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


@router.get("", responses=_ERRORS)
async def overview(request: Request) -> dict[str, Any]:
    """Counts, the oldest, the eta, the tickets that wait and those that died; no bodies."""
    runtime, _ = allowed(request, "analyst")
    outage = runtime.outage.current
    shown: dict[str, Any] = {"enabled": False}
    if runtime.queue is not None:
        shown = await runtime.queue.desk.overview()
    return shown | {"outage": None if outage is None else outage.reason}


@router.get("/{ticket_id}", responses=_ERRORS)
async def show(request: Request, ticket_id: str) -> dict[str, Any]:
    """One ticket, without its bodies."""
    runtime, _ = allowed(request, "analyst")
    queue, found = await _ticket(runtime, ticket_id)
    return queue.desk.entry(found)


@router.post("/{ticket_id}/retry", responses=_ERRORS)
async def retry(request: Request, ticket_id: str, body: LiftBody) -> dict[str, str]:
    """Let a dead or expired ticket wait again, with fresh tries and its first deadline."""
    runtime, key = allowed(request, "operator")
    queue, found = await _ticket(runtime, ticket_id)
    if found.state not in (State.DEAD, State.EXPIRED):
        raise Conflict(f"the ticket is {found.state.value}; only one that died is tried again")
    await _act(request, key, "queue.retried", found, body)
    if not await queue.desk.retry(found.id):
        raise Conflict("the ticket has changed meanwhile; look at it again")
    return {"id": found.id, "status": "queued"}


@router.post("/{ticket_id}/drop", responses=_ERRORS)
async def drop(request: Request, ticket_id: str, body: LiftBody) -> dict[str, str]:
    """Erase a ticket, whatever its state, its prompt and answer included."""
    runtime, key = allowed(request, "operator")
    queue, found = await _ticket(runtime, ticket_id)
    await _act(request, key, "queue.dropped", found, body)
    await queue.desk.remove(found.id)
    return {"id": found.id, "status": "dropped"}


async def _ticket(runtime: Runtime, text: str) -> tuple[Queue, Ticket]:
    identity = parse_id(text)
    if runtime.queue is not None and identity is not None:
        found = await runtime.queue.desk.find(identity)
        if found is not None:
            return runtime.queue, found
    raise NotFound("no ticket of that id", param="ticket_id", code="ticket_not_found")


async def _act(request: Request, key: Key, act: str, found: Ticket, body: LiftBody) -> None:
    """Logged before it is done, so that nothing is done unseen."""
    runtime, state = runtime_of(request), {"state": found.state.value}
    detail = {"key": key.id, **state, "owner": found.key_id}
    after = {"state": State.WAITING.value} if act == "queue.retried" else None
    told = Told(act, found.id, body.reason, author(body.author, key), detail, state, after)
    await asyncio.wrap_future(runtime.kept.log.append_durable(signed(request, key, told)))
