"""Escalation as it is shown: a request's rungs with their verdicts, the rule, where it pays."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from service.api.access import allowed
from service.api.schemas import ErrorAnswer
from service.domain.escalation import Began
from service.domain.records import Decision
from service.runtime import Runtime
from service.storage.escalations import read_climb

router = APIRouter(prefix="/admin/escalation")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
REASONS = frozenset(each.value for each in Began)
SIGNS = ("foreseen", "logprob", "verified", "judged", "below")


@router.get("", responses=_ERRORS)
async def standing(request: Request) -> dict[str, Any]:
    """The rule, what climbing costs beside going straight to the last rung by task, and where it is
    bypassed; ``on`` false where the plan has no section ``escalation``.
    """
    runtime, _ = allowed(request, "analyst")
    return shown_escalation(runtime)


def shown_escalation(runtime: Runtime) -> dict[str, Any]:
    """How escalation stands."""
    return {"on": False} if runtime.escalation is None else runtime.escalation.shown()


async def climbed(runtime: Runtime, decision: Decision) -> dict[str, Any] | None:
    """Where a decision began to climb, and each call's verdict; None where it did not."""
    if decision.reason not in REASONS:
        return None
    cursor = runtime.kept.database.cursor
    start, verdicts = await asyncio.to_thread(lambda: read_climb(cursor(), decision.id))
    start = start or decision.climb
    if start is None:
        return None
    return {
        "began": start.began.value,
        "probability": start.probability,
        "rungs": list(start.rungs),
        "level": start.level,
        "verdicts": [
            {
                "number": v.number, "rung": v.rung, "deployment": v.deployment,
                "fault": v.trigger.value or None, "chance": v.chance,
                "signals": {name: getattr(v, name) for name in SIGNS},
                "act": v.act, "settled_by": v.by.value, "onward": v.onward or None,
                "gain_usd": v.gain_usd, "probability": v.probability, "skipped": list(v.skipped),
                "rule": {"state": v.rule, "rated": v.rated}, "cost_usd": v.cost_micro_usd / 1e6,
                "check_usd": v.check_micro_usd / 1e6, "latency_s": v.latency_s,
            }
            for v in verdicts
        ],
    }  # fmt: skip
