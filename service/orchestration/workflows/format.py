"""The format of workflow files: read, checked whole, every fault with its line and its mend."""

from __future__ import annotations

import difflib
import functools
import hashlib
import typing
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pydantic
import yaml

from service.domain.errors import HeadgateError, Problem
from service.orchestration.workflows.compiling import Compiler
from service.orchestration.workflows.forms import STEP_FORMS, CallForm, Form, WorkflowForm
from service.orchestration.workflows.steps import Workflow
from service.plan.reading import Lines, read_yaml

LIBRARY = Path(__file__).parent.parent / "library"
MAX_BYTES = 500_000
MOST_FILES = 500
Path_ = tuple[str | int, ...]


class WorkflowInvalid(HeadgateError):
    """A workflow file that cannot be run, with every problem found."""

    status, type, code = 422, "invalid_request_error", "workflow_invalid"

    def __init__(self, source: str, problems: list[Problem]) -> None:
        super().__init__("\n".join([f"{source} cannot be used:", *(f"  {p}" for p in problems)]))
        self.problems = tuple(problems)


def load(path: Path) -> Workflow:
    """Read one file; raises WorkflowInvalid."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise WorkflowInvalid(str(path), [Problem("file", f"cannot be read: {reason}")]) from None
    workflow = read(text, str(path))
    if path.stem != workflow.name:
        told = Problem("name", f"is {workflow.name}, and the file is {path.name}", "rename one", 1)
        raise WorkflowInvalid(str(path), [told])
    return workflow


def read(text: str, source: str = "the workflow") -> Workflow:
    """Read a workflow; raises WorkflowInvalid with every problem, its line, key and mend."""
    data, lines = _parsed(text, source)
    try:
        form = WorkflowForm.model_validate(data)
    except pydantic.ValidationError as error:
        raise WorkflowInvalid(source, _problems(error, lines)) from None
    problems: list[Problem] = []

    def tell(path: Path_, message: str, mend: str) -> None:
        key = ".".join(str(part) for part in path)
        found = Problem(key, message, mend, lines.of(path))
        if found not in problems:
            problems.append(found)

    steps, outputs = Compiler(form, tell).steps()
    if problems:
        raise WorkflowInvalid(source, sorted(problems, key=lambda each: each.line or 0))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Workflow(form, steps, outputs, digest, text)


def library() -> dict[str, Workflow]:
    """The workflows that ship, by name."""
    return {each.name: each for each in _shipped()}


@functools.cache
def _shipped() -> tuple[Workflow, ...]:
    """Read once a process: they come with the code, and stay what they are while it runs."""
    return tuple(map(load, sorted(LIBRARY.glob("*.yaml"))))


def against(workflow: Workflow, models: Collection[str], tasks: Collection[str]) -> list[Problem]:
    """What a workflow names that a plan has not. ``models``: what a caller may name."""
    found: list[tuple[Path_, str, str]] = []
    names = [each for each in models if not each.startswith("auto")]
    for path, form in _calls(workflow):
        for key, given, known, what in (
            (("model",), [form.model], models, "deployment or virtual model"),
            (("route", "deployments"), form.route.deployments, names, "deployment"),
            (("route", "exclude"), form.route.exclude, names, "deployment"),
            (("route", "task"), [form.route.task] if form.route.task else [], tasks, "task"),
        ):
            for name in given:
                if name not in known:
                    mend = f"known: {', '.join(known) or 'none'}"
                    found.append(((*path, *key), f"no {what} {name!r}", mend))
    lines = Lines(workflow.source) if found else None
    return [
        Problem(".".join(map(str, at)), told, mend, lines.of(at) if lines else None)
        for at, told, mend in found
    ]


def _calls(workflow: Workflow) -> list[tuple[Path_, CallForm]]:
    found: list[tuple[Path_, CallForm]] = []

    def walk(forms: Any, at: Path_) -> None:
        for index, form in enumerate(forms):
            if isinstance(form, CallForm):
                found.append(((*at, index), form))
            walk(getattr(form, "steps", ()), (*at, index, "steps"))

    walk(workflow.form.steps, ("steps",))
    for step in workflow.walk():
        if step.otherwise is not None and isinstance(step.otherwise.form, CallForm):
            index = next((i for i, f in enumerate(workflow.form.steps) if f.id == step.id), None)
            at: Path_ = ("steps",) if index is None else ("steps", index, "fallback", "step")
            found.append((at, step.otherwise.form))
    return found


def _parsed(text: str, source: str) -> tuple[dict[str, Any], Lines]:
    if len(text.encode()) > MAX_BYTES:
        raise WorkflowInvalid(source, [Problem("file", f"is longer than {MAX_BYTES} bytes")])
    try:
        if "*" in text and any(
            isinstance(each, yaml.AliasToken) for each in yaml.scan(text, yaml.SafeLoader)
        ):
            raise WorkflowInvalid(source, [Problem("file", "has an alias (*)", "write it out")])
        data, lines = read_yaml(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        raise WorkflowInvalid(
            source, [Problem("file", str(error.problem), "mend the YAML", line)]
        ) from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise WorkflowInvalid(source, [Problem("file", "is not YAML")]) from None
    if not isinstance(data, dict):
        raise WorkflowInvalid(source, [Problem("file", "must be a mapping with name and steps")])
    return data, lines


def _problems(error: pydantic.ValidationError, lines: Lines) -> list[Problem]:
    problems = []
    for each in error.errors():
        path = _of_the_file(tuple(each["loc"]))
        message, mend = each["msg"].removeprefix("Value error, "), ""
        if each["type"] == "extra_forbidden":
            message, mend = "unknown key", _did_you_mean(tuple(each["loc"]))
        elif each["type"] == "missing":
            message, mend = "is missing", "add it"
        elif each["type"].startswith("union_tag"):
            path = (*path, "kind")
            message, mend = "is no kind of step", f"give one of {', '.join(STEP_FORMS)}"
        key = ".".join(str(part) for part in path) or "file"
        problems.append(Problem(key, message, mend, lines.of(path)))
    return list(dict.fromkeys(problems))


def _of_the_file(path: Path_) -> Path_:
    """Without the kinds by which steps are told apart, and without the types of a union."""
    kept: list[str | int] = []
    for at, part in enumerate(path):
        of_a_step = at > 1 and path[at - 2] == "steps" and isinstance(path[at - 1], int)
        if of_a_step and part in STEP_FORMS:
            continue
        if isinstance(part, str) and ("[" in part or part == "KeepForm"):
            continue
        kept.append(part)
    return tuple(kept)


def _did_you_mean(path: Path_) -> str:
    form: type[pydantic.BaseModel] = WorkflowForm
    for part in path[:-1]:
        if part in STEP_FORMS:
            form = STEP_FORMS[str(part)]
        elif (info := form.model_fields.get(str(part))) is not None:
            form = _form_in(info.annotation) or form
    known = list(form.model_fields)
    close = difflib.get_close_matches(str(path[-1]), known, n=1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"


def _form_in(annotation: Any) -> type[Form] | None:
    """The form within an annotation such as ``dict[str, CarryForm]``."""
    if typing.get_origin(annotation) is None and isinstance(annotation, type):
        return annotation if issubclass(annotation, Form) else None
    for inner in reversed(typing.get_args(annotation)):
        if (found := _form_in(inner)) is not None:
            return found
    return None
