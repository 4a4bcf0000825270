"""What is wrong with the parts of a plan that are checked by themselves, joined."""

from __future__ import annotations

from collections.abc import Iterator

from service.plan.batch_check import batch_problems
from service.plan.caching import cache_problems
from service.plan.ensemble_check import ensemble_problems
from service.plan.escalation_check import escalation_problems
from service.plan.modal_check import modal_problems
from service.plan.taxonomy_check import taxonomy_problems
from service.plan.whole import Plan

Problem = tuple[tuple[str | int, ...], str, str]  # where, what, the mend


def part_problems(plan: Plan) -> Iterator[Problem]:
    """Each problem of each part."""
    yield from taxonomy_problems(plan)
    yield from modal_problems(plan)
    yield from cache_problems(plan.cache, plan.task_names, plan.alerts.latency.raise_caching)
    yield from _like_problems(plan)
    yield from escalation_problems(plan)
    yield from ensemble_problems(plan)
    yield from batch_problems(plan)


def _like_problems(plan: Plan) -> Iterator[Problem]:
    like = None if plan.cache is None else plan.cache.semantic
    if like is None or plan.judging.judges:
        return
    if like.judge or any(each.judge for each in like.tasks.values()):
        where = ("cache", "semantic", "judge")
        yield where, "the plan names no judges", "give judging.judges, or leave it out"
