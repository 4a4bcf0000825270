"""The routes that look whether the log is true: a decision drawn again, an alarm acknowledged."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from service.api.access import allowed, author, person
from service.api.caller import case_for
from service.api.schemas import ErrorAnswer, LiftBody
from service.api.shown import when
from service.domain.errors import StorageUnavailable
from service.feedback.replay import Replay, replay
from service.monitoring.audit import PropensityAudit, alarm_notice, shown
from service.runtime import Runtime
from service.storage.errors import StorageError
from service.storage.versions import VersionStore

router = APIRouter(prefix="/admin")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


@router.get("/decisions/{decision_id}/replay", responses=_ERRORS)
async def replayed(request: Request, decision_id: str) -> dict[str, Any]:
    """The decision made again from the log: the nearest checkpoint, the updates after it, the
    logged draw; and whether that is what was logged, bit for bit.
    """
    runtime, key = allowed(request, "analyst", tenant_scoped=True)
    case = await case_for(runtime, key, decision_id)
    async with runtime.replaying:
        return await asyncio.to_thread(_replayed, runtime, case.decision.id)


def _replayed(runtime: Runtime, decision_id: str) -> dict[str, Any]:
    kept = runtime.kept
    try:
        store = VersionStore(kept.database, kept.state_dir)
        return shown_replay(replay(decision_id, store, kept.database.cursor))
    except StorageError:
        raise StorageUnavailable(
            "this cannot be read from the log now; try again", retry_after_s=5.0
        ) from None


def shown_replay(found: Replay) -> dict[str, Any]:
    """A replay as analysts see it."""
    state = found.state
    return {
        "decision_id": found.decision_id,
        "verdict": found.verdict.value,
        "reason": found.reason or None,
        "candidates": [
            {"deployment": name, "propensity": share}
            for name, share in zip(found.names, found.propensities, strict=False)
        ],
        "deployment": found.deployment,
        "different": list(found.different),
        "from": state
        and {
            "checkpoint": state.checkpoint_id or None,
            "update_seq": state.checkpoint_seq,
            "updates": state.updates,
        },
    }


@router.post("/propensities/acknowledge", responses=_ERRORS)
async def acknowledge(request: Request, body: LiftBody) -> dict[str, Any]:
    """The alarm has been looked into: it ends, and the test begins anew; durable."""
    runtime, key = allowed(request, "operator")
    audit = runtime.propensities
    was = audit.current
    by, who = author(body.author, key), person(request, key)
    await asyncio.to_thread(audit.acknowledge, by, body.reason, key.id, who)
    if runtime.notifier is not None:
        runtime.notifier.announce(alarm_notice(was, by))
    return shown_audit(audit)


def shown_audit(audit: PropensityAudit) -> dict[str, Any]:
    """The audit as the status shows it; ``alarm``: since when there is one, or null."""
    standing = audit.current
    alarm = standing.alarmed_us
    return shown(standing) | {
        "since": when(standing.since_us),
        "alarm": None if alarm is None else when(alarm),
    }
