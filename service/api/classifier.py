"""The operators' routes to what the classifier of tasks has learned from people's labels."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from service.api.access import allowed, signature
from service.api.schemas import ErrorAnswer, LiftBody
from service.api.shown import when
from service.domain.errors import Conflict

router = APIRouter(prefix="/admin/classifier")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


@router.get("", responses=_ERRORS)
async def classifier(request: Request) -> dict[str, Any]:
    """Which classifier is in force (empty: the one without labels), and the last refits."""
    runtime, _ = allowed(request, "analyst")
    relearner = runtime.people.relearner
    if relearner is None:
        return {"classifying": False, "current": "", "acts": []}
    shown = await asyncio.to_thread(relearner.standing)
    shown["acts"] = [{**each, "at": when(each["at_us"])} for each in shown["acts"]]
    return shown


@router.post("/rollback", responses=_ERRORS)
async def rollback(request: Request, body: LiftBody) -> dict[str, Any]:
    """Back to the classifier before the one in force; durable, and in force when this returns."""
    runtime, key = allowed(request, "operator")
    by = signature(request, key, body)
    relearner = runtime.people.relearner
    if relearner is None:
        raise Conflict("there is no classifier", code="nothing_relearned")
    return await relearner.rollback(by.reason, by.author, by.who)
