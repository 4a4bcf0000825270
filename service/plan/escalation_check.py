"""What is wrong with a plan's escalation: rungs that are not there, doubled, or not in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from service.domain.catalog import typical_usd
from service.plan.whole import Plan

Path = tuple[str | int, ...]
Found = tuple[Path, str, str]


def escalation_problems(plan: Plan) -> Iterator[Found]:
    """Each with its place and the mend."""
    wanted = plan.escalation
    if wanted is None:
        return
    deployments = [each.name for each in plan.deployments]
    at: Path = ("escalation",)
    if wanted.rungs == "auto":
        if len(deployments) < 2:
            yield (*at, "rungs"), "one deployment is no ladder", "name another deployment"
    else:
        yield from _rungs(plan, (*at, "rungs"), wanted.rungs)
    for task, rungs in wanted.by_task.items():
        yield from _rungs(plan, (*at, "by_task", task), rungs)
    for task in (*wanted.tasks, *wanted.by_task):
        if task not in plan.task_names:
            yield (*at, "tasks"), f"no task {task!r}", f"known: {', '.join(plan.task_names)}"
    several = {task: each.name for each in plan.ensembles for task in each.tasks}
    for task in wanted.tasks:
        if task in several:
            told = f"the requests of {task} are answered by the ensemble {several[task]}"
            yield (*at, "tasks"), told, "name the task here or there"
    named = [*wanted.logprobs, *([wanted.verify] if wanted.verify else [])]
    for name in named:
        if name not in deployments:
            where = "verify" if name == wanted.verify else "logprobs"
            yield (*at, where), f"no deployment {name!r}", f"known: {', '.join(deployments)}"
    if wanted.judge and not plan.judging.judges:
        yield (*at, "judge"), "the plan names no judges", "give judging.judges, or leave it out"


def _rungs(plan: Plan, at: Path, names: Sequence[str]) -> Iterator[Found]:
    known = {each.name: each for each in plan.catalog({})}
    if len(names) < 2:
        yield at, "a ladder has two rungs or more", "name a cheap deployment and a strong one"
    for place, name in enumerate(names):
        if name not in known:
            yield at, f"no deployment {name!r}", f"known: {', '.join(known)}"
        elif name in names[:place]:
            yield at, f"{name} is given twice", "name it once"
    first, last = known.get(names[0]) if names else None, known.get(names[-1]) if names else None
    if first is None or last is None or typical_usd(first, 0) <= typical_usd(last, 0):
        return
    yield (
        at,
        f"{first.name} costs more than {last.name}",
        "name the cheap ones first, or write rungs: auto",
    )
