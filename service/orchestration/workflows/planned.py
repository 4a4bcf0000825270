"""The workflows of a plan: the library's and its own files, held against what else it says."""

from __future__ import annotations

from pathlib import Path

from service.domain.errors import Problem
from service.orchestration.workflows.format import WorkflowInvalid, against, library, load
from service.orchestration.workflows.steps import Workflow
from service.plan.reading import Lines
from service.plan.whole import Plan

WAYS = ("auto:cascade", "auto:ensemble")


def workflows_of(plan: Plan) -> tuple[dict[str, Workflow], list[Problem]]:
    """The plan's workflows by name, its own before the library's, and what is wrong with its files.
    Those of the library that name what the plan has not are left out.
    """
    wanted = plan.workflows
    models = models_of(plan)
    found = {
        name: each for name, each in (library() if wanted.library else {}).items()
        if not against(each, models, plan.task_names)
    }  # fmt: skip
    problems: list[Problem] = []
    own: set[str] = set()
    for path in paths_of(plan):
        try:
            workflow = load(path)
        except WorkflowInvalid as error:
            problems += [_in(path, each) for each in error.problems]
            continue
        if workflow.name in own:
            problems.append(Problem(f"{path.name}: name", "is given twice", "drop one file"))
        problems += [_in(path, each) for each in against(workflow, models, plan.task_names)]
        own.add(workflow.name)
        found[workflow.name] = workflow
    return found, problems


def models_of(plan: Plan) -> list[str]:
    """What a step may name as its model."""
    return ["auto", f"auto:{plan.policy.name}", *WAYS, *(each.name for each in plan.deployments)]


def paths_of(plan: Plan) -> list[Path]:
    """The files of a plan's own workflows."""
    paths = [Path(each) for each in plan.workflows.files]
    if plan.workflows.dir is not None:
        paths += sorted(Path(plan.workflows.dir).glob("*.yaml"))
    return paths


def workflow_problems(plan: Plan, lines: Lines) -> list[Problem]:
    """What is wrong with the plan's workflows, for the check of a plan. The line of a problem in a
    workflow file is that file's, and the problem names the file.
    """
    wanted = plan.workflows
    at = ("workflows",)
    problems: list[Problem] = []
    if wanted.dir is not None and not Path(wanted.dir).is_dir():
        told = Problem("workflows.dir", f"there is no folder {wanted.dir}", "make it, or drop it",
                       lines.of((*at, "dir")))  # fmt: skip
        problems.append(told)
    found, wrong = workflows_of(plan)
    problems += wrong
    if wanted.allowed and not wrong:
        for key, names in wanted.allowed.items():
            for name in names:
                if name not in found:
                    known = ", ".join(sorted(found)) or "none"
                    problems.append(
                        Problem(f"workflows.allowed.{key}", f"no workflow {name!r}",
                                f"known: {known}", lines.of((*at, "allowed", key)))
                    )  # fmt: skip
    return problems


def _in(path: Path, problem: Problem) -> Problem:
    return Problem(f"{path.name}: {problem.key}", problem.message, problem.mend, problem.line)
