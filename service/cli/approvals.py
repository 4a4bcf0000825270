"""`headgate approvals`: what waits for a second person, and what did not wait."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from service.cli.output import (
    DEFAULT_URL,
    JsonFlag,
    ReasonOption,
    UrlOption,
    client,
    give,
    say,
    service_errors,
    table,
)

app = typer.Typer(help="Acts that raise exposure: a second person says yes or no.")

ApprovalId = Annotated[str, typer.Argument(help="Its id.")]
Words = Annotated[
    str | None, typer.Option("--author", help="Who says so; the name of the key without it.")
]


@app.command("list", epilog="Example: headgate approvals list --json")
def list_approvals(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """What waits, and what was done without a second person and nobody has looked at."""
    with service_errors():
        give(client(url).get("/admin/approvals"), as_json, _show)


def _show(found: dict[str, Any]) -> None:
    if not found["open"]:
        say(
            "nothing waits" + ("" if found["four_eyes"] else "; the plan asks for no second person")
        )
        return
    table(
        ("id", "state", "act", "subject", "asked by", "author", "reason", "expires"),
        [
            (a["id"], a["state"], a["act"], a["subject"], a["asked_by"], a["author"], a["reason"],
             a["expires_at"])
            for a in found["open"]
        ],
    )  # fmt: skip


@app.command("show", epilog="Example: headgate approvals show 0193f2aa-...")
def show(approval: ApprovalId, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """One, with the request exactly as it was asked."""
    with service_errors():
        give(client(url).get(f"/admin/approvals/{approval}"), as_json, _show_one)


def _show_one(found: dict[str, Any]) -> None:
    say(f"{found['act']} on {found['subject']}: {found['state']}")
    say(f"asked by {found['asked_by']} ({found['author']}) at {found['asked_at']}: "
        f"{found['reason']}")  # fmt: skip
    say(f"{found['request']['path']} {found['request']['body']}")


@app.command("approve", epilog='Example: headgate approvals approve 0193... --reason "I checked"')
def approve(
    approval: ApprovalId,
    reason: ReasonOption,
    author: Words = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Let it be done, now and as it was asked; takes another key than the one that asked."""
    with service_errors():
        found = client(url).post(f"/admin/approvals/{approval}/approve", _body(author, reason))
        give(found, as_json, _show_done)


def _show_done(found: dict[str, Any]) -> None:
    say(f"{found['id']} {found['state']}, and done")
    secret = (found.get("result") or {}).get("key")
    if secret:
        say(f"key {secret}\nkeep it now: it is shown once and kept nowhere")


@app.command("reject", epilog='Example: headgate approvals reject 0193... --reason "not today"')
def reject(
    approval: ApprovalId,
    reason: ReasonOption,
    author: Words = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Let it not be done; who asked may take it back this way."""
    with service_errors():
        found = client(url).post(f"/admin/approvals/{approval}/reject", _body(author, reason))
        give(found, as_json, lambda told: say(f"{told['id']} rejected"))


@app.command(
    "acknowledge", epilog='Example: headgate approvals acknowledge 0193... --reason "it was right"'
)
def acknowledge(
    approval: ApprovalId,
    reason: ReasonOption,
    author: Words = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Say that you have looked at what somebody else did without a second person."""
    with service_errors():
        found = client(url).post(f"/admin/approvals/{approval}/acknowledge", _body(author, reason))
        give(found, as_json, lambda told: say(f"{told['id']} acknowledged"))


def _body(author: str | None, reason: str) -> dict[str, Any]:
    return {"reason": reason} | ({"author": author} if author else {})
