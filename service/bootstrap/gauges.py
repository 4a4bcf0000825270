"""What stands now, put into the gauges once a second; the room on the disk more rarely."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from pathlib import Path

from experiments.states import State
from service.domain.will import Action
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.database import FILE

DISK_EVERY_S = 10.0
OVERRIDES = ("force", "exclude")  # there with 0 before the first one


def show(runtime: Runtime) -> None:
    """All but the disk; waits for nothing."""
    _deployments(runtime)
    _kept(runtime)
    _people(runtime)
    _traces(runtime)
    _cache(runtime)


def _deployments(runtime: Runtime) -> None:
    telemetry, fleet = runtime.telemetry, runtime.fleet
    for weight in runtime.weights.current:
        telemetry.weight(weight.task, weight.deployment, weight.share)
    for deployment, state in runtime.live.current.states().items():
        telemetry.state(deployment, state)
    now_s = runtime.clock.monotonic_s()
    for each in fleet.standings(now_s):
        shown = "cooling" if each.bar == "cooling" else each.state
        telemetry.health(each.deployment, shown, each.in_flight, each.limit)
    telemetry.gauge("retries_left", fleet.retries.balance(now_s))
    telemetry.total("retries_spent", fleet.retries.spent)
    telemetry.total("retries_refused", fleet.retries.refused)
    telemetry.total("hedges", runtime.dispatcher.hedges.hedges)
    telemetry.gauge("outage", float(runtime.outage.current is not None))


def _kept(runtime: Runtime) -> None:
    telemetry, log, learner = runtime.telemetry, runtime.kept.log, runtime.learner
    publisher = runtime.kept.publisher
    telemetry.gauge("storage_healthy", float(log.healthy))
    telemetry.gauge("log_queued", log.queued)
    telemetry.total("log_dropped", log.dropped)
    telemetry.total("log_refused", log.refused)
    for table, number in log.records.items():
        telemetry.total("log_records", number, table)
    telemetry.gauge("learner_waiting", learner.waiting)
    telemetry.gauge("learner_frozen", float(learner.frozen))
    telemetry.total("learner_updates", learner.seq)
    telemetry.total("learner_dropped", learner.dropped)
    telemetry.total("learner_passed_over", learner.passed_over)
    age_s = runtime.clock.wall_us() / 1e6 - publisher.published_at
    telemetry.gauge("publication_age_seconds", max(age_s, 0.0))
    telemetry.gauge("publication_rows_behind", max(log.last_seq - publisher.through_seq, 0))
    failing = runtime.scheduler.failures
    jobs = {each.name: float(each.name in failing) for each in runtime.scheduler.jobs}
    telemetry.standing("job_failing", jobs)
    telemetry.total("plan_reloads", runtime.plan_standing.reloads)
    telemetry.gauge("plan_refused", float(runtime.plan_standing.refused is not None))


def _cache(runtime: Runtime) -> None:
    caching, telemetry = runtime.caching, runtime.telemetry
    if caching is None:
        telemetry.gauge("cache_entries", 0)
        telemetry.gauge("cache_bytes", 0)
        return
    telemetry.gauge("cache_entries", len(caching.shelf))
    telemetry.gauge("cache_bytes", caching.shelf.bytes)
    raised = any(o.action == Action.RAISE_CACHING for o in runtime.kept.overrides.holding())
    telemetry.gauge("cache_raised", float(raised))
    for result, number in caching.tally.results.items():
        telemetry.total("cache_requests", number, result)
    for why, number in caching.shelf.ended.items():
        telemetry.total("cache_ended", number, why)
    telemetry.total("cache_saved_usd", caching.tally.saved_micro_usd / 1e6)
    if caching.parts.keeper is not None:
        telemetry.total("cache_dropped", caching.parts.keeper.dropped)


def _traces(runtime: Runtime) -> None:
    tracer = runtime.ledger.tracer
    if tracer is not None:
        runtime.telemetry.total("spans_exported", tracer.exported)
        runtime.telemetry.total("spans_dropped", tracer.dropped)


def _people(runtime: Runtime) -> None:
    """What operators and analysts have set going."""
    telemetry = runtime.telemetry
    waiting, overdue = runtime.refusals.reviews.counts()
    telemetry.gauge("review_open", waiting)
    telemetry.gauge("review_overdue", overdue)
    actions = Counter(each.action for each in runtime.kept.overrides.holding())
    telemetry.standing("overrides", dict.fromkeys(OVERRIDES, 0) | actions)
    known = runtime.experiments.desk.store.known.values()
    states = Counter(each.standing.state.value for each in known)
    telemetry.standing("experiments", {each.value: states[each.value] for each in State})
    telemetry.gauge("shadows", len(runtime.shadows.active))


def disk_job(runtime: Runtime) -> Job:
    """How much room there is, and how much the live file takes; looked at in a thread."""

    async def look() -> None:
        free, size, live = await asyncio.to_thread(_disk, runtime.kept.state_dir)
        runtime.telemetry.gauge("disk_free_bytes", free)
        runtime.telemetry.gauge("disk_size_bytes", size)
        runtime.telemetry.gauge("live_file_bytes", live)

    return Job("disk", DISK_EVERY_S, look)


def _disk(state_dir: Path) -> tuple[int, int, int]:
    usage = shutil.disk_usage(state_dir)
    files = (state_dir / FILE, state_dir / f"{FILE}.wal")
    return usage.free, usage.total, sum(_size(each) for each in files)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # the log of writes comes and goes
        return 0
