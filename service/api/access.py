"""What every route that is not hot begins with: the runtime, the caller's key, who signs."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from typing import Protocol

from fastapi import Request

from service.api.auth import authenticate, has_role
from service.domain.acting import ITSELF, VISITOR, Person, Told, act_of
from service.domain.errors import PermissionDenied, Unprocessable
from service.domain.records import Act, Key
from service.feedback.promoting import Signature
from service.runtime import Runtime

REQUEST_ID = "headgate.request_id"  # in a request's scope
APPROVED = "headgate.approved"  # there too: the approval that is carried out; no caller can say so
NEEDS = "headgate.needs"


class Signed(Protocol):
    """A body that says why, and perhaps who."""

    author: str | None
    reason: str


def runtime_of(request: Request) -> Runtime:
    """The runtime of the app that serves the request."""
    runtime: Runtime = request.app.state.runtime
    return runtime


def allowed(request: Request, least: str, tenant_scoped: bool = False) -> tuple[Runtime, Key]:
    """The runtime, and the caller's key if it has at least the role. A tenant's key opens of the
    operators' routes those alone that say ``tenant_scoped``: they show and touch only its tenant's.
    """
    runtime = runtime_of(request)
    request.scope[NEEDS] = least
    approved = request.scope.get(APPROVED)
    visitor = request.scope.get(VISITOR)
    if approved is not None:
        key = has_role(approved.key, least)
    elif visitor is not None:
        key = has_role(visitor, least)
    else:
        key = authenticate(request.scope, runtime.kept.keys, least)
    if key.tenant and least != "caller" and not tenant_scoped:
        raise PermissionDenied(
            f"this is about all tenants, and the key is of the tenant {key.tenant}: use a key "
            "without a tenant; this one opens /v1, and of /admin its tenant's overrides, reviews, "
            "approvals, keys, budgets, costs and replays",
            code="tenant_key",
        )
    return runtime, key


def person(request: Request, key: Key) -> Person:
    """Who sends the request: its key, its address and its id."""
    host = request.client.host if request.client is not None else ""
    request_id: str = request.scope.get(REQUEST_ID, "")
    return Person(key.name or key.id, key.id, key.role, host, request_id)


def author(text: str | None, key: Key) -> str:
    """Who says that they want it; where nobody says so, the key's name."""
    told = (text or "").strip()
    seen = "".join(
        c for c in unicodedata.normalize("NFKC", told) if unicodedata.category(c) != "Cf"
    )
    if seen.strip().casefold() == ITSELF:
        raise Unprocessable(
            f"author: {ITSELF} is the service itself; give a person", param="author"
        )
    return told or key.name or key.id


def signature(request: Request, key: Key, body: Signed) -> Signature:
    """A body's author and reason with the person who sends it, for what logs the act itself."""
    cause = json.dumps(_approved(request))
    return Signature(author(body.author, key), body.reason, cause, person(request, key))


def signed(request: Request, key: Key, told: Told) -> Act:
    """An act of the request's person, now: every route that logs one makes it here."""
    told = replace(told, detail={**told.detail, **_approved(request)})
    return act_of(person(request, key), runtime_of(request).clock.wall_us(), told)


def _approved(request: Request) -> dict[str, str]:
    """Of an act that waited for a second person: which approval, and whose."""
    approved = request.scope.get(APPROVED)
    if approved is None:
        return {}
    return {"approval": approved.approval.id, "approved_by": approved.by.name}
