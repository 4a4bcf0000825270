"""`headgate batch list`, `show`, `cancel`: the batches under way and ended, and an end to one."""

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
    moment,
    say,
    service_errors,
    signed,
    table,
)

app = typer.Typer(help="Batches: how they stand, when they are answered, an end to one.")

BatchId = Annotated[str, typer.Argument(help="The batch's id.")]


@app.command("list", epilog="Example: headgate batch list --limit 20 --json")
def list_batches(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="The newest.")] = 100,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """The batches, the newest first: whose, how far, and until when."""
    with service_errors():
        give(client(url).get("/admin/batches", limit=limit), as_json, _show_all)


def _show_all(found: dict[str, Any]) -> None:
    if not found["enabled"]:
        say("there are no batches: the plan has no section batches")
        return
    if "waiting" in found:
        say(f"{found['waiting']} requests wait, {found['running']} are being tried, "
            f"{found['away']} are with a provider's batch; one takes "
            f"{found['seconds_each']:.1f} s at most")  # fmt: skip
    if found["batches"]:
        _rows(found["batches"])


def _rows(batches: list[dict[str, Any]]) -> None:
    rows = []
    for each in batches:
        counts, ours = each["request_counts"], each["headgate"]
        rows.append((
            each["id"], each["tenant"] or None, each["status"], ours["priority"], counts["total"],
            counts["completed"], counts["failed"], moment(each["expires_at"]),
            moment(ours["latest_start"]),
        ))  # fmt: skip
    columns = ("id", "tenant", "status", "priority", "total", "done", "failed", "until",
               "latest start")  # fmt: skip
    table(columns, rows)


@app.command("show", epilog="Example: headgate batch show batch_0193f2aa...")
def show_batch(batch: BatchId, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """One batch: its counts, its times, and what was wrong with its file."""
    with service_errors():
        give(client(url).get(f"/admin/batches/{batch}"), as_json, _show)


def _show(found: dict[str, Any]) -> None:
    _rows([found])
    opens = moment(found["headgate"]["window_opens"])
    if opens is not None:
        say(f"the next window opens {opens}")
    for each in found["provider_batches"]:
        why = f", called off: {each['called_off']}" if each["called_off"] else ""
        say(f"{each['requests']} requests at {each['deployment']}: {each['state']}{why}")
    for each in (found["errors"] or {"data": []})["data"]:
        place = f"line {each['line']}: " if each["line"] else ""
        say(f"{place}{each['message']} ({each['code']})")


@app.command(
    "cancel", epilog='Example: headgate batch cancel batch_0193f2aa... --reason "wrong input file"'
)
def cancel_batch(
    batch: BatchId,
    reason: ReasonOption,
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Call a batch off; what is answered stays."""
    body = signed(author, reason)
    with service_errors():
        found = client(url).post(f"/admin/batches/{batch}/cancel", body)
        give(found, as_json, lambda content: say(f"{content['id']} {content['status']}"))
