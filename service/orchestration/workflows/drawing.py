"""A workflow's graph as it is drawn: what leads where, and how many calls a run makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.orchestration.workflows.forms import GroupForm, LoopForm, SelectForm
from service.orchestration.workflows.steps import Step, Workflow

COMPOSITE = (LoopForm, GroupForm)


@dataclass(frozen=True, slots=True)
class Drawn:
    """``needs``: what leads here, the ends of a loop's or a group's steps to the step itself;
    ``inside``: the loop or group around it; ``note``: its kind, and how often.
    """

    id: str
    kind: str
    note: str
    needs: tuple[str, ...]
    inside: str = ""
    conditional: bool = False
    optional: bool = False


def drawn(workflow: Workflow) -> tuple[Drawn, ...]:
    """All steps, each after what it needs."""
    return tuple(_drawn(workflow.steps, "", ()))


def _drawn(steps: Sequence[Step], inside: str, before: tuple[str, ...]) -> list[Drawn]:
    found: list[Drawn] = []
    for step in steps:
        needs = step.needs or before
        if step.body:
            found += _drawn(step.body, step.id, needs)
            needs = ends(step)
        found.append(Drawn(
            step.id, step.kind, note(step), needs, inside, step.form.when is not None,
            step.form.fallback is not None,
        ))  # fmt: skip
    return found


def ends(step: Step) -> tuple[str, ...]:
    """The steps of a loop or a group after which none of it comes."""
    needed = {name for each in step.body for name in each.needs}
    return tuple(each.id for each in step.body if each.id not in needed)


def note(step: Step) -> str:
    """Its kind, and how often at most."""
    form = step.form
    told = step.kind
    if isinstance(form, LoopForm):
        told += f", at most {form.most} times"
    if form.map is not None:
        told += f", each of ≤ {form.map.most}"
    return told


def calls(workflow: Workflow) -> tuple[int, int]:
    """The fewest and the most calls of a run that succeeds, without tries of routing."""
    most = {each.id: each.form.map.most for each in workflow.walk() if each.form.map is not None}
    return _calls(workflow.steps, most)


def _calls(steps: Sequence[Step], items: Mapping[str, int]) -> tuple[int, int]:
    least = most = 0
    for step in steps:
        few, many = _calls(step.body, items) if step.body else _own(step, items)
        if step.otherwise is not None:
            many += _own(step.otherwise, items)[1]
        form = step.form
        if isinstance(form, LoopForm):
            many *= form.most
        if form.map is not None:
            few, many = few * (form.map.least or 0), many * form.map.most
        least += 0 if form.when is not None else few
        most += many
    return least, most


def _own(step: Step, items: Mapping[str, int]) -> tuple[int, int]:
    """Of one execution: a judge is asked both ways round, and compares all but the first."""
    form = step.form
    if step.kind == "judge":
        return 2, 2
    if isinstance(form, SelectForm):
        of = [items[name] for name in step.values["of"].roots if name in items]
        return 0, 2 * (max(of, default=1) - 1) if form.by.judge is not None else 0
    return (1, 1) if step.calls else (0, 0)
