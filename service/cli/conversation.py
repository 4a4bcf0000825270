"""`headgate conversation show`, `export`, `delete`: kept conversations, and the erasure of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.output import (
    DEFAULT_URL,
    JsonFlag,
    UrlOption,
    client,
    fail,
    give,
    say,
    service_errors,
)

app = typer.Typer(help="Conversations that the service keeps.")
Name = Annotated[str, typer.Argument(help="The conversation's name.")]
Label = Annotated[
    str, typer.Option("--tenant", help="The label that its requests carried, of a tenantless key.")
]


@app.callback()
def _group() -> None:
    """Conversations that the service keeps."""


def _path(name: str) -> str:
    from urllib.parse import quote

    return f"/v1/conversations/{quote(name, safe='')}"


def _whole(url: str, name: str, tenant: str) -> dict[str, Any]:
    with service_errors():
        more = {"tenant": tenant} if tenant else {}
        found: dict[str, Any] = client(url).get(_path(name), **more)
        return found
    raise AssertionError


@app.command("show", epilog="Example: headgate conversation show tour")
def show(
    name: Name, tenant: Label = "", url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False
) -> None:
    """What is kept of a conversation: turns, pins, preferences, what is named, the summary."""
    give(_whole(url, name, tenant), as_json, _show)


def _show(found: dict[str, Any]) -> None:
    say(f"{found['id']}: {len(found['turns'])} turns, last at {found['seen_at']}")
    for name in ("pinned", "preferences"):
        for each in found[name]:
            say(f"{name}: {each}")
    for kind, values in found["entities"].items():
        say(f"{kind}: {', '.join(values)}")
    if found["summary"]:
        summary = found["summary"]
        say(f"summary up to turn {summary['through']}: {summary['text']}")
    for turn in found["turns"]:
        for message in turn["messages"]:
            content = message.get("content")
            told = content if isinstance(content, str) else json.dumps(content)
            if message.get("tool_calls"):
                told = json.dumps(message["tool_calls"])
            say(f"{turn['number']} {message['role']} ({turn['deployment']}): {told}")


@app.command("export", epilog="Example: headgate conversation export tour tour.json")
def export(
    name: Name,
    file: Annotated[Path, typer.Argument(help="Written there as JSON.")],
    tenant: Label = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Write a conversation whole to a file that only its owner can read."""
    found = _whole(url, name, tenant)
    try:
        file.touch(0o600)
        file.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")
    told = {"id": name, "file": str(file), "turns": len(found["turns"])}
    give(told, as_json, lambda made: say(f"{made['turns']} turns written to {made['file']}"))


@app.command("delete", epilog="Example: headgate conversation delete --user ann@example.com")
def delete(
    name: Annotated[str | None, typer.Argument(help="The conversation's name.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="All of this user instead.")] = None,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="With --user: whichever key they came by.")
    ] = False,
    tenant: Label = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Erase a conversation, or all of a user: nothing of them stays in any file."""
    from urllib.parse import quote

    if (name is None) == (user is None) or (everywhere and user is None):
        fail("give a conversation's name, or --user (with --everywhere, if so wanted)", 2)
    if user is not None:
        path = f"/{'admin' if everywhere else 'v1'}/users/{quote(user, safe='')}/conversations"
    else:
        path = _path(name or "") + (f"?tenant={quote(tenant, safe='')}" if tenant else "")
    with service_errors():
        found = client(url).delete(path)
        give(found, as_json, lambda made: say(f"erased: {int(made['deleted'])}"))
