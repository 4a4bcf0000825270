"""`headgate queue`: what waits for a deployment, what died waiting, and another try."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from service.cli.output import (
    DEFAULT_URL,
    AuthorOption,
    JsonFlag,
    ReasonOption,
    UrlOption,
    client,
    give,
    out,
    service_errors,
    signed,
    table,
)

app = typer.Typer(help="Requests that no deployment could answer: look, try again, drop.")

TicketId = Annotated[str, typer.Argument(help="The ticket's id.")]


@app.command("list", epilog="Example: headgate queue list --json")
def list_queue(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """How many wait, since when, and which tickets died and why."""
    with service_errors():
        give(client(url).get("/admin/queue"), as_json, _show_queue)


def _show_queue(found: dict[str, Any]) -> None:
    if found["outage"]:
        out.print(f"outage: {found['outage']}", markup=False, highlight=False)
    if not found["enabled"]:
        out.print("the queue is off: the plan's queue.enabled is false")
        return
    probing = f", one try at a time, next in {found['next_try_in_s']:.0f} s"
    out.print(
        f"{found['waiting']} waiting, {found['running']} running, {found['done']} done, "
        f"{found['dead']} dead, {found['expired']} expired; the oldest waits "
        f"{found['oldest_s']:.0f} s; one more would be answered in {found['eta_s']:.0f} s"
        + (probing if found["probing"] else ""),
        highlight=False,
    )
    _show(found["tickets"] + found["dead_letters"])


def _show(tickets: list[dict[str, Any]]) -> None:
    if tickets:
        table(
            ("id", "status", "tries", "created", "expires", "code", "reason"),
            [
                (t["id"], t["status"], t["tries"], t["created_at"], t["expires_at"],
                 t["code"] or None, t["reason"] or None)
                for t in tickets
            ],
        )  # fmt: skip


@app.command("show", epilog="Example: headgate queue show 0193f2aa-...")
def show_ticket(ticket: TicketId, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """One ticket, without prompt and answer."""
    with service_errors():
        found = client(url).get(f"/admin/queue/{ticket}")
        give(found, as_json, lambda content: _show([content]))


@app.command(
    "retry", epilog='Example: headgate queue retry 0193f2aa-... --reason "the provider is back"'
)
def retry_ticket(
    ticket: TicketId,
    reason: ReasonOption,
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Let a dead or expired ticket wait again."""
    _tell(f"/admin/queue/{ticket}/retry", reason, author, url, as_json)


@app.command(
    "drop", epilog='Example: headgate queue drop 0193f2aa-... --reason "asked for by its owner"'
)
def drop_ticket(
    ticket: TicketId,
    reason: ReasonOption,
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Erase a ticket with its prompt and answer."""
    _tell(f"/admin/queue/{ticket}/drop", reason, author, url, as_json)


def _tell(path: str, reason: str, author: str | None, url: str, as_json: bool) -> None:
    body = signed(author, reason)
    with service_errors():
        found = client(url).post(path, body)
        give(
            found,
            as_json,
            lambda content: out.print(f"{content['id']} {content['status']}", markup=False),
        )
