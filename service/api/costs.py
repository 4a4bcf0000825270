"""The routes of costs: what was spent, divided by any labels; and what was saved, by what."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from service.api.access import allowed
from service.api.schemas import ErrorAnswer
from service.domain.errors import StorageUnavailable, Unprocessable
from service.runtime import Runtime
from service.storage.batch_savings import SavingsAsked
from service.storage.costs import CostsAsked, costs, plain
from service.storage.errors import StorageError
from service.storage.savings import savings

router = APIRouter(prefix="/admin/costs")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
DAY_US = 86_400_000_000
By = Annotated[str, Query(max_length=200)]
Moment = Annotated[datetime | None, Query()]


@router.get("", responses=_ERRORS)
async def spent(
    request: Request, by: By = "tenant", since: Moment = None, until: Moment = None
) -> dict[str, Any]:
    """Spend of the calls that ended in a time (the last 28 days), ``by`` any of tenant, key,
    feature, tag, deployment, task, model, role, provider, tier, day and month; exact, failed and
    shadow spend apart. A tenant's key sees its tenant's.
    """
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    since_us, until_us = span_us(runtime, since, until)
    names = tuple(name.strip() for name in by.split(",") if name.strip())
    asked = CostsAsked(names, since_us, until_us, key.tenant or None)
    async with runtime.costing:
        try:
            await asyncio.wrap_future(runtime.kept.log.flush())
            found = await asyncio.to_thread(costs, runtime.kept.database.cursor(), asked)
        except ValueError as error:
            raise Unprocessable(f"by: {error}", param="by") from None
        except StorageError:
            raise StorageUnavailable(
                "this cannot be read from the log now; try again", retry_after_s=5.0
            ) from None
    return plain(found, asked)


@router.get("/saved", responses=_ERRORS)
async def saved(request: Request, since: Moment = None, until: Moment = None) -> dict[str, Any]:
    """What was spent in a time (the last 28 days), and what kept answers, providers' prompt caches
    and batches saved beside it; parts that do not overlap. A tenant's key sees its tenant's.
    """
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    asked = SavingsAsked(*span_us(runtime, since, until), key.tenant or None)
    async with runtime.costing:
        try:
            await asyncio.wrap_future(runtime.kept.log.flush())
            return await asyncio.to_thread(savings, runtime.kept.database.cursor(), asked)
        except StorageError:
            raise StorageUnavailable(
                "this cannot be read from the log now; try again", retry_after_s=5.0
            ) from None


def span_us(runtime: Runtime, since: datetime | None, until: datetime | None) -> tuple[int, int]:
    """From when to when, where not said the last 28 days; raises Unprocessable."""
    until_us = runtime.clock.wall_us() + 1 if until is None else _us(until)
    since_us = until_us - 28 * DAY_US if since is None else _us(since)
    if since_us >= until_us:
        raise Unprocessable("since: must be before until", param="since")
    return since_us, until_us


def _us(moment: datetime) -> int:
    told = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(told.timestamp() * 1e6)
