"""The operators' routes of batches: whose there are, what they saved, and an end to one."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from service.api.access import allowed, author, signed
from service.api.costs import Moment, span_us
from service.api.files import batching_of
from service.api.schemas import ErrorAnswer, LiftBody
from service.api.shown_batches import batch_shown, shown_load
from service.batching.desk import Desk
from service.domain.acting import Told
from service.domain.batches import LIVE, Batch
from service.domain.errors import Conflict, NotFound, StorageUnavailable
from service.domain.records import Key
from service.runtime import Runtime
from service.storage.batch_savings import SavingsAsked, batch_savings
from service.storage.errors import StorageError

router = APIRouter(prefix="/admin/batches")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


@router.get("", responses=_ERRORS)
async def overview(
    request: Request, limit: Annotated[int, Query(ge=1, le=1_000)] = 100
) -> dict[str, Any]:
    """The batches, the newest first, with no texts of theirs; a tenant's key sees its tenant's."""
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    if runtime.batches is None:
        return {"enabled": False, "batches": []}
    desk = runtime.batches.desk
    found = await desk.all_batches(key.tenant or None, limit)
    told: dict[str, Any] = {"enabled": True, "batches": [_shown(each, desk) for each in found]}
    return told if key.tenant else told | shown_load(runtime)


@router.get("/savings", responses=_ERRORS)
async def savings(request: Request, since: Moment = None, until: Moment = None) -> dict[str, Any]:
    """What the requests of batches cost against the same calls alone, by batch, of those that got
    their result in a time (the last 28 days). A tenant's key sees its tenant's.
    """
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    asked = SavingsAsked(*span_us(runtime, since, until), key.tenant or None)
    async with runtime.costing:
        try:
            await asyncio.wrap_future(runtime.kept.log.flush())
            return await asyncio.to_thread(batch_savings, runtime.kept.database.cursor(), asked)
        except StorageError:
            raise StorageUnavailable(
                "this cannot be read from the log now; try again", retry_after_s=5.0
            ) from None


@router.get("/{batch_id}", responses=_ERRORS)
async def show(request: Request, batch_id: str) -> dict[str, Any]:
    """One batch."""
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    desk, found = await _found(runtime, key, batch_id)
    parcels = batching_of(runtime).parcels.parcels
    return _shown(found, desk) | {
        "provider_batches": [
            {"deployment": each.deployment, "state": each.state.value, "requests": each.count,
             "id": each.remote or None, "called_off": each.why or None}
            for each in parcels if each.batch_id == found.id
        ]
    }  # fmt: skip


@router.post("/{batch_id}/cancel", responses=_ERRORS)
async def cancel(request: Request, batch_id: str, body: LiftBody) -> dict[str, Any]:
    """Call a batch off; what is answered stays."""
    runtime, key = allowed(request, "operator", tenant_scoped=True)
    desk, found = await _found(runtime, key, batch_id)
    if found.state not in LIVE:
        raise Conflict(f"the batch is {found.state.value}; it cannot be cancelled any more",
                       code="batch_ended")  # fmt: skip
    detail = {"key": key.id, "owner": found.owner.key_id, "tenant": found.owner.tenant}
    before, after = {"state": found.state.value}, {"state": "cancelled"}
    who = author(body.author, key)
    told = Told("batch.cancelled", found.id, body.reason, who, detail, before, after)
    await asyncio.wrap_future(runtime.kept.log.append_durable(signed(request, key, told)))
    return _shown(await desk.cancel(found), desk)


def _shown(batch: Batch, desk: Desk) -> dict[str, Any]:
    """A batch as operators see it: whose, but nothing that its caller wrote."""
    told = batch_shown(batch, desk)
    del told["metadata"]
    return told | {"key_id": batch.owner.key_id, "tenant": batch.owner.tenant}


async def _found(runtime: Runtime, key: Key, batch_id: str) -> tuple[Desk, Batch]:
    """A batch that this key may see; another tenant's does not exist for it."""
    desk = batching_of(runtime).desk
    found = await desk.batch(None, batch_id)
    if key.tenant and found.owner.tenant != key.tenant:
        raise NotFound("no batch of that id", param="batch_id", code="batch_not_found")
    return desk, found
