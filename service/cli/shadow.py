"""`headgate shadow`: versions that decide beside the live one."""

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
    say,
    service_errors,
    signed,
    table,
)

app = typer.Typer(help="Let another version decide beside the live one, and see how it would do.")

Version = Annotated[str, typer.Argument(help="The version's id.")]


@app.command(
    "start",
    epilog='Example: headgate shadow start 0193f2aa-... --share 0.5 --reason "before promoting it"',
)
def start_shadow(
    version: Version,
    reason: ReasonOption,
    share: Annotated[float, typer.Option(help="Of the decisions, above 0 to 1.")] = 1.0,
    mirror_share: Annotated[
        float, typer.Option(help="Of these, whose calls are mirrored; costs money.")
    ] = 0.0,
    usd_per_day: Annotated[
        float, typer.Option(help="What mirrored calls and their judge may cost a day (UTC).")
    ] = 0.0,
    judge: Annotated[
        str | None, typer.Option(help="The deployment that compares the answers, blind.")
    ] = None,
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Start one; no caller notices."""
    body = {
        "version_id": version,
        "share": share,
        "mirror_share": mirror_share,
        "usd_per_day": usd_per_day,
        "judge": judge,
        **signed(author, reason),
    }
    with service_errors():
        give(client(url).post("/admin/shadows", body), as_json, _show_head)


@app.command("list", epilog="Example: headgate shadow list --json")
def list_shadows(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """Those that run, then those that were stopped."""
    with service_errors():
        give(client(url).get("/admin/shadows"), as_json, _show_all)


@app.command("show", epilog="Example: headgate shadow show 0193f2aa-...")
def show_shadow(version: Version, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """One, beside the live policy."""
    with service_errors():
        give(client(url).get(f"/admin/shadows/{version}"), as_json, _show_one)


@app.command("stop", epilog='Example: headgate shadow stop 0193f2aa-... --reason "seen enough"')
def stop_shadow(
    version: Version,
    reason: ReasonOption,
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Stop one."""
    body = signed(author, reason)
    with service_errors():
        found = client(url).post(f"/admin/shadows/{version}/stop", body)
        give(found, as_json, lambda content: say(f"{content['version_id']} stopped"))


def _show_all(found: dict[str, Any]) -> None:
    each = [*found["running"], *found["ended"]]
    if not each:
        say("no shadow has run")
        return
    table(
        ("version", "state", "share", "mirrored", "usd a day", "today", "judge", "since", "by"),
        [
            (s["version_id"], s["state"], s["share"], s["mirror_share"], s["usd_per_day"],
             s["spent_today_usd"], s["judge"], s["started_at"], s["author"])
            for s in each
        ],
    )  # fmt: skip
    if found["dropped"]:
        say(f"{found['dropped']} decisions were dropped for want of room")


def _show_head(found: dict[str, Any]) -> None:
    mirrors = f", mirrors {found['mirror_share']:g} of these for at most ${found['usd_per_day']:g}"
    judge = f", judged by {found['judge']}" if found["judge"] else ""
    say(
        f"version {found['version_id']} {found['state']}: decides beside {found['share']:g} of the "
        f"decisions{mirrors + ' a day' + judge if found['mirror_share'] else ''}\n"
        f"since {found['started_at']}, {found['author']}: {found['reason']}"
    )
    if found["trouble"]:
        say(f"it is not followed: {found['trouble']}")
    for name in ("decisions", "mirroring"):
        if found[name]:
            say(f"{name}: " + ", ".join(f"{what} {n}" for what, n in found[name].items()))


def _show_one(found: dict[str, Any]) -> None:
    _show_head(found)
    told = found["report"]
    if not told["decisions"]:
        say("nothing was decided beside yet")
        return
    say(
        f"{told['decisions']} decisions: alike in {told['agreement']:.1%}, "
        f"{told['agreement_expected']:.1%} expected by the probabilities"
    )
    table(
        ("task", "decisions", "deployment", "live", "shadow"),
        [
            (task["task"], task["decisions"], s["deployment"], s["live"], s["shadow"])
            for task in told["tasks"]
            for s in task["shares"]
        ],
    )
    table(
        ("predicted by", "of", "quality", "cost $"),
        [
            (by.removeprefix("by_"), of, each["quality"], each["cost_usd"])
            for by, both in told["predicted"].items()
            for of, each in both.items()
        ],
    )
    judged = told["judged"]
    if judged["compared"]:
        say(
            f"{judged['compared']} answers compared: better {judged['better']}, worse "
            f"{judged['worse']}, even {judged['even']} ({judged['changed_with_the_order']} changed "
            f"with the order), {judged['unreadable']} unreadable"
        )
    if judged["preference"] is not None:
        say(
            f"preference for the shadow's {judged['preference']:.3f} [{judged['low']:.3f}, "
            f"{judged['high']:.3f}]; 0.5 is no difference"
        )
    say(f"mirrored calls and judging: ${told['mirrored_usd']:.6f}")
