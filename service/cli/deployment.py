"""`headgate deployment`: the health of the fleet, and the hand that resets a breaker."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from service.cli.output import (
    DEFAULT_URL,
    JsonFlag,
    UrlOption,
    client,
    give,
    out,
    service_errors,
    signed,
)
from service.cli.show import show_health

app = typer.Typer(help="Who is left alone, and why; and to take one back by hand.")


@app.command("list", epilog="Example: headgate deployment list")
def list_deployments(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """Every deployment's breaker, calls in work, and what stands against it."""
    with service_errors():
        found = client(url).get("/admin/status")["health"]
        give(found, as_json, show_health)


@app.command(
    "reset",
    epilog='Example: headgate deployment reset mill --reason "the provider says it is mended"',
)
def reset(
    deployment: Annotated[str, typer.Argument(help="The deployment.")],
    reason: Annotated[str, typer.Option(help="Why, in at least ten characters.")],
    author: Annotated[str | None, typer.Option(help="Who wants it; your login.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """End an ejection or a cool-down now."""
    body = signed(author, reason)
    with service_errors():
        found = client(url).post(f"/admin/deployments/{quote(deployment)}/reset", body)
        give(found, as_json, lambda _: out.print(f"{deployment} may be called again"))
