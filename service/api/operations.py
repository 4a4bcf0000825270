"""The operators' routes: status, weights, deployments."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from learning.policies.base import STATES
from service.api import classify, shown
from service.api.access import allowed, author, signed
from service.api.audits import shown_audit
from service.api.caching import shown_cache
from service.api.ensembles import shown_ensembles
from service.api.prediction import shown_prediction
from service.api.schemas import ErrorAnswer, LiftBody
from service.api.shown_batches import shown_load
from service.api.shown_overrides import override, override_troubles
from service.domain.acting import Told
from service.domain.errors import NotFound
from service.domain.records import PolicyMark
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
        "warnings": _warnings(runtime),
        "uptime_s": runtime.clock.monotonic_s() - board.started_s,
        "requests": board.requests,
        "failed": board.failed,
        "under_way": runtime.under_way,
        "load": runtime.load.shown(),
        "cost_usd": board.cost_micro_usd / 1e6,
        "p50_s": p50,
        "p95_s": p95,
        "policy": _policy(mark),
        "experiments": [
            {"id": each.id, "percent": each.standing.exposed, "held": held.get(each.id)}
            for each in runtime.experiments.desk.running()
        ],
        "learner": _learner(runtime),
        "log": _log(runtime),
        "plan": shown.plan(runtime.plan_standing),
        "quality": shown.quality(runtime.quality.standing(), now_us),
        "prediction": shown_prediction(runtime),
        "ensembles": shown_ensembles(runtime),
        "reviews": dict(zip(("open", "overdue"), runtime.refusals.reviews.counts(), strict=True)),
        "approvals": runtime.kept.approvals.counts(),
        "review_queue": runtime.people.standing(),
        "taxonomy": classify.standing(runtime),
        "cache": shown_cache(runtime),
        "batches": shown_load(runtime),
        "judging": shown.judging(runtime.panel),
        "jobs_failing": runtime.scheduler.failures,
        "deployments": [
            shown.standing(each, states.get(each.deployment, "")) for each in board.standings()
        ],
        "health": [shown.health(each) for each in runtime.fleet.standings(now_s)],
        "retries": shown.retries(runtime.fleet.retries, now_s),
        "responses": shown.responses(runtime.responses.current),
        "propensities": shown_audit(runtime.propensities),
        "overrides": [override(o, now_us) for o in runtime.operating.holding],
    }


def _policy(mark: PolicyMark) -> dict[str, Any]:
    return {
        "name": mark.name,
        "version": mark.version_id,
        "checkpoint": mark.checkpoint_id,
        "update_seq": mark.update_seq,
    }


def _warnings(runtime: Runtime) -> list[str]:
    return [
        *runtime.outage.warnings(),
        *runtime.responses.warnings(),
        *runtime.propensities.warnings(),
        *runtime.refusals.warnings(),
        *runtime.experiments.guard.warnings(),
        *runtime.trends.warnings(),
        *runtime.kept.approvals.warnings(),
        *runtime.alerts.warnings(),
        *runtime.people.warnings(),
        *(runtime.prediction.warnings() if runtime.prediction else ()),
        *(runtime.escalation.warnings() if runtime.escalation else ()),
        *runtime.ensembles.standings.warnings(),
        *shown.troubles(runtime),
        *classify.troubles(runtime),
        *runtime.panel.warnings(),
        *override_troubles(runtime),
    ]


def _learner(runtime: Runtime) -> dict[str, Any]:
    learner = runtime.learner
    return {
        "waiting": learner.waiting,
        "frozen": learner.frozen,
        "frozen_by_operator": learner.parts.freeze.whole,
        "held_back": learner.parts.freeze.held_back,
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
    told = Told("deployment.reset", name, body.reason, author(body.author, key), {"key": key.id})
    act = signed(request, key, told)
    await asyncio.wrap_future(runtime.kept.log.append_durable(act))
    runtime.fleet.forgive(name)
    now_s = runtime.clock.monotonic_s()
    standings = {each.deployment: each for each in runtime.fleet.standings(now_s)}
    return shown.health(standings[name])
