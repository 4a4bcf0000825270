"""The routes of reports: those that are kept, and one of them."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.api.access import allowed
from service.api.schemas import ErrorAnswer
from service.reporting import shelf

router = APIRouter(prefix="/admin/reports")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
_TYPES = {
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "json": "application/json",
    "yaml": "application/yaml; charset=utf-8",
}
# A page holds names and reasons that people typed: nothing in it may run or load.
_GUARD = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


@router.get("", responses=_ERRORS)
async def list_reports(request: Request) -> dict[str, Any]:
    """Weekly, monthly and quarterly reviews that are kept, by name."""
    runtime, _ = allowed(request, "analyst")
    found = await asyncio.to_thread(shelf.kept, runtime.kept.state_dir)
    return {
        "reports": [
            {"name": each.name, "bytes": each.bytes, "made_at": each.made} for each in found
        ]
    }


@router.get("/{name}", responses=_ERRORS, response_class=Response)
async def show(request: Request, name: str) -> Response:
    """One of them, as it lies there: a page, Markdown, JSON, or a proposed design."""
    runtime, _ = allowed(request, "analyst")
    text = await asyncio.to_thread(shelf.read, runtime.kept.state_dir, name)
    return Response(text, media_type=_TYPES[name.rsplit(".", 1)[1]], headers=_GUARD)
