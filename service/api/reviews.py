"""The operators' routes to the queue of human review."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from service.api.access import allowed, author, person
from service.api.schemas import ErrorAnswer, ReviewerBody, RulingBody
from service.api.shown_reviews import shown_review, shown_subject
from service.domain.errors import NotFound
from service.domain.reviews import Holder, Kind, Turn
from service.people.asked import Found, Ruled
from service.people.desk import Sought

router = APIRouter(prefix="/admin/review")
MOST_SHOWN = 1_000
FARTHEST = 10_000
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
Limit = Annotated[int, Query(ge=1, le=MOST_SHOWN)]
Offset = Annotated[int, Query(ge=0, le=FARTHEST)]
Reviewer = Annotated[str, Query(max_length=100)]
Days = Annotated[float, Query(gt=0.0, le=366.0, allow_inf_nan=False)]


@router.get("", responses=_ERRORS)
async def reviews(
    request: Request,
    state: Literal["open", "claimed", "decided", "defaulted"] = "open",
    kind: Kind | None = None,
    mine: Reviewer = "",
    limit: Limit = MOST_SHOWN,
    offset: Offset = 0,
) -> dict[str, Any]:
    """What waits for a person, oldest first (claimed ones included; ``claimed``: these alone), or
    what was decided or left to its default, newest first. ``mine``: what that reviewer has claimed,
    or decided, with the same key.
    """
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    desk, wanted = runtime.people.desk, kind or ""
    holder, past = Holder(key.id, mine) if mine else None, offset + limit + 1
    if state in ("open", "claimed"):
        sought = Sought(wanted, key.tenant, state == "claimed", holder)
        page = desk.open(offset, past, sought)
    else:
        most = past if holder is None else FARTHEST
        found = await asyncio.to_thread(desk.ended, wanted, Turn(state), key.tenant, most)
        page = [each for each in found if holder is None or _is_of(each, holder)][offset:past]
    return {
        "reviews": [shown_review(each) for each in page[:limit]],
        "more": len(page) > limit,
    }


def _is_of(found: Found, holder: Holder) -> bool:
    end = found.end
    return end is not None and end.reviewer == holder.reviewer and end.key_id in ("", holder.key_id)


@router.get("/stats", responses=_ERRORS)
async def stats(request: Request) -> dict[str, Any]:
    """What waits and for how long, and what was decided within a week, by kind."""
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    return await asyncio.to_thread(runtime.people.stats, key.tenant)


@router.get("/quality", responses=_ERRORS)
async def quality(request: Request, days: Days = 30.0) -> dict[str, Any]:
    """How well requests are classified, by what people said of those that were drawn."""
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    return await asyncio.to_thread(runtime.people.quality, days, key.tenant)


@router.get("/{review_id}", responses=_ERRORS)
async def review(request: Request, review_id: str) -> dict[str, Any]:
    """One review with what is known of its subject; no prompt and no answer."""
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    found = await asyncio.to_thread(runtime.people.desk.find, review_id)
    if found is None or (key.tenant and found.item.tenant != key.tenant):
        raise NotFound("no review of that id")
    shown = shown_review(found)
    if found.item.decision_id is not None and found.item.kind != Kind.REFUSAL:
        shown["subject_known"] = await shown_subject(runtime, found.item)
    return shown


@router.post("/{review_id}/claim", responses=_ERRORS)
async def claim(request: Request, review_id: str, body: ReviewerBody) -> dict[str, Any]:
    """Work on a review until the lease lapses, or renew the lease; durable."""
    runtime, key = allowed(request, "operator", tenant_scoped=True)
    holder = Holder(key.id, author(body.reviewer, key))
    return shown_review(await runtime.people.desk.claim(review_id, holder, key.tenant))


@router.post("/{review_id}/release", responses=_ERRORS)
async def release(request: Request, review_id: str, body: ReviewerBody) -> dict[str, Any]:
    """Let go of a review, so that another may claim it; durable."""
    runtime, key = allowed(request, "operator", tenant_scoped=True)
    holder = Holder(key.id, author(body.reviewer, key))
    return shown_review(await runtime.people.desk.release(review_id, holder, key.tenant))


@router.post("/{review_id}/decide", responses=_ERRORS)
async def decide(request: Request, review_id: str, body: RulingBody) -> dict[str, Any]:
    """End a review by a verdict of its kind; durable, with all that follows from it."""
    runtime, key = allowed(request, "operator", tenant_scoped=True)
    ruled = Ruled(
        body.verdict, author(body.reviewer, key), body.note, key, body.idempotency_key,
        person(request, key),
    )  # fmt: skip
    return shown_review(await runtime.people.desk.decide(review_id, ruled, key.tenant))
