"""`headgate policy`: versions made, compared, promoted, rolled back and taught."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from service.cli import teaching
from service.cli.output import (
    DEFAULT_URL,
    AuthorOption,
    GlassFlag,
    JsonFlag,
    ReasonOption,
    UrlOption,
    client,
    duration_s,
    err,
    give,
    say,
    service_errors,
    settings,
    signed,
    table,
)

app = typer.Typer(
    help="Policy versions: list, compare, promote, roll back, teach.", no_args_is_help=True
)
teaching.register(app)

VersionId = Annotated[str, typer.Argument(help="A version's id, or the beginning of it.")]
EVALUATE_S = 330.0


@app.command("list", epilog="Example: headgate policy list --json")
def list_versions(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """All versions, and what was promoted and rolled back, newest first."""
    with service_errors():
        give(client(url).get("/admin/policies"), as_json, _show_all)


@app.command("show", epilog="Example: headgate policy show 0193f2aa")
def show(version: VersionId, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """One version with its parameters, checkpoints and promotions."""
    with service_errors():
        give(client(url).get(f"/admin/policies/{version}"), as_json, _show)


@app.command("diff", epilog="Example: headgate policy diff 0193f2aa 0193f2ab")
def diff(
    version: VersionId,
    other: VersionId,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """What the second version changes of the first."""
    with service_errors():
        give(client(url).get(f"/admin/policies/{version}/diff/{other}"), as_json, _show_diff)


@app.command(
    "create",
    epilog="Example: headgate policy create --set floor=0.02 "
    '--reason "explore less on the small ones"',
)
def create(
    reason: ReasonOption,
    kind: Annotated[str | None, typer.Option(help="A kind; the live one's by default.")] = None,
    parameters: Annotated[
        list[str] | None, typer.Option("--set", help="name=value, as often as you like.")
    ] = None,
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Make a version that an experiment, a shadow or a promotion may name."""
    body = {
        "kind": kind, "parameters": settings(parameters or []), **signed(author, reason),
    }  # fmt: skip
    with service_errors():
        give(client(url).post("/admin/policies", body), as_json, _show)


@app.command(
    "evaluate",
    epilog='Example: headgate policy evaluate 0193f2aa --reason "before it is ramped"',
)
def evaluate(
    version: VersionId,
    reason: ReasonOption,
    since: Annotated[str, typer.Option(help="How far back: 30m, 24h, 7d.")] = "7d",
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """What a version would have earned on the log: the gate before it may be exposed."""
    body = {
        **signed(author, reason),
        "hours": duration_s("--since", since) / 3_600.0,
    }  # fmt: skip
    with service_errors():
        with err.status("evaluating on the log"):
            found = client(url).post(f"/admin/policies/{version}/evaluate", body, EVALUATE_S)
        give(found, as_json, _show_evaluation)
    if not found["passed"]:
        raise typer.Exit(1)


def _show_evaluation(found: dict[str, Any]) -> None:
    said = "passes" if found["passed"] else "does not pass"
    say(f"{found['version']} {said}: {found['reason']}")


@app.command(
    "promote", epilog='Example: headgate policy promote 0193f2aa --reason "it won its experiment"'
)
def promote(
    version: VersionId,
    reason: ReasonOption,
    author: AuthorOption = None,
    break_glass: GlassFlag = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Let a version decide for everybody; while it is watched a tenth stays on the one before."""
    body = {**signed(author, reason), "break_glass": break_glass}
    with service_errors():
        give(client(url).post(f"/admin/policies/{version}/promote", body), as_json, _promoted)


@app.command(
    "rollback", epilog='Example: headgate policy rollback --reason "errors since the promotion"'
)
def rollback(
    reason: ReasonOption,
    to: Annotated[str | None, typer.Option(help="A version; the one before by default.")] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="One of its checkpoints; its last by default.")
    ] = None,
    author: AuthorOption = None,
    break_glass: GlassFlag = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Return to the version before with its last good checkpoint, on the next request."""
    body = {
        "to": to, "checkpoint": checkpoint, **signed(author, reason), "break_glass": break_glass,
    }  # fmt: skip
    with service_errors():
        give(client(url).post("/admin/policies/rollback", body), as_json, _promoted)


def _show_all(found: dict[str, Any]) -> None:
    table(
        ("id", "live", "kind", "made", "author", "reason"),
        [
            (v["id"], "live" if v["live"] else None, v["kind"], v["made_at"], v["author"],
             v["reason"])
            for v in found["versions"]
        ],
    )  # fmt: skip
    _show_promotions(found["promotions"])


def _show_promotions(found: list[dict[str, Any]]) -> None:
    if found:
        table(
            ("at", "how", "version", "from", "author", "reason"),
            [(p["at"], p["how"], p["version"], p["from_version"], p["author"], p["reason"])
             for p in found],
        )  # fmt: skip


def _show(found: dict[str, Any]) -> None:
    live = "live" if found["live"] else "not live"
    say(f"{found['id']}: {found['kind']}, {live}, by {found['author']}: {found['reason']}")
    if "parameters" in found:
        for name, value in found["parameters"]["parameters"].items():
            say(f"  {name} = {value}")
        table(
            ("id", "at", "updates", "bytes", "sha256"),
            [(c["id"], c["at"], c["update_seq"], c["size_bytes"], c["sha256"][:16])
             for c in found["checkpoints"]],
        )  # fmt: skip
        _show_promotions(found["promotions"])


def _show_diff(found: dict[str, Any]) -> None:
    if not found["changes"]:
        say("they differ in nothing")
        return
    table(
        ("field", "before", "after"),
        [(c["field"], str(c["before"]), str(c["after"])) for c in found["changes"]],
    )


def _promoted(found: dict[str, Any]) -> None:
    say(f"{found['version']} is live ({found['how']}), from checkpoint {found['checkpoint']}")
    if found["restored_checkpoint"]:
        say(f"restored byte for byte from checkpoint {found['restored_checkpoint']}")
