"""The capability board and the priors that it gives, with their job."""

from __future__ import annotations

import asyncio

from service.feedback.priors import PriorGiver, PriorParts
from service.monitoring.capabilities import BoardParts, CapabilityBoard, Matter
from service.plan.whole import Plan
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.benchmark_cells import benchmark_cells
from service.storage.capabilities import shown_between

EVERY_S = 5.0


def attach_capabilities(runtime: Runtime) -> None:
    """Give a runtime its board; it begins with the first turn, which reads the whole log."""
    kept, clock = runtime.kept, runtime.clock
    cursor = kept.database.cursor
    parts = BoardParts(
        last_seq=lambda: kept.log.last_seq,
        shown=lambda after, through, weighing: shown_between(cursor(), after, through, weighing),
        benchmarks=lambda through: benchmark_cells(cursor(), through),
        clock=clock,
    )
    runtime.capabilities = CapabilityBoard(matter_of(runtime.plan), parts)
    giver = PriorGiver(PriorParts(runtime.capabilities.priors, cursor, runtime.learner, clock))
    giver.resume()
    runtime.scheduler.put(Job("capabilities", EVERY_S, lambda: turn(runtime, giver)))


async def turn(runtime: Runtime, giver: PriorGiver) -> None:
    """Take what is new, and give what it says of those that are cold."""
    await asyncio.to_thread(runtime.capabilities.evaluate)
    await giver.turn()


def matter_of(plan: Plan) -> Matter:
    """What the plan says of capabilities. A quality that it does not give is not declared: the
    usual 0.7 is a guess of ours.
    """
    said = {}
    for each in plan.deployments:
        if "prior_quality" in each.model_fields_set:
            said[each.name, ""] = each.prior_quality
        said |= {(each.name, task): value for task, value in each.strengths.items()}
    seconds = {
        each.name: each.prior_latency_s
        for each in plan.deployments if "prior_latency_s" in each.model_fields_set
    }  # fmt: skip
    tasks = {each.name: frozenset(each.tasks) for each in plan.deployments}
    return Matter(tasks, plan.task_names, said, seconds)
