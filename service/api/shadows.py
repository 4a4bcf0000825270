"""The routes of shadows: started, stopped, and what they show."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

from fastapi import APIRouter, Request

from service.api import shown
from service.api.access import allowed, author, person
from service.api.schemas import ErrorAnswer, LiftBody, ShadowBody
from service.domain.errors import NotFound, StorageUnavailable
from service.experimentation.shadow import Asked
from service.experimentation.shadow_report import report
from service.runtime import Runtime
from service.storage.errors import StorageError
from service.storage.shadows import Shadowed

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
log = logging.getLogger("headgate.api")

router = APIRouter(prefix="/admin/shadows")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


@router.get("", responses=_ERRORS)
async def shadows(request: Request) -> dict[str, Any]:
    """Those that run, those that were stopped, and how much is waiting."""
    runtime, _ = allowed(request, "analyst")
    ended = await _read(runtime.shadows.store.ended)
    running = [Shadowed(each, None) for each in runtime.shadows.active.values()]
    return {
        "waiting": runtime.shadows.waiting,
        "dropped": runtime.shadows.dropped,
        "mirrors_under_way": runtime.mirror.under_way,
        "running": [_shown(runtime, each) for each in running],
        "ended": [_shown(runtime, each) for each in ended],
    }


@router.post("", status_code=201, responses=_ERRORS)
async def start(request: Request, body: ShadowBody) -> dict[str, Any]:
    """Let a version decide beside the live one; durable, then from the next decision on."""
    runtime, key = allowed(request, "operator")
    asked = Asked(
        body.version_id, body.share, body.mirror_share, body.usd_per_day, body.judge or "",
        author(body.author, key), body.reason, key.id, person(request, key),
    )  # fmt: skip
    return _shown(runtime, Shadowed(await runtime.shadows.start(asked), None))


@router.get("/{version_id}", responses=_ERRORS)
async def show(request: Request, version_id: str) -> dict[str, Any]:
    """One, with its report: agreement, shares by task, predictions, judgements, spend."""
    runtime, _ = allowed(request, "analyst")
    found = await _read(runtime.shadows.store.find, version_id)
    if found is None:
        raise NotFound("no shadow of that version has run; see GET /admin/shadows")
    told = await _read(report, runtime.shadows.store, found.shadow)
    return _shown(runtime, found) | {"report": told}


@router.post("/{version_id}/stop", responses=_ERRORS)
async def stop(request: Request, version_id: str, body: LiftBody) -> dict[str, Any]:
    """Stop one; no further call is made for it."""
    runtime, key = allowed(request, "operator")
    by, who = author(body.author, key), person(request, key)
    end = await runtime.shadows.stop(version_id, by, body.reason, key.id, who)
    return {"id": end.shadow_id, "version_id": version_id, "state": "stopped"}


async def _read(of: Callable[[*Ts], T], *arguments: *Ts) -> T:
    """From the log, off the loop."""
    try:
        return await asyncio.to_thread(of, *arguments)
    except StorageError as error:
        log.error("the shadows cannot be read: %s", error)
        raise StorageUnavailable(
            "this cannot be read from the log now; try again", retry_after_s=5.0
        ) from None


def _shown(runtime: Runtime, found: Shadowed) -> dict[str, Any]:
    shadow, end = found.shadow, found.end
    version, running = shadow.version_id, end is None
    spent = runtime.mirror.spent_micro_usd(version) if running else None
    return {
        "id": shadow.id,
        "version_id": version,
        "state": "running" if running else "stopped",
        "followed": running and version in runtime.live.others,
        "trouble": (runtime.shadows.troubles.get(version) or None) if running else None,
        "share": shadow.share,
        "mirror_share": shadow.mirror_share,
        "usd_per_day": shadow.cap_micro_usd / 1e6,
        "spent_today_usd": None if spent is None else spent / 1e6,
        "judge": shadow.judge or None,
        "started_at": shown.when(shadow.at_us),
        "author": shadow.author,
        "reason": shadow.reason,
        "ended": end and {"at": shown.when(end.at_us), "author": end.author, "reason": end.reason},
        "decisions": runtime.shadows.counts(version) if running else {},
        "mirroring": runtime.mirror.counts(version) if running else {},
    }
