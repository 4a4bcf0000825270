"""The route of ratings: who rates, what that may hide, and whose ratings do not count."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from service.api.access import allowed
from service.api.schemas import ErrorAnswer
from service.monitoring.ratings import authors, report
from service.monitoring.responses import SETTLE_US
from service.runtime import Runtime
from service.storage.responses import DAY_US, drawn_responses
from service.storage.trust import authors_since, reasons_since

router = APIRouter(prefix="/admin/ratings")
MOST_SHOWN = 1_000
Days = Annotated[float, Query(gt=0.0, le=92.0, allow_inf_nan=False)]
Limit = Annotated[int, Query(ge=1, le=MOST_SHOWN)]


@router.get("", responses={"4XX": {"model": ErrorAnswer}})
async def ratings(request: Request, days: Days = 7.0, limit: Limit = 100) -> dict[str, Any]:
    """Rates of response by deployment and task with what the silent may hide, and of authors (key
    ids alone) how many of their ratings counted.
    """
    runtime, _ = allowed(request, "analyst")
    return await asyncio.to_thread(_read, runtime, days, limit)


def _read(runtime: Runtime, days: float, limit: int) -> dict[str, Any]:
    cursor, metric = runtime.kept.database.cursor(), runtime.plan.reward.metric
    until_us = runtime.clock.wall_us() - SETTLE_US
    since_us = until_us - int(days * DAY_US)
    cells = drawn_responses(cursor, metric, since_us, until_us)
    weights = runtime.intake.weights
    shown: dict[str, Any] = {"days": days, "metric": metric, "weighed": False, "authors": []}
    if weights is not None:
        trust = weights.trust
        shown["weighed"] = trust.rules is not None
        rows = authors_since(cursor, since_us, limit)
        shown["authors"] = authors(rows, trust.trust, trust.seen_of)
    return shown | {"uncounted": reasons_since(cursor, since_us)} | report(cells)
