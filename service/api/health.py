"""Is it alive, is it ready, what does it count. Never calls a model."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.access import runtime_of
from service.telemetry import CONTENT_TYPE

router = APIRouter()


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "live"}


@router.get("/health/ready")
async def ready(request: Request, response: Response) -> dict[str, Any]:
    """The service does all that it should; 503 with the reasons otherwise."""
    reasons = runtime_of(request).ready()
    if reasons:
        response.status_code = 503
    return {"status": "not ready" if reasons else "ready", "because": reasons}


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus text; labels come from configuration alone."""
    runtime = runtime_of(request)
    runtime.load.show()
    text = await asyncio.to_thread(runtime.telemetry.taken())
    return Response(text, media_type=CONTENT_TYPE)
