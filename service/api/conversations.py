"""Kept conversations for their callers: shown whole, erased, erased by user; kept responses."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request

from service.api.access import allowed, person
from service.api.responses import stored
from service.api.schemas import ErrorAnswer
from service.api.shown import when
from service.domain.acting import Person, Told, act_of
from service.domain.clock import parse_id, response_id
from service.domain.conversations import SCHEMA, Conversation, Turn, entities, preferences
from service.domain.errors import NotFound
from service.orchestration.conversation.keeping import Conversations
from service.runtime import Runtime

router = APIRouter()
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
Label = Annotated[str, Query(max_length=128)]


@router.get("/v1/conversations/{name}", responses=_ERRORS)
async def conversation(request: Request, name: str, tenant: Label = "") -> dict[str, Any]:
    """A kept conversation, whole: its turns and all that is kept of it. ``tenant``: the label that
    its requests carried, of a key without a tenant.
    """
    runtime, key = allowed(request, "caller")
    desk = _desk(runtime)
    found = await desk.find(desk.owner(key, tenant), name)
    if found is None:
        raise _unknown("conversation")
    return exported(found)


@router.delete("/v1/conversations/{name}", responses=_ERRORS)
async def erase(request: Request, name: str, tenant: Label = "") -> dict[str, Any]:
    """Erase a conversation: nothing of what was said in it stays in any file."""
    runtime, key = allowed(request, "caller")
    desk = _desk(runtime)
    if not await desk.erase(desk.owner(key, tenant), name):
        raise _unknown("conversation")
    _acted(runtime, person(request, key), "conversation.erased", 1)
    return {"id": name, "object": "conversation.deleted", "deleted": True}


@router.delete("/v1/users/{user}/conversations", responses=_ERRORS)
async def erase_user(request: Request, user: str) -> dict[str, Any]:
    """Erase all conversations of a user (the field ``user`` of their requests) that this key may
    see.
    """
    runtime, key = allowed(request, "caller")
    gone = await _desk(runtime).erase_person(user, key)
    _acted(runtime, person(request, key), "conversation.user_erased", gone)
    return {"object": "user.conversations.deleted", "deleted": gone}


@router.delete("/admin/users/{user}/conversations", responses=_ERRORS)
async def erase_everywhere(request: Request, user: str) -> dict[str, Any]:
    """Erase all conversations of a user, whichever key or tenant they came by."""
    runtime, key = allowed(request, "operator")
    gone = await _desk(runtime).erase_person(user, None)
    _acted(runtime, person(request, key), "conversation.user_erased", gone)
    return {"object": "user.conversations.deleted", "deleted": gone}


@router.get("/v1/responses/{response}", responses=_ERRORS)
async def response(request: Request, response: str, tenant: Label = "") -> dict[str, Any]:
    """A kept response, in the form of Responses."""
    runtime, key = allowed(request, "caller")
    desk, identity = _desk(runtime), parse_id(response)
    found = await desk.holding(desk.owner(key, tenant), identity) if identity else None
    if found is None:
        raise _unknown("response")
    kept, number = found
    turn = next(each for each in kept.turns if each.number == number)
    return stored(kept.id, turn)


@router.delete("/v1/responses/{response}", responses=_ERRORS)
async def erase_response(request: Request, response: str, tenant: Label = "") -> dict[str, Any]:
    """Erase a kept response with what was asked for it, and the turns that a tool's call binds to
    it; the rest of its conversation stays.
    """
    runtime, key = allowed(request, "caller")
    desk, identity = _desk(runtime), parse_id(response)
    gone = await desk.erase_turn(desk.owner(key, tenant), identity) if identity else 0
    if not gone:
        raise _unknown("response")
    _acted(runtime, person(request, key), "conversation.turn_erased", 1)
    return {"id": response, "object": "response", "deleted": True}


def _desk(runtime: Runtime) -> Conversations:
    if runtime.conversations is None:
        raise NotFound("no conversations are kept here: the plan's conversations.enabled is false")
    return runtime.conversations


def _unknown(what: str) -> NotFound:
    return NotFound(f"no kept {what} of that id", param="id", code=f"{what}_not_found")


def _acted(runtime: Runtime, who: Person, act: str, count: int) -> None:
    """Logged without a name: who asked for it, and how many were erased."""
    told = Told(act, "conversations", "asked for", "", {"erased": count})
    runtime.kept.log.append(act_of(who, runtime.clock.wall_us(), told))


def exported(kept: Conversation) -> dict[str, Any]:
    """The context object, as JSON."""
    summary = kept.summary
    return {
        "id": kept.id,
        "object": "conversation",
        "schema": SCHEMA,
        "created_at": kept.created_us // 1_000_000,
        "seen_at": when(kept.seen_us),
        "revision": kept.revision,
        "metadata": {},
        "system": [_message(raw) for raw in kept.system],
        "pinned": list(kept.pins),
        "preferences": preferences(kept),
        "entities": entities(kept),
        "summary": summary and {"text": summary.text, "through": summary.through,
                                "deployment": summary.deployment},
        "turns": [_turn(turn) for turn in kept.turns],
    }  # fmt: skip


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "number": turn.number,
        "at": when(turn.at_us),
        "decision_id": turn.decision_id,
        "response_id": response_id(turn.decision_id, "resp_"),
        "deployment": turn.deployment,
        "messages": [_message(raw) for raw in turn.messages],
        "notes": [
            {"kind": n.kind, "said_by": n.said_by, "text": n.text, "weight": n.weight}
            for n in turn.notes
        ],
        "tokens": turn.tokens,
    }


def _message(raw: bytes) -> Any:
    return msgspec.json.decode(raw)
