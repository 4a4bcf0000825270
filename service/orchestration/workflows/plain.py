"""Steps without a call: values made, texts checked, code run, passages found, the best chosen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from service.orchestration.sandbox import Limits, examine
from service.orchestration.scorers import Check, Score, score
from service.orchestration.structure import bare, code_in, held, parsed
from service.orchestration.workflows.asks import StepFailed
from service.orchestration.workflows.forms import (
    CheckForm,
    RetrieveForm,
    SelectForm,
    TransformForm,
)
from service.orchestration.workflows.functions import shown
from service.orchestration.workflows.kinds import Kind, fault
from service.orchestration.workflows.operations import Names
from service.orchestration.workflows.passages import fitting
from service.orchestration.workflows.steps import Step

MOST_TESTS = 100


def read_json(text: str, kind: Kind) -> tuple[Any, str]:
    """The JSON of an answer, and why it is not of the type; empty where it is."""
    try:
        value = parsed(text)
    except ValueError:
        return None, "is no JSON"
    why = fault(value, kind)
    return value, f"{why} ({kind})" if why else ""


async def _transform(step: Step, names: Names) -> dict[str, Any]:
    form = step.form
    assert isinstance(form, TransformForm)
    if form.text is not None:
        return {"text": step.texts["text"](names)}
    return {name: step.values[f"values.{name}"](names) for name in form.values or {}}


async def _check(step: Step, names: Names) -> dict[str, Any]:
    """The share of what is checked that holds; all must."""
    form = step.form
    assert isinstance(form, CheckForm)
    of = step.values["of"](names)
    text, value = shown(of), None
    found: dict[str, bool] = {}
    faults: list[str] = []
    if form.structure is not None:
        found |= held(form.structure, text)
    if form.returns is not None:
        value, why = read_json(text, form.returns.kind)
        found["returns"] = not why
        faults += [why] if why else []
    if form.scorer is not None:
        made = await _scored(form, step, names, text)
        found[form.scorer] = made.value == 1.0
    for name in form.holds or {}:
        found[name] = bool(step.values[f"holds.{name}"](names))
    faults += [name for name, holds in found.items() if not holds and name != "returns"]
    passed = all(found.values())
    if form.require and not passed:
        raise StepFailed("check_failed", f"not {', '.join(faults)}")
    return {
        "passed": passed, "score": sum(found.values()) / len(found), "value": value,
        "faults": faults, "why": f"not {', '.join(faults)}" if faults else "",
    }  # fmt: skip


async def _scored(form: CheckForm, step: Step, names: Names, text: str) -> Score:
    reference = step.values["reference"](names)
    try:
        return await score(Check(form.scorer or "", reference, form.options), text)
    except (TypeError, ValueError, KeyError):
        raise StepFailed("value", f"reference is not what {form.scorer} takes") from None


async def _code(step: Step, names: Names) -> dict[str, Any]:
    code, tests = step.values["code"](names), step.values["tests"](names)
    if not isinstance(tests, list) or not 0 < len(tests) <= MOST_TESTS:
        raise StepFailed("value", f"tests takes a list of 1 to {MOST_TESTS} texts")
    found = await examine(code_in(code), tuple(str(each) for each in tests), Limits())
    if found.passed is None:
        raise StepFailed("sandbox", f"the code could not be run: {found.why}")
    return {
        "passed": found.passed == found.tests, "score": found.passed / found.tests,
        "why": found.why,
    }  # fmt: skip


async def _retrieve(step: Step, names: Names) -> dict[str, Any]:
    form = step.form
    assert isinstance(form, RetrieveForm)
    query, documents = step.texts["query"](names), step.values["documents"](names)
    passages = fitting(query, documents, form.top, form.words)
    return {
        "passages": passages, "ids": [each["id"] for each in passages],
        "text": "\n\n".join(f"[{each['id']}] {each['text']}" for each in passages),
    }  # fmt: skip


PLAIN: Mapping[str, Callable[[Step, Names], Awaitable[dict[str, Any]]]] = {
    "transform": _transform, "check": _check, "code": _code, "retrieve": _retrieve,
}  # fmt: skip


def chosen(step: Step, items: Sequence[Any], names: Names) -> tuple[list[float], str]:
    """A score for each of several, by scores that are given, by structure, or by vote."""
    form = step.form
    assert isinstance(form, SelectForm)
    by = form.by
    if by.scores is not None:
        given = step.values["by.scores"](names)
        if len(given) != len(items):
            raise StepFailed("value", f"{len(given)} scores for {len(items)} items")
        return [float(each) for each in given], "the highest score"
    if by.structure is not None:
        shares = []
        for item in items:
            found = held(by.structure, shown(item))
            shares.append(sum(found.values()) / len(found))
        return shares, "the most checks hold"
    votes = Counter(_vote(each) for each in items)
    counts = [float(votes[_vote(each)]) for each in items]
    return counts, f"{max(counts):.0f} of {len(items)} say the same"


def _vote(value: Any) -> str:
    """What counts as the same: texts without case and outer marks, values as JSON."""
    return bare(value) if isinstance(value, str) else json.dumps(value, sort_keys=True)
