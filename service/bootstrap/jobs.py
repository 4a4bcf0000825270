"""What the scheduler does, and how often."""

from __future__ import annotations

import asyncio

from service.bootstrap.gauges import disk_job, show
from service.bootstrap.queue import queue_jobs
from service.bootstrap.shadow import shadow_job
from service.config import child_environment
from service.domain.acting import ITSELF, Told, act_of
from service.domain.approvals import EXPIRED, ApprovalEnd
from service.monitoring.audit import alarm_notice
from service.reporting.turns import Reviews
from service.runtime import Runtime
from service.scheduler import Job

PUBLISH_EVERY_S = 30.0
RESPONSES_EVERY_S = 60.0
AUDIT_EVERY_S = 2.0
REVIEWS_EVERY_S = 60.0
KEY_USES_EVERY_S = 60.0


def jobs(runtime: Runtime) -> list[Job]:
    kept = runtime.kept

    async def weigh() -> None:
        keep = await asyncio.to_thread(runtime.weights.evaluate)
        for weight in keep:
            kept.log.append(weight)
        show(runtime)

    async def publish() -> None:
        await asyncio.to_thread(runtime.publish)

    async def keep_uses() -> None:
        await asyncio.to_thread(kept.key_uses.keep, dict(kept.keys.used_us))

    async def count_responses() -> None:
        await asyncio.to_thread(runtime.responses.evaluate)

    refits = refit_job(runtime)
    return [
        Job("weights", 1.0, weigh),
        Job("responses", RESPONSES_EVERY_S, count_responses),
        audit_job(runtime),
        approvals_job(runtime),
        disk_job(runtime),
        Job("publication", PUBLISH_EVERY_S, publish),
        Job("key uses", KEY_USES_EVERY_S, keep_uses),
        *([refits] if refits.every_s else []),
        *queue_jobs(runtime),
        shadow_job(runtime),
        review_job(runtime),
    ]


def approvals_job(runtime: Runtime) -> Job:
    """End what nobody has approved in its time."""
    kept = runtime.kept

    async def expire() -> None:
        if not kept.approvals.overdue():
            return
        async with runtime.approving:  # one that is being approved ends as that
            for held in kept.approvals.overdue():
                kept.approvals.end(held.id)
                told = Told("approval.expired", held.id, "nobody has approved it in time",
                            detail={"act": held.act, "subject": held.subject})  # fmt: skip
                now_us = runtime.clock.wall_us()
                kept.log.append(ApprovalEnd(held.id, now_us, EXPIRED, ITSELF, "", "", told.reason))
                kept.log.append(act_of(None, now_us, told))

    return Job("approvals", 0.5, expire)


def audit_job(runtime: Runtime) -> Job:
    """Hold what was drawn against the logged propensities; tell of an alarm once."""

    async def audit() -> None:
        propensities, telemetry = runtime.propensities, runtime.telemetry
        alarm = await asyncio.to_thread(propensities.evaluate)
        standing = propensities.current
        telemetry.gauge("propensity_decisions", standing.decisions)
        telemetry.gauge("propensity_log_evidence", standing.evidence.log_e)
        telemetry.gauge("propensity_alarm", float(standing.alarmed_us is not None))
        if alarm and runtime.notifier is not None:
            runtime.notifier.announce(alarm_notice(standing))

    return Job("propensities", AUDIT_EVERY_S, audit)


def refit_job(runtime: Runtime) -> Job:
    async def turn() -> None:
        if not runtime.learner.parts.freeze.whole:  # a model that is adopted is learning too
            await runtime.quality.turn()

    return Job("quality", runtime.plan.quality.refit_minutes * 60.0, turn)


def review_job(runtime: Runtime) -> Job:
    """Weekly, monthly and quarterly reviews, when they are due and not there."""
    reviews = Reviews(runtime.kept.state_dir, runtime.clock, child_environment())

    async def turn() -> None:
        await reviews.turn()

    return Job("reviews", REVIEWS_EVERY_S, turn)
