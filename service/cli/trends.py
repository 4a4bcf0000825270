"""`headgate trends`: what has changed over days and weeks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.output import (
    DEFAULT_URL,
    JsonFlag,
    UrlOption,
    client,
    err,
    fail,
    give,
    say,
    service_errors,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: headgate trends --state state")(trends)


def trends(
    state: Annotated[
        str | None, typer.Option("--state", help="Read its published history, not a service.")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="With --state: the rating that is quality; the usual one.")
    ] = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Changes of quality, errors, latency, cost, length, spend and ratings that are no chance."""
    if state is not None:
        give(_of_history(Path(state), metric), as_json, _show)
        return
    with service_errors():
        give(client(url).get("/admin/trends"), as_json, _show)


def _of_history(state: Path, metric: str) -> dict[str, Any]:
    from service.storage.daily import DAY_US, span, trends
    from service.storage.errors import StorageError
    from service.storage.history import connect
    from service.storage.manifest import read_manifest

    try:
        connection = connect(state)
        held = span(connection)
        # A day is whole once something was published after it.
        whole = int(read_manifest(state).published_at * 1e6) // DAY_US - 1
        with err.status("counting days"):
            found = trends(connection, min(held.last, whole), metric) if held else None
    except StorageError as error:
        fail(str(error))
    if found is None:
        return {"pending": True, "findings": []}
    return {"pending": False, **found.to_dict()}


def _show(found: dict[str, Any]) -> None:
    if found["pending"]:
        say("nothing was judged yet: no whole day is in the log, or the first look is to come")
        return
    say(f"{found['series']} series from {found['since']} through {found['through']}")
    for why, number in found["silent"].items():
        say(f"{number} series cannot be judged: {why}")
    if not found["findings"]:
        say("no change that is more than chance")
    for each in found["findings"]:
        mark = "SEVERE" if each["severe"] else "worse" if each["harmful"] else "better"
        say(f"{mark}: {each['words']}")
