"""`headgate knowledge`: what was tried, and what came of it."""

from __future__ import annotations

import getpass
import textwrap
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

app = typer.Typer(help="Every change ever tried, and what came of it.", no_args_is_help=True)

Tags = Annotated[list[str] | None, typer.Option("--tag", help="Only with it; several: with all.")]
Since = Annotated[str | None, typer.Option(help="Ended since a date: 2026-03-01.")]
Past = Annotated[bool, typer.Option("--past", help="Superseded entries as well.")]
Limit = Annotated[int, typer.Option(help="At most so many.")]


@app.command("search", epilog='Example: headgate knowledge search "cheap answers" --tag mill')
def search(
    words: Annotated[list[str], typer.Argument(help="Plain words.")],
    tag: Tags = None,
    since: Since = None,
    past: Past = False,
    limit: Limit = 20,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """What fits the words best: titles and tags weigh most, then hypotheses, then why."""
    asked = {"words": " ".join(words), "tag": tag, "since": since, "past": past, "limit": limit}
    _find(asked, url, as_json)


@app.command("list", epilog="Example: headgate knowledge list --since 2026-03-01 --json")
def list_entries(
    tag: Tags = None,
    since: Since = None,
    past: Past = False,
    limit: Limit = 50,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """All entries, the newest first."""
    _find({"tag": tag, "since": since, "past": past, "limit": limit}, url, as_json)


@app.command("show", epilog="Example: headgate knowledge show 0193f2aa")
def show(
    entry: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """One entry whole, and what else was tried like it."""
    with service_errors():
        give(client(url).get(f"/admin/knowledge/{entry}"), as_json, _show_one)


@app.command(
    "add",
    epilog='Example: headgate knowledge add "shorter answers" --why "users skipped the rest" '
    '--result "ratings fell by 3 %" --decision "taken back" --tag code',
)
def add(
    title: Annotated[str, typer.Argument(help="What was tried.")],
    why: Annotated[str, typer.Option(help="Why, in at least ten characters.")],
    hypothesis: Annotated[str, typer.Option(help="What was expected.")] = "",
    design: Annotated[str, typer.Option(help="How it was tried.")] = "",
    result: Annotated[str, typer.Option(help="What came of it.")] = "",
    decision: Annotated[str, typer.Option(help="What was decided.")] = "",
    tag: Annotated[list[str] | None, typer.Option("--tag", help="As often as you like.")] = None,
    link: Annotated[
        list[str] | None, typer.Option("--link", help="name=value, as often as you like.")
    ] = None,
    supersedes: Annotated[str | None, typer.Option(help="The entry that this corrects.")] = None,
    author: Annotated[str | None, typer.Option(help="Who tried; your login by default.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Write an entry; nothing is ever changed, a correction supersedes."""
    body = {
        "title": title, "why": why, "hypothesis": hypothesis, "design": design, "result": result,
        "decision": decision, "tags": tag or [], "links": _links(link or []),
        "supersedes": supersedes, "author": author or getpass.getuser(),
    }  # fmt: skip
    with service_errors():
        found = client(url).post("/admin/knowledge", body)
        give(found, as_json, lambda content: say(f"{content['id']} is kept"))


def _links(texts: list[str]) -> dict[str, str]:
    found = {}
    for each in texts:
        name, equals, value = each.partition("=")
        if not (name and equals and value):
            fail(f"--link takes name=value, not {each!r}", 2)
        found[name] = value
    return found


def _find(asked: dict[str, Any], url: str, as_json: bool) -> None:
    given = {name: value for name, value in asked.items() if value not in (None, False)}
    with service_errors():
        give(client(url).get("/admin/knowledge", **given), as_json, _show)


def _show(found: dict[str, Any]) -> None:
    if not found["entries"]:
        say("nothing of that kind was tried")
        return
    for each in found["entries"]:
        say(f"{each['id']}  {each['tried_at'][:10]}  {each['title']}")
        say(f"    {each['cited']}")
        if each["tags"]:
            say(f"    {', '.join(each['tags'])}")
    more = found["found"] - len(found["entries"])
    if more > 0:
        say(f"{more} more; give a greater --limit, or more words")


def _show_one(entry: dict[str, Any]) -> None:
    say(f"{entry['title']}\n{entry['cited']}")
    for name in ("hypothesis", "design", "result", "decision", "why"):
        value = entry[name]["words"] if isinstance(entry[name], dict) and "words" in entry[name] \
            else entry[name]  # fmt: skip
        if value:
            say(textwrap.fill(f"{name}: {value}", 100, subsequent_indent="    "))
    say(f"by {entry['author']}, written {entry['at']} ({entry['source']})")
    for name, value in entry["links"].items():
        say(f"    {name}: {value}")
    if entry["tags"]:
        say(f"tags: {', '.join(entry['tags'])}")
    for name in ("supersedes", "superseded_by"):
        if entry[name]:
            say(f"{name.replace('_', ' ')}: {entry[name]}")
    for each in entry["related"]:
        say(f"like it: {each['id']}  {each['title']}\n    {each['cited']}")
