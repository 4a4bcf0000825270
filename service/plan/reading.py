"""The plan file read: one YAML text, where its keys stand, and every problem with its mend."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pydantic
import yaml

from service.domain.errors import PlanInvalid, Problem
from service.plan.whole import SECTIONS, Plan


class Lines:
    """Where each key of a YAML text stands."""

    def __init__(self, text: str | yaml.Node | None) -> None:
        """``text``: or what has been read of it."""
        self._at: dict[tuple[str | int, ...], int] = {}
        node = yaml.compose(text, Loader=yaml.SafeLoader) if isinstance(text, str) else text
        if node is not None:
            self._walk(node, ())

    def _walk(self, node: yaml.Node, path: tuple[str | int, ...]) -> None:
        self._at.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*path, str(key.value))
                if inner in self._at:
                    raise yaml.MarkedYAMLError(
                        None, None, f"the key {key.value!r} is given twice", key.start_mark
                    )
                self._at[inner] = key.start_mark.line + 1
                self._walk(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._walk(value, (*path, index))

    def of(self, path: tuple[str | int, ...]) -> int | None:
        """The line of ``path``, or of the nearest thing around it."""
        while path and path not in self._at:
            path = path[:-1]
        return self._at.get(path)


def read_yaml(text: str) -> tuple[Any, Lines]:
    """What a YAML text says, and where, in one reading; raises yaml.YAMLError."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        lines = Lines(node)
        return None if node is None else loader.construct_document(node), lines
    finally:
        loader.dispose()


def load(path: Path) -> tuple[Plan, Lines]:
    """Read a plan's form; raises PlanInvalid with every problem, its line, key and mend."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise PlanInvalid(str(path), [Problem("file", f"cannot be read: {reason}")]) from None
    try:
        data, lines = read_yaml(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = Problem(
            "file", str(error.problem), "mend the YAML", line=mark.line + 1 if mark else None
        )
        raise PlanInvalid(str(path), [problem]) from None
    except (yaml.YAMLError, RecursionError):
        raise PlanInvalid(str(path), [Problem("file", "is not YAML")]) from None
    if not isinstance(data, dict):
        raise PlanInvalid(str(path), [Problem("file", "must be a mapping with deployments")])
    try:
        return Plan.model_validate(_beside(data, path.parent)), lines
    except pydantic.ValidationError as error:
        raise PlanInvalid(str(path), _problems(error, lines)) from None


def _beside(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The plan with the workflow files that it names made paths: they lie beside it."""
    given = data.get("workflows")
    if not isinstance(given, dict):
        return data
    made = dict(given)
    if isinstance(given.get("dir"), str):
        made["dir"] = str(folder / given["dir"])
    if isinstance(given.get("files"), list):
        made["files"] = [str(folder / e) if isinstance(e, str) else e for e in given["files"]]
    return data | {"workflows": made}


def _problems(error: pydantic.ValidationError, lines: Lines) -> list[Problem]:
    problems = []
    for each in error.errors():
        path = tuple(each["loc"])
        if "price" in path and path[-2:-1] == (0,) and lines.of(path) == lines.of(path[:-2]):
            path = (*path[:-2], path[-1])  # a single price is not written as a list
        mend = ""
        message = each["msg"].removeprefix("Value error, ")
        if each["type"] == "extra_forbidden":
            message = "unknown key"
            mend = _did_you_mean(path)
        key = ".".join(str(part) for part in path) or "file"
        problems.append(Problem(key, message, mend, lines.of(path)))
    return list(dict.fromkeys(problems))


def _did_you_mean(path: tuple[str | int, ...]) -> str:
    parts = [part for part in path[:-1] if isinstance(part, str)]
    sections = [part for part in parts if part in SECTIONS]
    whole = ".".join(parts)  # where one name stands in two sections, the whole way tells
    model = SECTIONS[whole if whole in SECTIONS else sections[-1]] if sections else Plan
    known = [f.alias or name for name, f in model.model_fields.items()]
    close = difflib.get_close_matches(str(path[-1]), known, n=1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
