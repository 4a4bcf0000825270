"""The administrators' routes of keys: made, listed, revoked, rotated."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service.api.access import allowed, author, signed
from service.api.budgets import KeyLimit, record
from service.api.four_eyes import Raises, raises_exposure
from service.api.schemas import Author, ErrorAnswer, Text
from service.api.shown import when
from service.domain.acting import ITSELF, Told
from service.domain.errors import (
    Conflict,
    NotFound,
    PermissionDenied,
    StorageUnavailable,
    Unprocessable,
)
from service.domain.records import Key
from service.runtime import Runtime
from service.storage.keys import ROLES, Standing

router = APIRouter(prefix="/admin/keys")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,63}$")]
STRONG = ("operator", "administrator")  # whose keys raise what can be done
MOST_S = 3_650 * 86_400.0
MOST_SHOWN = 1_000
Limit = Annotated[int, Query(ge=1, le=MOST_SHOWN)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


class KeyBody(BaseModel):
    """A key to be."""

    model_config = ConfigDict(extra="forbid")

    name: Label
    role: str = "caller"
    tenant: Annotated[str, Field(max_length=64)] = ""
    tier: Annotated[str, Field(max_length=64)] = ""
    expires_in_s: Annotated[float, Field(gt=0.0, le=MOST_S, allow_inf_nan=False)] | None = None
    budget: KeyLimit | None = None
    reason: Text = ""
    author: Author | None = None
    break_glass: bool = False


class EndBody(BaseModel):
    """Why a key is revoked."""

    model_config = ConfigDict(extra="forbid")

    reason: Text = ""
    author: Author | None = None


class RotateBody(EndBody):
    """A new secret. ``grace_s``: for how long the one before is valid beside it."""

    grace_s: Annotated[float, Field(ge=0.0, le=30 * 86_400.0, allow_inf_nan=False)] = 3_600.0
    break_glass: bool = False


@router.get("", responses=_ERRORS)
async def list_keys(
    request: Request, limit: Limit = MOST_SHOWN, offset: Offset = 0
) -> dict[str, Any]:
    """A page of the keys without their secrets, which are kept nowhere; of a tenant's its own."""
    runtime, key = allowed(request, "administrator", tenant_scoped=True)
    found = [each for each in runtime.kept.keys.standings() if _reaches(key, each.key)]
    page = found[offset : offset + limit]
    return {"keys": [shown(each) for each in page], "more": len(found) > offset + limit}


@router.post("", status_code=201, responses=_ERRORS)
async def create(request: Request, response: Response, body: KeyBody) -> dict[str, Any]:
    """Make a key: durable when it is answered, and shown in this answer and never again."""
    runtime, key = allowed(request, "administrator", tenant_scoped=True)
    wanted = _wanted(runtime, key, body)
    async with runtime.key_changes:
        keys = runtime.kept.keys
        taken = keys.named(body.name)
        if taken is not None:
            raise Conflict(f"a key has the name {body.name}; give another", param="name")
        if body.role in STRONG:
            raises = Raises("key.create", f"{body.name} ({body.role})")
            await raises_exposure(request, key, body, raises)
        made, secret = keys.made(wanted)
        told = Told("key.created", made.id, body.reason, author(body.author, key),
                    {"key": key.id}, None, _changed(made))  # fmt: skip
        await _durable(runtime, made, signed(request, key, told))
        keys.put(made)
        if body.budget is not None:
            limit = record(made.id, made.at_us, body.budget, author(body.author, key), body.reason)
            told = Told("key.budget", made.id, body.reason, limit.author, {"key": key.id}, None,
                        body.budget.model_dump())  # fmt: skip
            await runtime.budgets.put(limit, signed(request, key, told))
    response.headers["cache-control"] = "no-store"
    return shown(keys.standing(made)) | {"key": secret}


@router.post("/{key_id}/revoke", responses=_ERRORS)
async def revoke(request: Request, key_id: str, body: EndBody) -> dict[str, Any]:
    """End a key: from the next request on it opens nothing. It acts first and is then made durable,
    as all that reduces exposure.
    """
    runtime, key = allowed(request, "administrator", tenant_scoped=True)
    async with runtime.key_changes:
        keys = runtime.kept.keys
        found = _found(runtime, key, key_id)
        if keys.last_administrator(found):
            raise Conflict(
                "this is the last administrator's key: without it nobody could make another; make "
                "one first, or start the service with HEADGATE_BOOTSTRAP_KEY",
                code="last_administrator",
            )
        ended = keys.revoked(found)
        told = Told("key.revoked", found.id, body.reason, author(body.author, key),
                    {"key": key.id}, _changed(found), None)  # fmt: skip
        act = signed(request, key, told)
        keys.put(ended)
        try:
            await _durable(runtime, ended, act)
        except StorageUnavailable as error:
            for record in (ended, act):
                runtime.kept.log.append(record)
            raise StorageUnavailable(
                "the key opens nothing any more, but that is not durable yet: it is logged as soon "
                "as the log can be written",
                retry_after_s=error.retry_after_s,
            ) from None
    return shown(keys.standing(ended))


