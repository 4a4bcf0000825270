"""`headgate override`: the operator's hand."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from service.cli.output import (
    DEFAULT_URL,
    AuthorOption,
    GlassFlag,
    JsonFlag,
    ReasonOption,
    UrlOption,
    client,
    duration_s,
    give,
    out,
    service_errors,
    signed,
)
from service.cli.show import show_overrides

app = typer.Typer(help="Force or exclude a deployment by hand; it ends by itself.")


@app.command(
    "set",
    epilog='Example: headgate override set exclude mill --for 30m --reason "errors since 14:05"',
)
def set_override(
    action: Annotated[str, typer.Argument(help="force or exclude")],
    deployment: Annotated[str, typer.Argument(help="The deployment.")],
    reason: ReasonOption,
    task: Annotated[str | None, typer.Option(help="For one task only.")] = None,
    lasts: Annotated[str, typer.Option("--for", help="How long: 90s, 30m, 4h, at most 7d.")] = "4h",
    author: AuthorOption = None,
    break_glass: GlassFlag = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Lay an override; it is in effect on the next request."""
    body = {
        "action": action,
        "deployment": deployment,
        "task": task,
        **signed(author, reason),
        "expires_in_s": duration_s("--for", lasts),
        "break_glass": break_glass,
    }
    with service_errors():
        give(client(url).post("/admin/overrides", body), as_json, _show_set)


def _show_set(found: dict[str, Any]) -> None:
    where = f"for {found['task']}" if found["task"] else "everywhere"
    out.print(
        f"{found['action']} {found['deployment']} {where} until {found['expires_at']}\n"
        f"id {found['id']}",
        highlight=False,
        markup=False,
    )


@app.command("list", epilog="Example: headgate override list --json")
def list_overrides(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """The overrides in force."""
    with service_errors():
        found = client(url).get("/admin/overrides")
        give(found, as_json, lambda content: show_overrides(content["overrides"]))


@app.command("show", epilog="Example: headgate override show 0193f2aa-...")
def show_override(
    override: Annotated[str, typer.Argument(help="Its id.")],
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """One override in force."""
    with service_errors():
        found = client(url).get(f"/admin/overrides/{override}")
        give(found, as_json, lambda content: show_overrides([content]))


@app.command(
    "lift", epilog='Example: headgate override lift 0193f2aa-... --reason "it is fixed now"'
)
def lift_override(
    override: Annotated[str, typer.Argument(help="Its id.")],
    reason: ReasonOption,
    author: AuthorOption = None,
    break_glass: GlassFlag = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """End an override before its time."""
    body = {**signed(author, reason), "break_glass": break_glass}
    with service_errors():
        found = client(url).post(f"/admin/overrides/{override}/lift", body)
        give(found, as_json, lambda content: out.print(f"{content['id']} lifted", markup=False))
