"""The route of trends: what has changed over days and weeks."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from service.api.access import allowed
from service.api.schemas import ErrorAnswer

router = APIRouter(prefix="/admin/trends")


@router.get("", responses={"4XX": {"model": ErrorAnswer}})
async def trends(request: Request) -> dict[str, Any]:
    """The changes of daily series that are no chance, the gravest first, as of the last whole day;
    ``pending`` until the first look after a start is done.
    """
    runtime, _ = allowed(request, "analyst")
    current = runtime.trends.current
    if current is None:
        return {"pending": True, "findings": []}
    return {"pending": False, **current.to_dict()}
