"""The operators' routes: status, weights, overrides."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import APIRouter, Request

from learning.policies.base import STATES
from service.api import shown
from service.api.access import allowed
from service.api.audits import shown_audit
from service.api.schemas import ErrorAnswer, LiftBody, OverrideBody, OverrideShown
from service.domain.clock import new_id
from service.domain.errors import InvalidRequest, NotFound
from service.domain.records import Act, Override, OverrideEnd
from service.runtime import Runtime

router = APIRouter(prefix="/admin")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


@router.get("/status", responses=_ERRORS)
async def status(request: Request) -> dict[str, Any]:
    """What is going on now."""
    runtime, _ = allowed(request, "analyst")
    board, mark = runtime.board, runtime.live.current.mark
    p50, p95 = board.latency()
    states = runtime.live.current.states()
    held = runtime.experiments.desk.holds
    now_us, now_s = runtime.clock.wall_us(), runtime.clock.monotonic_s()
    return {
        "ready": not runtime.ready(),
        "not_ready_because": runtime.ready(),
        "notices": runtime.notices,
        "warnings": [
            *runtime.outage.warnings(),
            *runtime.responses.warnings(),
            *runtime.propensities.warnings(),
            *runtime.refusals.warnings(),
            *runtime.experiments.guard.warnings(),
            *runtime.trends.warnings(),
            *runtime.people.warnings(),
            *shown.troubles(runtime),
        ],
        "uptime_s": runtime.clock.monotonic_s() - board.started_s,
        "requests": board.requests,
        "failed": board.failed,
        "under_way": runtime.under_way,
        "load": runtime.load.shown(),
        "cost_usd": board.cost_micro_usd / 1e6,
        "p50_s": p50,
        "p95_s": p95,
        "policy": {
            "name": mark.name,
            "version": mark.version_id,
            "checkpoint": mark.checkpoint_id,
            "update_seq": mark.update_seq,
        },
        "experiments": [
            {"id": each.id, "percent": each.standing.exposed, "held": held.get(each.id)}
            for each in runtime.experiments.desk.running()
        ],
        "learner": _learner(runtime),
        "log": _log(runtime),
        "plan": shown.plan(runtime.plan_standing),
        "quality": shown.quality(runtime.quality.standing(), now_us),
        "reviews": dict(zip(("open", "overdue"), runtime.refusals.reviews.counts(), strict=True)),
        "review_queue": runtime.people.standing(),
        "jobs_failing": runtime.scheduler.failures,
        "deployments": [
            shown.standing(each, states.get(each.deployment, "")) for each in board.standings()
        ],
        "health": [shown.health(each) for each in runtime.fleet.standings(now_s)],
        "retries": shown.retries(runtime.fleet.retries, now_s),
        "responses": shown.responses(runtime.responses.current),
        "propensities": shown_audit(runtime.propensities),
        "overrides": [shown.override(o, now_us) for o in runtime.kept.overrides.holding()],
    }


def _learner(runtime: Runtime) -> dict[str, Any]:
    learner = runtime.learner
    return {
        "waiting": learner.waiting,
        "frozen": learner.frozen,
        "dropped": learner.dropped,
        "passed_over": learner.passed_over,
        "failure": learner.failure,
    }


def _log(runtime: Runtime) -> dict[str, Any]:
    log = runtime.kept.log
    return {
        "healthy": log.healthy,
        "failure": log.failure,
        "queued": log.queued,
        "rows": log.last_seq,
        "dropped": log.dropped,
        "refused": log.refused,
        "published_through": runtime.kept.publisher.through_seq,
    }


@router.get("/weights", responses=_ERRORS)
async def weights(request: Request, task: str | None = None) -> dict[str, Any]:
    """The share that each deployment now gets of each task, and why it moved."""
    runtime, _ = allowed(request, "analyst")
    found = [w for w in runtime.weights.current if task in (None, w.task)]
    return {"weights": [shown.weight(each) for each in found], "states": dict(STATES)}


@router.post("/deployments/{name:path}/reset", responses=_ERRORS)
async def reset(request: Request, name: str, body: LiftBody) -> dict[str, Any]:
    """End a deployment's ejection and cool-down now; the next request may be sent to it."""
    runtime, key = allowed(request, "operator")
    names = [each.name for each in runtime.catalog]
    if name not in names:
        raise NotFound(f"no deployment of that name; known: {', '.join(names)}", param="name")
    act = Act(
        new_id(), runtime.clock.wall_us(), body.author, "deployment.reset", name, body.reason,
        json.dumps({"key": key.id}),
    )  # fmt: skip
    await asyncio.wrap_future(runtime.kept.log.append_durable(act))
    runtime.fleet.forgive(name)
    now_s = runtime.clock.monotonic_s()
    standings = {each.deployment: each for each in runtime.fleet.standings(now_s)}
    return shown.health(standings[name])


