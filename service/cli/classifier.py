"""`headgate classifier`: what the classifier of tasks has learned from people's labels."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import typer

from service.cli.output import (
    DEFAULT_URL,
    JsonFlag,
    UrlOption,
    client,
    give,
    say,
    service_errors,
    table,
)

app = typer.Typer(help="What the classifier of tasks has learned from people's labels.")


@app.command("show", epilog="Example: headgate classifier show")
def show_classifier(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """Which one is in force, and what came of the last refits."""
    with service_errors():
        give(client(url).get("/admin/classifier"), as_json, _show)


@app.command(
    "rollback", epilog='Example: headgate classifier rollback --reason "it takes code for maths"'
)
def rollback_classifier(
    reason: Annotated[str, typer.Option(help="Why, in at least ten characters.")],
    author: Annotated[str | None, typer.Option(help="Who wants it; your login by default.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Go back to the one before the one in force."""
    body = {"reason": reason, "author": author or getpass.getuser()}
    with service_errors():
        found = client(url).post("/admin/classifier/rollback", body)
        give(found, as_json, lambda each: say(_in_force(each["current"])))


def _in_force(current: str) -> str:
    return f"in force: {current or 'the classifier without labels'}"


def _show(found: dict[str, Any]) -> None:
    if not found["classifying"]:
        say("the plan has no classifier of tasks")
        return
    say(_in_force(found["current"]))
    say(f"{found['new_labels']} labels since the last refit; the next one at {found['refit_at']}")
    table(
        ("when", "what", "labels", "log loss", "before", "reason"),
        [
            (a["at"], a["act"].removeprefix("classifier."), a.get("labels", "-"),
             _number(a, "loss"), _number(a, "before"), a["reason"] or "-")
            for a in found["acts"]
        ],
    )  # fmt: skip


def _number(act: dict[str, Any], name: str) -> str:
    compared = act.get("compared")
    return f"{compared[name]:.4f}" if compared else "-"