@router.post("/{key_id}/rotate", responses=_ERRORS)
async def rotate(
    request: Request, response: Response, key_id: str, body: RotateBody
) -> dict[str, Any]:
    """Give a key a new secret; the old one is valid until the grace ends. The key stays the same:
    its decisions, tickets and limits are kept. Operators may rotate their own; who rotates
    another operator's key could be that person, so that raises exposure.
    """
    runtime, key = allowed(request, "operator", tenant_scoped=True)
    if key_id not in (key.id, key.name):
        runtime, key = allowed(request, "administrator", tenant_scoped=True)
    async with runtime.key_changes:
        keys = runtime.kept.keys
        found = _found(runtime, key, key_id)
        if keys.by_id(found.id) is None:
            raise Conflict("the key has expired; make a new one")
        if found.id != key.id:
            allowed(request, "administrator", tenant_scoped=True)  # whatever the names of both
        if found.id != key.id and found.role in STRONG:
            raises = Raises("key.rotate", f"{found.name} ({found.role})", [found.id, found.at_us])
            await raises_exposure(request, key, body, raises)
        made, secret = keys.rotated(found, body.grace_s)
        told = Told("key.rotated", found.id, body.reason, author(body.author, key),
                    {"key": key.id, "grace_s": body.grace_s}, _changed(found),
                    _changed(made))  # fmt: skip
        await _durable(runtime, made, signed(request, key, told))
        keys.put(made)
    response.headers["cache-control"] = "no-store"
    return shown(keys.standing(made)) | {"key": secret}


def _wanted(runtime: Runtime, key: Key, body: KeyBody) -> Key:
    """The key that the body describes, or why there cannot be one."""
    if body.role not in ROLES:
        raise Unprocessable(f"role: one of {', '.join(ROLES)}", param="role")
    if body.name.casefold() == ITSELF:
        raise Unprocessable(f"name: {ITSELF} is the service itself; give another", param="name")
    tiers = runtime.plan.tiers
    if body.tier and body.tier not in tiers:
        known = ", ".join(tiers) or "none; the plan has no tiers"
        raise Unprocessable(f"tier: no tier of that name; known: {known}", param="tier")
    if key.tenant and body.tenant != key.tenant:
        raise PermissionDenied(f"a key of the tenant {key.tenant} makes keys of that tenant alone")
    expires_us = None
    if body.expires_in_s is not None:
        expires_us = runtime.clock.wall_us() + round(body.expires_in_s * 1e6)
    return Key("", 0, body.name, body.role, body.tenant, body.tier, "", expires_us=expires_us)


def _found(runtime: Runtime, key: Key, key_id: str) -> Key:
    found = runtime.kept.keys.named(key_id)
    if found is None or not _reaches(key, found):
        raise NotFound("no key of that id or name; see headgate keys list", param="key_id")
    if found.revoked:
        raise Conflict("this key is revoked already")
    return found


def _reaches(key: Key, other: Key) -> bool:
    return not key.tenant or key.tenant == other.tenant


async def _durable(runtime: Runtime, *records: object) -> None:
    await asyncio.shield(asyncio.wrap_future(runtime.kept.log.append_durable(*records)))


def _changed(key: Key) -> dict[str, Any]:
    """What the audit tells of a key before and after: never a secret, nor its digest."""
    return {
        "name": key.name, "role": key.role, "tenant": key.tenant or None, "tier": key.tier or None,
        "expires_us": key.expires_us, "old_secret_ends_us": key.old_ends_us,
    }  # fmt: skip


def shown(standing: Standing) -> dict[str, Any]:
    """A key as administrators see it."""
    key, used_us = standing.key, standing.used_us
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "tenant": key.tenant or None,
        "tier": key.tier or None,
        "state": standing.state,
        "created_at": when(standing.created_us),
        "last_used_at": None if used_us is None else when(used_us),
        "expires_at": None if key.expires_us is None else when(key.expires_us),
        "old_secret_until": when(key.old_ends_us)
        if standing.state == "rotating" and key.old_ends_us is not None
        else None,
    }
