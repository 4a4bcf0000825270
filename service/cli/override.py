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
    fail,
    give,
    say,
    service_errors,
    signed,
    table,
)
from service.cli.show import left, scope, show_overrides

app = typer.Typer(
    help="Route by hand: kill, exclude, force, cap, bound, pin or freeze; it ends by itself."
)

Id = Annotated[str, typer.Argument(help="Its id, or the beginning of it.")]
Lasts = Annotated[str, typer.Option("--for", help="How long: 90s, 30m, 4h, at most 7d.")]
TRY_S = 260.0


@app.command(
    "set",
    epilog='Example: headgate override set exclude mill --for 30m --reason "errors since 14:05"\n\n'
    "headgate override set bounds fall --greatest 20% --task maths --dry-run "
    '--reason "spend since 14:05"',
)
def set_override(
    action: Annotated[
        str,
        typer.Argument(
            help="kill, exclude, force, cost_cap, bounds, pin, kill_experiment, freeze or "
            "raise_caching."
        ),
    ],
    reason: ReasonOption,
    deployment: Annotated[str, typer.Argument(help="The deployment, where it takes one.")] = "",
    task: Annotated[str | None, typer.Option(help="For one task only.")] = None,
    tenant: Annotated[str | None, typer.Option(help="For one tenant only.")] = None,
    tier: Annotated[str | None, typer.Option(help="For one tier only.")] = None,
    least: Annotated[str | None, typer.Option(help="bounds: the least share, 0.1 or 10%.")] = None,
    greatest: Annotated[str | None, typer.Option(help="bounds: the greatest share.")] = None,
    usd: Annotated[float | None, typer.Option(help="cost_cap: dollars a request.")] = None,
    version: Annotated[str | None, typer.Option(help="pin: the policy version.")] = None,
    experiment: Annotated[str | None, typer.Option(help="kill_experiment: which.")] = None,
    lasts: Lasts = "4h",
    ticket: Annotated[str, typer.Option(help="Where it is told of elsewhere.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what it would have done; lay nothing.")
    ] = False,
    hours: Annotated[float, typer.Option(help="Of how many last hours, with --dry-run.")] = 6.0,
    if_match: Annotated[
        str | None,
        typer.Option("--if-match", help="Only if what the dry run saw is still in force."),
    ] = None,
    author: AuthorOption = None,
    break_glass: GlassFlag = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Lay an override; it is in effect on the next request."""
    body: dict[str, Any] = {
        "action": action,
        "deployment": deployment,
        "task": task,
        "tenant": tenant,
        "tier": tier,
        "least": _share("--least", least),
        "greatest": _share("--greatest", greatest),
        "usd": usd,
        "version": version,
        "experiment": experiment,
        "ticket": ticket,
        **signed(author, reason),
        "expires_in_s": duration_s("--for", lasts),
        "break_glass": break_glass,
    }
    with service_errors():
        if dry_run:
            tried = client(url).post("/admin/overrides/dry-run", body | {"hours": hours}, TRY_S)
            give(tried, as_json, _show_tried)
            return
        headers = {"If-Match": f'"{if_match}"'} if if_match else None
        made = client(url).post("/admin/overrides", body, headers=headers)
        give(made, as_json, _show_set)


def _share(option: str, text: str | None) -> float | None:
    """A share as 0.2 or 20%."""
    if text is None:
        return None
    try:
        share = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        fail(f"{option} takes a share of the draws such as 0.2 or 20%", 2)
    return share


def _show_set(found: dict[str, Any]) -> None:
    where = "" if scope(found) else " everywhere"
    say(f"{found['words']}{where} until {found['expires_at']}\nid {found['id']}")


def _show_tried(found: dict[str, Any]) -> None:
    report = found["report"]
    if not report["decisions"]:
        say(f"{report['words']}: no decision of its scope was logged in that time")
        say(f"lay it with --if-match {found['version']}")
        return
    newest = f", the newest {report['read']} of all" if report["newest_only"] else ""
    say(
        f"{report['words']}: of {report['decisions']} decisions in {report['hours']:.1f} hours"
        f"{newest} {report['moved']:.1%} would have moved, {report['refused']:.1%} been refused"
    )
    table(
        ("from", "to", "share"),
        [(each["from"], each["to"], f"{each['share']:.1%}") for each in report["flows"]],
        "moved",
    )
    table(
        ("deployment", "before", "after"),
        [
            (name, f"{each['before']:.1%}", f"{each['after']:.1%}")
            for name, each in report["shares"].items()
        ],
        "shares",
    )
    table(
        ("metric", "logged", "change a request", "95% interval"),
        [_metric(name, told) for name, told in report["predicted"].items()],
        "predicted, of the decisions that were drawn",
    )
    if report["unsupported"]:
        told = ", ".join(f"{name} {rows}" for name, rows in report["unsupported"].items())
        say(f"asked for though it had no chance: {told} of {report['used']} rows")
    if report["held_back_per_hour"]:
        each = report["held_back_per_hour"]
        say(f"an hour holds back {each['decisions']:.0f} outcomes and {each['rated']:.0f} ratings")
    if report["tenants"]:
        table(
            ("tenant", "decisions", "moved"),
            [(t["tenant"] or "none", t["decisions"], t["moved"]) for t in report["tenants"]],
            f"{report['tenants_touched']} tenants are touched",
        )
    say(f"nothing was laid; lay it with --if-match {found['version']}")


def _metric(name: str, told: dict[str, Any]) -> tuple[Any, ...]:
    change = told.get("difference")
    if change is None or "refused" in told:
        return (name, told.get("logged_mean"), "cannot say", told.get("refused", ""))
    if "refused" in change:
        return (name, told.get("logged_mean"), "cannot say", change["refused"])
    span = f"{change['low']:+.4g} to {change['high']:+.4g}"
    return (name, told["logged_mean"], f"{change['estimate']:+.4g}", span)


@app.command("list", epilog="Example: headgate override list --json")
def list_overrides(
    ended: Annotated[bool, typer.Option("--all", help="The ended ones too.")] = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """The overrides in force."""
    with service_errors():
        found = client(url).get("/admin/overrides", **({"all": "true"} if ended else {}))
        shown = _show_all if ended else show_overrides
        give(found, as_json, lambda content: shown(content["overrides"]))


def _show_all(found: list[dict[str, Any]]) -> None:
    table(
        ("id", "override", "state", "author", "set at", "ended at", "reason"),
        [
            (o["id"], o["words"], o["how"] or f"{left(o['left_s'])} left", o["author"],
             o["set_at"], o["ended_at"], o["reason"])
            for o in found
        ],
        "overrides, the newest first",
    )  # fmt: skip


@app.command("show", epilog="Example: headgate override show 0193f2aa-...")
def show_override(override: Id, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """One override, in force or ended."""
    with service_errors():
        found = client(url).get(f"/admin/overrides/{override}")
        give(found, as_json, _show_one)


def _show_one(found: dict[str, Any]) -> None:
    say(f"{found['words']}   id {found['id']}")
    say(f"laid at {found['set_at']} by {found['author']}: {found['reason']}")
    if found["ticket"]:
        say(f"ticket {found['ticket']}")
    if found["renews"]:
        say(f"goes on with {found['renews']}")
    if found["how"] is None:
        say(f"in force, {left(found['left_s'])} left, until {found['expires_at']}")
    else:
        say(f"{found['how']} at {found['ended_at']} by {found['ended_by']}: {found['end_reason']}")


@app.command(
    "renew",
    epilog='Example: headgate override renew 0193f2aa-... --for 2h --reason "not mended yet"',
)
def renew_override(
    override: Id,
    reason: ReasonOption,
    lasts: Lasts = "4h",
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Go on with an override for longer; a new one takes its place."""
    body = {**signed(author, reason), "expires_in_s": duration_s("--for", lasts)}
    with service_errors():
        give(client(url).post(f"/admin/overrides/{override}/renew", body), as_json, _show_set)


@app.command(
    "lift", epilog='Example: headgate override lift 0193f2aa-... --reason "it is fixed now"'
)
def lift_override(
    override: Id,
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
        give(found, as_json, lambda content: say(f"{content['id']} lifted"))
