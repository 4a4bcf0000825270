"""`headgate cache show`, `invalidate`, `semantic`: what kept answers bring; taken back, put off."""

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
    fail,
    give,
    say,
    service_errors,
    signed,
    table,
)

app = typer.Typer(help="Kept answers: what they bring, and answers taken back.")
semantic = typer.Typer(
    help="Answers for like questions: put a task off, or on again.",
    epilog='Example: headgate cache semantic off --task faq --reason "the prices are changing"',
)
app.add_typer(semantic, name="semantic")
TaskOption = Annotated[str, typer.Option("--task", help="Of this task.")]


@app.command("show", epilog="Example: headgate cache show --json")
def show(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """What is kept, what came of requests since the start, and what that saved."""
    with service_errors():
        give(client(url).get("/admin/cache"), as_json, _show)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def show_cache_line(found: dict[str, Any]) -> None:
    """What it brings, in a line; nothing where nothing is kept."""
    if not found["enabled"]:
        return
    off = [each["task"] for each in (found["semantic"] or {"tasks": []})["tasks"] if each["off"]]
    say(f"kept answers: {_share(found['value_rate'])} saved by value, about "
        f"${found['saved_usd_estimate']:.4f} since the start; {_share(found['hit_rate'])} by count"
        f"{', caching is raised' if found['raised_by'] else ''}"
        f"{', off for like questions of ' + ', '.join(off) if off else ''} "
        "(headgate cache show)")  # fmt: skip


def _show(found: dict[str, Any]) -> None:
    if not found["enabled"]:
        say("nothing is kept: the plan has no section cache")
        return
    asked = found["requests"]
    raised = ", caching is raised" if found["raised_by"] else ""
    say(f"{found['entries']} answers, {found['bytes'] / 1e6:.1f} of "
        f"{found['most_bytes'] / 1e6:.0f} MB{raised}")  # fmt: skip
    say(f"{asked['hit']} hits, {asked['shared']} shared a call, {asked['miss']} misses "
        f"({_share(found['hit_rate'])} by count, {_share(found['value_rate'])} by value), "
        f"{asked['bypass']} passed by")  # fmt: skip
    say(f"saved about ${found['saved_usd_estimate']:.6f}, by what the first answers cost; misses "
        f"cost ${found['spent_on_misses_usd']:.6f}")  # fmt: skip
    rows = [
        (each["task"], each["hits"], each["shared"], each["misses"],
         f"{each['saved_usd_estimate']:.6f}")
        for each in found["tasks"]
    ]  # fmt: skip
    if rows:
        table(("task", "hits", "shared", "misses", "saved $"), rows)
    _show_semantic(found["semantic"])
    for name, words in (("passed_by", "passed by"), ("not_kept", "not kept"), ("ended", "ended")):
        if found[name]:
            told = ", ".join(f"{why} {number}" for why, number in sorted(found[name].items()))
            say(f"{words}: {told}")
    if found["disk_trouble"]:
        say(f"in memory alone: {found['disk_trouble']}")


def _show_semantic(found: dict[str, Any] | None) -> None:
    if found is None:
        return
    say(f"for like questions: {found['entries']} answers, regenerating cost "
        f"${found['shadow_spent_usd']:.6f} today")  # fmt: skip
    rows = [
        (each["task"], each["counts"].get("asked", 0), each["counts"].get("given", 0),
         each["regenerated"], each["wrong"], _share(each["false_hits_at_most"]),
         f"off: {each['off']}" if each["off"] else "held" if each["held"] else "not yet known")
        for each in found["tasks"]
    ]  # fmt: skip
    table(("task", "had a like one", "given", "regenerated", "wrong", "at most", "bound"), rows)


@app.command(
    "invalidate",
    epilog='Example: headgate cache invalidate --tag prices --reason "the price list has changed"',
)
def invalidate(
    reason: ReasonOption,
    tag: Annotated[str | None, typer.Option(help="Answers with this tag.")] = None,
    deployment: Annotated[str | None, typer.Option(help="Answers of this one.")] = None,
    task: Annotated[str | None, typer.Option(help="Of this task.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant.")] = None,
    before: Annotated[
        str | None, typer.Option(help="Kept before then, as 2026-03-01T14:05Z (UTC).")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Take answers back: those that every option takes; they do not come back by a restart."""
    given = {"tag": tag, "deployment": deployment, "task": task, "tenant": tenant, "before": before}
    which: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if every == bool(which):
        fail("give --tag, --deployment, --task, --tenant or --before, or --all alone", 2)
    body = which | {"all": every} | signed(author, reason)
    with service_errors():
        give(client(url).post("/admin/cache/invalidate", body), as_json, _taken)


def _taken(found: dict[str, Any]) -> None:
    say(f"{found['invalidated']} answers are taken back")


@semantic.command(
    "on",
    epilog='Example: headgate cache semantic on --task faq --reason "the answers were mended"',
)
def semantic_on(
    task: TaskOption,
    reason: ReasonOption,
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Give answers for like questions again, measured anew; a restart leaves it on."""
    _switch(url, {"task": task, "on": True} | signed(author, reason), as_json)


@semantic.command(
    "off",
    epilog='Example: headgate cache semantic off --task faq --reason "the prices are changing"',
)
def semantic_off(
    task: TaskOption,
    reason: ReasonOption,
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Give none any more, from the next request on, until it is put on again."""
    _switch(url, {"task": task, "on": False} | signed(author, reason), as_json)


def _switch(url: str, body: dict[str, Any], as_json: bool) -> None:
    with service_errors():
        give(client(url).post("/admin/cache/semantic/switch", body), as_json, _show_semantic)


def show_given_again(found: dict[str, Any]) -> None:
    """Whose answer a request was given."""
    waited = "waited for the same request's call" if found["kind"] == "shared" else "kept before"
    say(
        f"given again: the answer of {found['deployment']} to {found['of']}, {waited}, "
        f"{found['age_s']:.0f} s old; its call cost ${found['saved_usd']:.6f}"
    )
