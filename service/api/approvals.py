"""The routes of what waits for a second person: shown, approved, rejected, acknowledged."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service.api.access import allowed, author, person
from service.api.auth import has_role
from service.api.four_eyes import Carried, carry_out, close
from service.api.schemas import Author, ErrorAnswer
from service.api.shown import when
from service.domain.approvals import ACKNOWLEDGED, BROKE_GLASS, REJECTED, VOID, WAITS, Approval
from service.domain.errors import Conflict, NotFound, PermissionDenied
from service.domain.records import Key
from service.runtime import Runtime
from service.storage.trail import who_knows

router = APIRouter(prefix="/admin/approvals")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
MOST_SHOWN = 500


class RulingBody(BaseModel):
    """What a second person says."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=10, max_length=500)]
    author: Author | None = None


@router.get("", responses=_ERRORS)
async def list_approvals(request: Request) -> dict[str, Any]:
    """What waits, what was done without a second person and not looked at yet, and what ended."""
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    store = runtime.kept.approvals
    ended = await asyncio.to_thread(store.ended)
    seen = [a for a in store.open() if _reaches(runtime, key, a.key_id)]
    return {
        "four_eyes": runtime.plan.approvals.four_eyes,
        "open": [shown(each) for each in seen[:MOST_SHOWN]],
        "more": len(seen) > MOST_SHOWN,
        "ended": [
            {
                "id": row["id"], "act": row["act"], "subject": row["subject"],
                "asked_by": row["actor"], "how": row["how"], "by": row["ended_by"],
                "reason": row["end_reason"], "at": row["ended_at"].isoformat() + "Z",
            }
            for row in ended
            if _reaches(runtime, key, row["key_id"])
        ],
    }  # fmt: skip


@router.get("/{approval_id}", responses=_ERRORS)
async def show(request: Request, approval_id: str) -> dict[str, Any]:
    """One, with the request exactly as it was asked."""
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    found, end = runtime.kept.approvals.find(approval_id), None
    if found is None:
        was = await asyncio.to_thread(runtime.kept.approvals.was, approval_id)
        found, end = was or (None, None)
    if found is None or not _reaches(runtime, key, found.key_id):
        raise NotFound("no approval of that id; see headgate approvals list")
    told = shown(found) | {"request": {"path": found.path, "body": found.body}}
    if end is not None:
        told |= {"state": end["how"], "by": end["ended_by"], "end_reason": end["end_reason"]}
    return told


@router.post("/{approval_id}/approve", responses=_ERRORS)
async def approve(
    request: Request, response: Response, approval_id: str, body: RulingBody
) -> dict[str, Any]:
    """Let an act go on that another person has asked for: it is carried out now, as it was asked,
    unless what it acts on has changed since.
    """
    runtime, key = allowed(request, "operator", tenant_scoped=True)
    response.headers["cache-control"] = "no-store"  # the secret of a key may be in it
    async with runtime.approving:
        found = _open(runtime, key, approval_id, WAITS)
        has_role(key, found.needs)
        _second(found, key, body)
        await _own_secret(runtime, found, key)
        words, who = author(body.author, key), person(request, key)
        asker = runtime.kept.keys.by_id(found.key_id)
        if asker is None:
            await close(runtime, found, VOID, (who, words, "the key that asked is valid no more"))
            raise Conflict("the approval is void: the key that asked is valid no more",
                           code="approval_void")  # fmt: skip
        carried = Carried(found, asker, runtime, who, words, body.reason)
        status, content = await carry_out(request, carried)
        message = "" if status < 400 else str((content.get("error") or {}).get("message", ""))
        if not carried.begun and runtime.kept.approvals.find(found.id) is not None:
            await carried.end(VOID, message or "it asks for nothing that needs approval")
    if not carried.begun:
        raise Conflict(message or "the approval is void", code="approval_void")
    if status >= 400:
        raise Conflict(f"approved, but it could not be done: {message}", code="approved_and_failed")
    return {"id": found.id, "state": "approved", "status": status, "result": content}


@router.post("/{approval_id}/reject", responses=_ERRORS)
async def reject(request: Request, approval_id: str, body: RulingBody) -> dict[str, Any]:
    """Let it not be done. Who asked may take it back this way."""
    runtime, key = allowed(request, "operator", tenant_scoped=True)
    async with runtime.approving:
        found = _open(runtime, key, approval_id, WAITS)
        by = person(request, key), author(body.author, key), body.reason
        await close(runtime, found, REJECTED, by)
    return {"id": found.id, "state": REJECTED}


@router.post("/{approval_id}/acknowledge", responses=_ERRORS)
async def acknowledge(request: Request, approval_id: str, body: RulingBody) -> dict[str, Any]:
    """Another person has looked at what was done without one."""
    runtime, key = allowed(request, "operator", tenant_scoped=True)
    async with runtime.approving:
        found = _open(runtime, key, approval_id, BROKE_GLASS)
        _second(found, key, body)
        by = person(request, key), author(body.author, key), body.reason
        await close(runtime, found, ACKNOWLEDGED, by)
    return {"id": found.id, "state": ACKNOWLEDGED}


def _open(runtime: Runtime, key: Key, approval_id: str, kind: str) -> Approval:
    found = runtime.kept.approvals.find(approval_id)
    if found is None or not _reaches(runtime, key, found.key_id):
        raise NotFound("nothing of that id is open; see headgate approvals list")
    if found.kind != kind:
        told = "was done already: acknowledge it" if kind == WAITS else "waits: approve or reject"
        raise Conflict(f"this {told}")
    return found


def _second(approval: Approval, key: Key, body: RulingBody) -> None:
    """Another key and another name, neither of them the author."""
    asked = {approval.actor.casefold(), approval.author.casefold()}
    names = {(key.name or key.id).casefold(), *([body.author.casefold()] if body.author else [])}
    if key.id == approval.key_id or asked & names:
        raise PermissionDenied(
            "this takes a second person: another key than the one that asked, with another name "
            "than its name and its author's",
            code="second_person",
        )


async def _own_secret(runtime: Runtime, approval: Approval, key: Key) -> None:
    """Whoever was shown the secret of the approving key could be approving their own act."""
    cursor = runtime.kept.database.cursor()
    key_id, name = await asyncio.to_thread(who_knows, cursor, key.id)
    if key_id == approval.key_id or (name and name.casefold() == approval.actor.casefold()):
        raise PermissionDenied(
            f"{approval.actor} asked for this and was shown the secret of this key: first rotate "
            "it with itself (headgate keys rotate)",
            code="second_person",
        )


def _reaches(runtime: Runtime, key: Key, asker_id: str) -> bool:
    asker = runtime.kept.keys.named(asker_id)
    return not key.tenant or (asker is not None and asker.tenant == key.tenant)


def shown(approval: Approval) -> dict[str, Any]:
    """One that is open, as operators see it."""
    waits = approval.kind == WAITS
    return {
        "id": approval.id,
        "state": "waiting" if waits else "to be acknowledged",
        "act": approval.act,
        "subject": approval.subject,
        "asked_by": approval.actor,
        "author": approval.author,
        "reason": approval.reason,
        "from": approval.ip,
        "needs": approval.needs,
        "asked_at": when(approval.at_us),
        "expires_at": when(approval.expires_us) if waits else None,
    }


def held(approval: Approval) -> dict[str, Any]:
    """The answer of 202."""
    return {
        "approval": approval.id,
        **shown(approval),
        "message": f"{approval.act} waits for a second person: headgate approvals approve "
        f"{approval.id}",
    }
