"""What forms are made of: a field with its name and its mend, a choice, a reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from service.console.looker import LEAST_REASON, MOST_REASON, Looker, Open
from service.console.nodes import Node, h


@dataclass(frozen=True, slots=True)
class Form:
    """A form: what it is called, what it asks, what it would do (in words), and the act itself.

    ``sure``: in two steps; ``danger``: it takes something out of service. ``act`` says what came
    of it.
    """

    title: str
    does: str
    fields: Callable[[Looker, Open], list[Node]]
    check: Callable[[Looker, Open], Awaitable[list[Node]]]
    act: Callable[[Looker, Open, str], Awaitable[str]]
    sure: bool = True
    danger: bool = False
    asks: str = "Why"


def chosen(form: str, what: str) -> dict[str, str]:
    """What is filled in already: ``override:exclude/brook`` chooses both."""
    if form != "override" or "/" not in what:
        return {}
    action, _, deployment = what.partition("/")
    return {"action": action, "deployment": deployment}


def choice(name: str, label: str, options: Iterable[tuple[str, str]], now: Open) -> Node:
    """One of a few."""
    value = now.fields.get(name, "")
    inner = [
        h("option", shown, value=given, selected=given == value or None) for given, shown in options
    ]
    field = f"hg-{name}"
    return h("div", h("label", label, for_=field), h("select", *inner, id=field, name=name),
             cls="hg-field")  # fmt: skip


def radios(name: str, label: str, options: Iterable[tuple[str, str, str]], now: Open) -> Node:
    """One of a few, each with what it means."""
    value = now.fields.get(name, "")
    inner = []
    for given, shown, note in options:
        field = f"hg-{name}-{given}"
        inner.append(
            h(
                "div",
                h("input", type="radio", id=field, name=name, value=given, required=True,
                  checked=given == value or None),
                h("label", h("span", shown), h("small", note) if note else None, for_=field),
                cls="hg-radio",
            )
        )  # fmt: skip
    return h("fieldset", h("legend", label), *inner)


def entry(name: str, label: str, hint: str, now: Open) -> Node:
    """A text that may be left out."""
    field = f"hg-{name}"
    return h(
        "div", h("label", label, for_=field),
        h("input", id=field, name=name, value=now.fields.get(name, ""), placeholder=hint,
          spellcheck="false"), cls="hg-field",
    )  # fmt: skip


def reason_field(now: Open, label: str) -> Node:
    """Why: at least ten characters, read by the next one on duty."""
    return h(
        "div", h("label", label, for_="hg-reason"),
        h("textarea", id="hg-reason", name="reason", rows="2", maxlength=str(MOST_REASON),
          value=now.fields.get("reason", ""), required=True, aria_describedby="hg-reason-hint"),
        h("p", f"At least {LEAST_REASON} characters.", id="hg-reason-hint", cls="hg-hint"),
        cls="hg-field",
    )  # fmt: skip


async def nothing(looker: Looker, now: Open) -> list[Node]:
    """Of a form in one step."""
    return []
