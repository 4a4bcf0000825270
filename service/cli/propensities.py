"""`headgate propensities`: the audit of the logged probabilities, and the end of its alarm."""

from __future__ import annotations

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
    signed,
)
from service.cli.show import show_propensities

app = typer.Typer(
    help="Whether the logged probabilities are those that were drawn from.", no_args_is_help=True
)


@app.command("show", epilog="Example: headgate propensities show --json")
def show(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """What the audit has seen, and whether there is an alarm."""
    with service_errors():
        give(client(url).get("/admin/status")["propensities"], as_json, _show)


@app.command(
    "acknowledge",
    epilog='Example: headgate propensities acknowledge --reason "an import wrote over a day"',
)
def acknowledge(
    reason: Annotated[str, typer.Option(help="What was found, in at least ten characters.")],
    author: Annotated[str | None, typer.Option(help="Who looked; your login by default.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """End the alarm; the test begins anew with what is logged from here on."""
    body = signed(author, reason)
    with service_errors():
        found = client(url).post("/admin/propensities/acknowledge", body)
        give(found, as_json, _acknowledged)


def _show(found: dict[str, Any]) -> None:
    show_propensities(found)
    if found["broken"]:
        say(f"{found['broken']} decisions hold no distribution over their eligible deployments")
    said = f"ALARM since {found['alarm']}" if found["alarm"] else "no alarm"
    say(f"{said}; the test began {found['since']}")


def _acknowledged(found: dict[str, Any]) -> None:
    say(f"the alarm has ended; the test begins anew from {found['since']}")
