"""The head of a workflow checked: inputs, what a chat completion needs, limits, the example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from service.orchestration.workflows.forms import InputForm, WorkflowForm
from service.orchestration.workflows.kinds import fault

Path_ = tuple[str | int, ...]
Tell = Callable[[Path_, str, str], None]


def check_inputs(form: WorkflowForm, tell: Tell) -> None:
    """Defaults and choices are of the type, and bounds are of what has them."""
    for name, each in form.inputs.items():
        _input(each, ("inputs", name), tell)


def _input(each: InputForm, at: Path_, tell: Tell) -> None:
    if each.default is not None and (why := fault(each.default, each.kind)):
        tell((*at, "default"), f"{why}, as the type says", "change one of them")
    for index, choice in enumerate(each.choices or ()):
        if why := fault(choice, each.kind):
            tell((*at, "choices", index), f"{why}, as the type says", "change it")
    if each.default is not None and each.choices and each.default not in each.choices:
        tell((*at, "default"), "is not among the choices", "add it there")
    if each.needed and each.default is not None:
        tell((*at, "required"), "has a default too", "drop one of them")
    number = each.kind.name in ("integer", "number")
    if not number and (each.min is not None or each.max is not None):
        tell(at, "min and max are of numbers", "use max_length, or drop them")
    if each.min is not None and each.max is not None and each.min > each.max:
        tell((*at, "min"), "is more than max", "turn them round")


def check_whole(form: WorkflowForm, tell: Tell) -> None:
    """What a chat completion needs is there; the limits let it finish; the example fits."""
    _chat(form, tell)
    if form.name == "runs":
        tell(("name",), "is a word of the API", "rename it")
    sure = sum(each.when is None for each in form.steps)
    if sure > form.limits.max_steps:
        tell(
            ("limits", "max_steps"), f"{sure} steps always run, so it can never finish",
            f"raise it to {sure} or more",
        )  # fmt: skip
    _example(form, tell)


def _chat(form: WorkflowForm, tell: Tell) -> None:
    for key, name, of in (
        ("chat_input", form.chat_input, form.inputs),
        ("chat_output", form.chat_output, form.outputs),
    ):
        if name is None:
            continue
        there: Any = of.get(name)
        if there is None:
            tell((key,), f"there is no {name!r}", f"give one of {', '.join(of)}")
        elif there.kind.name not in ("text", "any") and key == "chat_input":
            tell((key,), f"{name} is {there.kind}, not a text", "name a text")
    if (form.chat_input is None) != (form.chat_output is None):
        tell(("chat_input",), "chat_input and chat_output go together", "give both")
    if form.chat_input is None:
        return
    for name, each in form.inputs.items():
        if each.needed and name != form.chat_input:
            tell(
                ("inputs", name), "has no default, so a chat completion cannot start it",
                "give it one, or drop chat_input and chat_output",
            )  # fmt: skip


def _example(form: WorkflowForm, tell: Tell) -> None:
    if form.example is None:
        return
    for name, value in form.example.inputs.items():
        at: Path_ = ("example", "inputs", name)
        if name not in form.inputs:
            tell(at, f"there is no input {name!r}", "drop it")
        elif why := fault(value, form.inputs[name].kind):
            tell(at, why, "change it")
    for name, each in form.inputs.items():
        if each.needed and name not in form.example.inputs:
            tell(("example", "inputs"), f"lacks {name}, which is required", "give it")
