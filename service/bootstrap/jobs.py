"""What the scheduler does, and how often."""

from __future__ import annotations

import asyncio
import json
import logging

from service.bootstrap.gauges import disk_job, show
from service.bootstrap.queue import queue_jobs
from service.bootstrap.shadow import shadow_job
from service.config import child_environment
from service.domain.clock import new_id
from service.domain.records import Act
from service.monitoring.audit import alarm_notice
from service.reporting.turns import Reviews
from service.runtime import Runtime
from service.scheduler import Job

log = logging.getLogger("headgate")

PUBLISH_EVERY_S = 30.0
RESPONSES_EVERY_S = 60.0
AUDIT_EVERY_S = 2.0
REVIEWS_EVERY_S = 60.0


def jobs(runtime: Runtime) -> list[Job]:
    kept = runtime.kept

    async def weigh() -> None:
        keep = await asyncio.to_thread(runtime.weights.evaluate)
        for weight in keep:
            kept.log.append(weight)
        show(runtime)

    async def expire() -> None:
        for override in kept.overrides.expire():
            log.info("override %s (%s %s) has expired", override.id, override.action,
                     override.deployment)  # fmt: skip
            kept.log.append(
                Act(new_id(), runtime.clock.wall_us(), "headgate", "override.expired",
                    override.id, "expiry", json.dumps({"deployment": override.deployment}))
            )  # fmt: skip

    async def publish() -> None:
        await asyncio.to_thread(runtime.publish)

    async def count_responses() -> None:
        await asyncio.to_thread(runtime.responses.evaluate)

    refits = refit_job(runtime)
    return [
        Job("weights", 1.0, weigh),
        Job("responses", RESPONSES_EVERY_S, count_responses),
        audit_job(runtime),
        disk_job(runtime),
        Job("expiry", 0.5, expire),
        Job("publication", PUBLISH_EVERY_S, publish),
        *([refits] if refits.every_s else []),
        *queue_jobs(runtime),
        shadow_job(runtime),
        review_job(runtime),
    ]


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
    return Job("quality", runtime.plan.quality.refit_minutes * 60.0, runtime.quality.turn)


def review_job(runtime: Runtime) -> Job:
    """Weekly, monthly and quarterly reviews, when they are due and not there."""
    reviews = Reviews(runtime.kept.state_dir, runtime.clock, child_environment())

    async def turn() -> None:
        await reviews.turn()

    return Job("reviews", REVIEWS_EVERY_S, turn)
