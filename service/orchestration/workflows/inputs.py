"""The inputs of a run, checked: given, defaulted, of their types and within their bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from service.domain.errors import InvalidRequest
from service.orchestration.workflows.forms import InputForm
from service.orchestration.workflows.kinds import fault
from service.orchestration.workflows.steps import Workflow


def checked(workflow: Workflow, given: Mapping[str, Any]) -> dict[str, Any]:
    """All inputs, absent ones None; raises InvalidRequest that names the field and the mend."""
    forms = workflow.form.inputs
    for name in given:
        if name not in forms:
            known = ", ".join(forms)
            raise InvalidRequest(
                f"inputs.{name}: the workflow has no such input; it has {known}",
                param=f"inputs.{name}",
            )
    found: dict[str, Any] = {}
    for name, form in forms.items():
        value = given.get(name, form.default)
        if value is None:
            if form.needed:
                raise InvalidRequest(
                    f"inputs.{name} is missing: {form.description or form.type}",
                    param=f"inputs.{name}",
                )
            found[name] = None
            continue
        if why := fault(value, form.kind) or _beyond(value, form) or _unsent(value):
            raise InvalidRequest(f"inputs.{name} {why}", param=f"inputs.{name}")
        found[name] = value
    return found


def _beyond(value: Any, form: InputForm) -> str:
    if form.choices and value not in form.choices:
        return f"must be one of {', '.join(str(each) for each in form.choices)}"
    if form.min is not None and value < form.min:
        return f"must be at least {form.min:g}"
    if form.max is not None and value > form.max:
        return f"must be at most {form.max:g}"
    if form.max_length is not None and len(value) > form.max_length:
        return f"must have at most {form.max_length} characters or items"
    return ""


def _unsent(value: Any) -> str:
    """Why no JSON can be made of it, as every call and every kept run needs."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return "holds half a character (a lone surrogate); send whole ones"
    return ""
