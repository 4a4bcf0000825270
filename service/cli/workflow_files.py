"""What `headgate workflow` does with files: checks them, reads inputs, writes the docs' pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.cli.output import fail

if TYPE_CHECKING:
    from service.domain.errors import Problem


def checked(path: Path, plan: Path | None) -> dict[str, Any]:
    """A file's problems; none where it can be run."""
    from service.orchestration.workflows.format import WorkflowInvalid, against, load

    try:
        workflow = load(path)
    except WorkflowInvalid as invalid:
        return {"file": str(path), "name": None, "problems": [_plain(p) for p in invalid.problems]}
    problems = list(against(workflow, *_named(plan))) if plan is not None else []
    return {"file": str(path), "name": workflow.name, "problems": [_plain(p) for p in problems]}


def _plain(problem: Problem) -> dict[str, Any]:
    return {"line": problem.line, "key": problem.key, "message": problem.message,
            "mend": problem.mend or None}  # fmt: skip


def _named(path: Path) -> tuple[list[str], list[str]]:
    """What callers of a plan may name: deployments and virtual models, and tasks."""
    from service.domain.errors import PlanInvalid
    from service.plan.reading import load

    try:
        plan, _ = load(path)
    except PlanInvalid as invalid:
        fail(str(invalid))
    return ["auto", *(each.name for each in plan.deployments)], list(plan.task_names)


def read_inputs(path: Path) -> dict[str, Any]:
    """The inputs in a JSON or YAML file."""
    import yaml

    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        fail(f"{path} cannot be read as JSON or YAML", 2)
    if not isinstance(found, dict):
        fail(f"{path} must hold an object: the inputs by name", 2)
    return found


def one_by_one(given: list[str]) -> dict[str, Any]:
    """NAME=VALUE; a value that is no JSON is a text, and @FILE the text of a file."""
    found: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            fail(f"--input takes NAME=VALUE, not {each!r}", 2)
        if value.startswith("@"):
            try:
                found[name] = Path(value[1:]).read_text("utf-8")
            except (OSError, UnicodeDecodeError):
                fail(f"--input {name}: {value[1:]} cannot be read as text", 2)
            continue
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def pages() -> dict[str, str]:
    """The docs' pages of the library by file name."""
    from service.orchestration.workflows.format import LIBRARY, library
    from service.orchestration.workflows.pages import index, page

    told = json.loads((LIBRARY / "figures.json").read_text("utf-8"))
    known = library()
    made = {f"{name}.md": page(each, told.get(name)) for name, each in known.items()}
    return {"README.md": index(known.values(), told), **made}
