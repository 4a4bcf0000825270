"""Of which task a request is: told without routing it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from service.api.access import allowed
from service.api.admission import read_request
from service.api.schemas import ErrorAnswer
from service.routing.classified import told
from service.runtime import Runtime

router = APIRouter(prefix="/v1")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


@router.post("/classify", responses=_ERRORS)
async def classify(request: Request) -> dict[str, Any]:
    """The task of a request, from where, how surely, and how it would go on; nothing is logged.

    The body is that of ``/v1/chat/completions``.
    """
    runtime, key = allowed(request, "caller")
    chat = await read_request(runtime, await request.body())
    asked = runtime.router.reading(chat, key, request.headers.get("x-session-id", ""))
    return told(asked, runtime.router.table.finder)


def standing(runtime: Runtime) -> dict[str, Any] | None:
    """How tasks are found now, for the status; None without a taxonomy."""
    finder = runtime.router.table.finder
    if finder is None:
        return None
    current = finder.current
    return {
        "classifier": current.version if current is not None else None,
        "tasks": list(current.tasks) if current is not None else [],
        "threshold": finder.threshold,
        "safe": list(finder.safe),
        "setback": finder.setback or None,
        "asked": dict(sorted(runtime.asker.counts.items())),
    }


def troubles(runtime: Runtime) -> list[str]:
    """What an operator should know of it."""
    finder = runtime.router.table.finder
    if finder is None or not finder.setback:
        return []
    return [f"the plan's task classifier could not be fitted, rules decide alone: {finder.setback}"]
