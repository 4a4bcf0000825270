"""`headgate audit`: what people and the service did, and whether the account of it is whole."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.output import DEFAULT_URL, JsonFlag, UrlOption, client, fail, give, say, table
from service.cli.output import service_errors as answered

app = typer.Typer(help="Who did what, when and from where; and whether that account is whole.")

History = Annotated[
    str | None,
    typer.Option("--state", help="Read this directory's published history; needs no service."),
]
Since = Annotated[str, typer.Option("--since", help="From this time on: 2026-03-01T14:05Z.")]
Until = Annotated[str, typer.Option("--until", help="Before this time.")]
Actor = Annotated[str, typer.Option("--actor", help="The name of a key, or of an author.")]
ActName = Annotated[str, typer.Option("--act", help="One act, or all of a noun: override.")]
Subject = Annotated[str, typer.Option("--subject", help="What it was done to.")]
_SHOWN = ("since", "until", "actor", "act", "subject")


@app.command("list", epilog="Example: headgate audit list --act override --since 2026-03-01")
def list_acts(
    state: History = None,
    since: Since = "",
    until: Until = "",
    actor: Actor = "",
    act: ActName = "",
    subject: Subject = "",
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 50,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """What was done, the newest first."""
    asked = dict(zip(_SHOWN, (since, until, actor, act, subject), strict=True))
    if state is None:
        with answered():
            found = client(url).get("/admin/audit", **asked, limit=limit)
    else:
        from service.storage.trail import acts, shown

        with _published(state) as connection:
            rows = acts(connection, _wanted(asked, limit))
        found = {"acts": [shown(each) for each in rows], "next": None}
    give(found, as_json, _show)


def _show(found: dict[str, Any]) -> None:
    table(
        ("row", "at", "actor", "role", "act", "subject", "reason", "author", "from"),
        [
            (a["log_seq"], a["ts"], a["actor"], a["role"] or None, a["act"], a["subject"],
             a["reason"], a["author"] or None, a["ip"] or None)
            for a in found["acts"]
        ],
    )  # fmt: skip


@app.command("verify", epilog="Example: headgate audit verify --state state")
def verify(
    state: History = None,
    head: Annotated[str, typer.Option(help="A hash from an earlier look, kept elsewhere.")] = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Look through the whole chain; ends with 1 and names the rows where it does not hold."""
    if state is None:
        with answered():
            found = client(url).get("/admin/audit/verify", head=head)
    else:
        from service.storage.errors import StorageError
        from service.storage.trail import look_published

        try:
            found = look_published(Path(state), head).shown()
        except StorageError as error:
            fail(str(error))
    give(found, as_json, _show_look)
    if not found["holds"]:
        raise typer.Exit(1)


def _show_look(found: dict[str, Any]) -> None:
    last = found["head"]
    if found["holds"]:
        against = "" if found["anchored"] else "; nothing of it is published yet to hold it against"
        say(f"the chain holds: {found['rows']} acts, the last is row {last['seq']}{against}")
        say(f"head {last['hash']}")
        return
    say(f"THE CHAIN DOES NOT HOLD: {found['broken']} breaks in {found['rows']} acts")
    for each in found["breaks"]:
        say(f"row {each['row']} {each['id'] or ''}: {each['what']}")
    for path in found["unread"]:
        say(f"{path}: this published file is not what was written")


@app.command("export", epilog="Example: headgate audit export --format csv > audit.csv")
def export(
    state: History = None,
    kind: Annotated[str, typer.Option("--format", help="jsonl or csv")] = "jsonl",
    since: Since = "",
    until: Until = "",
    actor: Actor = "",
    act: ActName = "",
    subject: Subject = "",
    url: UrlOption = DEFAULT_URL,
) -> None:
    """All of it, oldest first, as JSON lines or as CSV in which nothing is a formula."""
    from service.domain.exporting import csv_lines, json_lines
    from service.storage.trail import COLUMNS, all_acts

    lines: dict[str, Callable[..., Iterable[str]]] = {"jsonl": json_lines, "csv": csv_lines}
    if kind not in lines:
        fail("--format takes jsonl or csv", 2)
    asked = dict(zip(_SHOWN, (since, until, actor, act, subject), strict=True))
    if state is not None:
        with _published(state) as connection:
            _write(lines[kind](COLUMNS, all_acts(connection, _wanted(asked, 100))))
        return
    with answered():
        _write(client(url).lines("/admin/audit/export", format=kind, **asked))


def _write(lines: Iterable[str]) -> None:
    for each in lines:
        sys.stdout.write(each)


def _published(state: str) -> Any:
    from service.cli.history import opened

    return opened(state)


def _wanted(asked: Mapping[str, str], limit: int) -> Any:
    from service.domain.clock import moment_us
    from service.storage.trail import Wanted

    def us(name: str) -> int | None:
        if not asked[name]:
            return None
        try:
            return moment_us(asked[name])
        except ValueError:
            fail(f"--{name} takes a time such as 2026-03-01T14:05Z", 2)

    return Wanted(us("since"), us("until"), asked["actor"], asked["act"], asked["subject"],
                  limit=limit)  # fmt: skip
