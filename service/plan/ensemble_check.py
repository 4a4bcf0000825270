"""What is wrong with a plan's ensembles: the place, the words, the mend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from service.plan.ensembles import EnsemblePlan
from service.plan.whole import Plan

Found = tuple[tuple[str | int, ...], str, str]


def ensemble_problems(plan: Plan) -> Iterator[Found]:
    """Names that refer to nothing, tasks with two ensembles, judges that are not there."""
    deployments = {each.name for each in plan.deployments}
    tasks, seen, taken = set(plan.task_names), set[str](), dict[str, str]()
    for at, each in enumerate(plan.ensembles):
        here = ("ensembles", at)
        if each.name in seen:
            yield (*here, "name"), f"{each.name} is given twice", "rename one"
        seen.add(each.name)
        yield from _named(each, here, deployments)
        for task in each.tasks or [""]:
            if task and task not in tasks:
                known = ", ".join(sorted(tasks))
                yield (*here, "tasks"), f"no task {task!r}", f"known: {known}"
            if task in taken:
                what = f"the task {task}" if task else "requests that ask for auto:ensemble"
                yield (*here, "tasks"), f"{what} has an ensemble already: {taken[task]}", "keep one"
            taken[task] = each.name
        if _judged(each) and not plan.judging.judges:
            yield (*here, "by"), "there is no judge", "name one in judging.judges"


def _named(each: EnsemblePlan, here: tuple[str | int, ...], known: set[str]) -> Iterator[Found]:
    named: Mapping[str, list[Any]] = {
        "members": each.members, "fuser": [each.fuser], "against": [each.against]
    }  # fmt: skip
    for key, names in named.items():
        for name in names:
            if name is not None and name not in known:
                mend = f"known: {', '.join(sorted(known))}"
                yield (*here, key), f"no deployment {name!r}", mend


def _judged(each: EnsemblePlan) -> bool:
    return each.by == "judge" or (each.score is not None and each.score.scorer == "rubric")
