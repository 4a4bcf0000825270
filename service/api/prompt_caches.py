"""The route of prompt caches: what they saved at the providers, by deployment and day."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from service.api.access import allowed
from service.api.costs import Moment, span_us
from service.api.schemas import ErrorAnswer
from service.domain.errors import StorageUnavailable
from service.storage.errors import StorageError
from service.storage.prompt_caches import CachesAsked, prompt_caches

router = APIRouter(prefix="/admin/prompt-caches")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


@router.get("", responses=_ERRORS)
async def saved(request: Request, since: Moment = None, until: Moment = None) -> dict[str, Any]:
    """What cached input saved, and what writing it cost, of the calls that ended in a time (the
    last 28 days). A tenant's key sees its tenant's.
    """
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    asked = CachesAsked(*span_us(runtime, since, until), key.tenant or None)
    async with runtime.costing:
        try:
            await asyncio.wrap_future(runtime.kept.log.flush())
            return await asyncio.to_thread(prompt_caches, runtime.kept.database.cursor(), asked)
        except StorageError:
            raise StorageUnavailable(
                "this cannot be read from the log now; try again", retry_after_s=5.0
            ) from None
