"""The operators' routes to the queue of human review."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, Request

from service.api import shown
from service.api.access import allowed, author, person
from service.api.schemas import ErrorAnswer, RulingBody
from service.domain.errors import NotFound
from service.routing.refusals import Ruling
from service.storage.reviews import Reviewed

router = APIRouter(prefix="/admin/review")
MOST_SHOWN = 1_000
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


@router.get("", responses=_ERRORS)
async def reviews(request: Request, state: Literal["open", "decided"] = "open") -> dict[str, Any]:
    """Refused requests that wait for a person, oldest first; or what was decided, newest first."""
    runtime, key = allowed(request, "analyst")
    store, now_us = runtime.refusals.reviews, runtime.clock.wall_us()
    if state == "open":
        found = [Reviewed(each, None) for each in store.open()]
    else:
        found = await asyncio.to_thread(store.decided, MOST_SHOWN)
    seen = [each for each in found if not key.tenant or each.review.tenant == key.tenant]
    return {"reviews": [_shown(each, now_us) for each in seen[:MOST_SHOWN]]}


@router.get("/{review_id}", responses=_ERRORS)
async def review(request: Request, review_id: str) -> dict[str, Any]:
    """One review, open or decided."""
    runtime, key = allowed(request, "analyst")
    found = await asyncio.to_thread(runtime.refusals.reviews.find, review_id)
    if found is None or (key.tenant and found.review.tenant != key.tenant):
        raise NotFound("no review of that id")
    return _shown(found, runtime.clock.wall_us())


@router.post("/{review_id}/decide", responses=_ERRORS)
async def decide(request: Request, review_id: str, body: RulingBody) -> dict[str, Any]:
    """Uphold the refusal, allow the request to be sent again, or dismiss the review; durable."""
    runtime, key = allowed(request, "operator")
    reviewer = author(body.reviewer, key)
    ruling = Ruling(body.verdict, reviewer, body.note, key.id, person(request, key))
    decided = await runtime.refusals.decide(review_id, ruling, key.tenant)
    return _shown(decided, runtime.clock.wall_us())


def _shown(found: Reviewed, now_us: int) -> dict[str, Any]:
    each, decision = found.review, found.decision
    return {
        "id": each.id,
        "state": "decided" if decision else "open",
        "incident": each.incident,
        "opened_at": shown.when(each.at_us),
        "due_at": shown.when(each.due_us),
        "left_s": (each.due_us - now_us) / 1e6,
        "overdue": decision is None and each.due_us < now_us,
        "decision_id": each.decision_id,
        "key_id": each.key_id,
        "tenant": each.tenant,
        "tier": each.tier,
        "unit": each.unit,
        "task": each.task,
        "deployment": each.deployment,
        "provider": each.provider,
        "word": each.word,
        "decision": decision
        and {
            "verdict": decision.verdict,
            "at": shown.when(decision.at_us),
            "reviewer": decision.reviewer,
            "note": decision.note,
        },
    }