@router.get("/overrides", responses=_ERRORS)
async def overrides(request: Request) -> dict[str, list[OverrideShown]]:
    """The overrides in force."""
    runtime, _ = allowed(request, "analyst")
    now_us = runtime.clock.wall_us()
    holding = runtime.kept.overrides.holding()
    return {"overrides": [OverrideShown(**shown.override(each, now_us)) for each in holding]}


@router.post("/overrides", status_code=201, responses=_ERRORS)
async def set_override(request: Request, body: OverrideBody) -> OverrideShown:
    """Force or exclude a deployment, everywhere or for a task; durable, then in effect at once."""
    runtime, key = allowed(request, "operator")
    names = [each.name for each in runtime.catalog]
    if body.deployment not in names:
        raise InvalidRequest(
            f"no deployment of that name; known: {', '.join(names)}", param="deployment"
        )
    if body.task is not None and body.task not in runtime.plan.task_names:
        raise InvalidRequest(
            f"no task of that name; known: {', '.join(runtime.plan.task_names)}", param="task"
        )
    now_us = runtime.clock.wall_us()
    override = Override(
        id=new_id(),
        at_us=now_us,
        action=body.action,
        deployment=body.deployment,
        task=body.task or "",
        reason=body.reason,
        author=body.author,
        starts_us=now_us,
        expires_us=now_us + int(body.expires_in_s * 1e6),
    )
    detail = {"key": key.id, "task": body.task, "expires_in_s": body.expires_in_s}
    act = Act(
        new_id(), now_us, body.author, f"override.{body.action}", override.id, body.reason,
        json.dumps(detail | {"deployment": body.deployment}),
    )  # fmt: skip
    await asyncio.wrap_future(runtime.kept.log.append_durable(override, act))
    runtime.kept.overrides.put(override)
    return OverrideShown(**shown.override(override, now_us))


@router.get("/overrides/{override_id}", responses=_ERRORS)
async def show_override(request: Request, override_id: str) -> OverrideShown:
    """One override in force."""
    runtime, _ = allowed(request, "analyst")
    override = runtime.kept.overrides.find(override_id)
    if override is None:
        raise NotFound("no override of that id is in force")
    return OverrideShown(**shown.override(override, runtime.clock.wall_us()))


@router.post("/overrides/{override_id}/lift", responses=_ERRORS)
async def lift_override(request: Request, override_id: str, body: LiftBody) -> dict[str, str]:
    """End an override before its time."""
    runtime, key = allowed(request, "operator")
    override = runtime.kept.overrides.find(override_id)
    if override is None:
        raise NotFound("no override of that id is in force; it may have expired or been lifted")
    now_us = runtime.clock.wall_us()
    end = OverrideEnd(override.id, now_us, "lifted", body.author, body.reason)
    act = Act(
        new_id(), now_us, body.author, "override.lifted", override.id, body.reason,
        json.dumps({"key": key.id, "deployment": override.deployment}),
    )  # fmt: skip
    await asyncio.wrap_future(runtime.kept.log.append_durable(end, act))
    runtime.kept.overrides.remove(override.id)
    return {"id": override.id, "state": "lifted"}
