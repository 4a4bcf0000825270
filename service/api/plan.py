"""The operators' routes on the plan: which one is in force, and reading it again."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from service.api import shown
from service.api.access import allowed, person
from service.api.schemas import ErrorAnswer
from service.domain.errors import Conflict

router = APIRouter(prefix="/admin/plan")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


@router.get("", responses=_ERRORS)
async def plan(request: Request) -> dict[str, Any]:
    """The plan in force, and the last one that was refused."""
    runtime, _ = allowed(request, "analyst")
    return shown.plan(runtime.plan_standing)


@router.post("/reload", responses=_ERRORS)
async def reload(request: Request) -> dict[str, Any]:
    """Read the plan's file again and take it between two requests; a bad one is refused whole."""
    runtime, key = allowed(request, "operator")
    if runtime.reload is None:
        raise Conflict("this service was not started from a plan file, so there is none to reload")
    who = person(request, key)
    return shown.plan(await runtime.reload(key.name, "POST /admin/plan/reload", who))
