"""`headgate reload`: the plan file read again by a running service."""

from __future__ import annotations

from typing import Any

import typer

from service.cli.output import (
    DEFAULT_URL,
    JsonFlag,
    UrlOption,
    client,
    fail,
    give,
    out,
    service_errors,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: headgate reload --url http://127.0.0.1:8080")(reload)


def reload(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """Let the service read its plan file again; a bad plan is refused and the old one stays."""
    from service.client import ServiceError

    asked = client(url)
    with service_errors():
        try:
            found = asked.post("/admin/plan/reload", {})
        except ServiceError as error:
            if error.status == 422:
                fail(str(error))
            raise
        give(found, as_json, _show)


def _show(found: dict[str, Any]) -> None:
    out.print(f"the plan {found['sha256']} is in force since {found['loaded_at']}", highlight=False)
