"""`headgate alerts`: what fires, who sees to it, what is silenced, who is told."""

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
    give,
    say,
    service_errors,
    signed,
    table,
)

app = typer.Typer(help="What the service alerts of, and who is told.", no_args_is_help=True)

Identity = Annotated[str, typer.Argument(help="Its id.")]


@app.command("list", epilog="Example: headgate alerts list --json")
def list_alerts(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """What fires now, and what has ended of late."""
    with service_errors():
        give(client(url).get("/admin/alerts"), as_json, _show_all)


@app.command("show", epilog="Example: headgate alerts show 0193f2aa-...")
def show_alert(alert: Identity, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """One alert with all that happened to it."""
    with service_errors():
        give(client(url).get(f"/admin/alerts/{alert}"), as_json, _show_one)


@app.command("ack", epilog='Example: headgate alerts ack 0193f2aa-... --reason "I look at it"')
def acknowledge(
    alert: Identity,
    reason: ReasonOption,
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """You see to it: nobody is called any more; it lasts until it is clear."""
    with service_errors():
        found = client(url).post(f"/admin/alerts/{alert}/acknowledge", signed(author, reason))
        give(found, as_json, lambda content: say(f"{content['id']} {content['state']}"))


@app.command("resolve", epilog='Example: headgate alerts resolve 0193f2aa-... --reason "mended"')
def resolve(
    alert: Identity,
    reason: ReasonOption,
    author: AuthorOption = None,
    break_glass: GlassFlag = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Say that it is over where too little traffic is left to tell; what it laid is given back."""
    with service_errors():
        body = {**signed(author, reason), "break_glass": break_glass}
        found = client(url).post(f"/admin/alerts/{alert}/resolve", body)
        give(found, as_json, lambda content: say(f"{content['id']} {content['state']}"))


@app.command(
    "silence",
    epilog='Example: headgate alerts silence latency river --for 2h --reason "a known slow hour"',
)
def silence(
    rule: Annotated[str, typer.Argument(help="The rule, of headgate alerts rules.")],
    reason: ReasonOption,
    scope: Annotated[
        str | None, typer.Argument(help="The deployment or other scope; left out: all.")
    ] = None,
    lasts: Annotated[str, typer.Option("--for", help="How long: 90s, 30m, 4h, at most 7d.")] = "4h",
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Tell nobody of a rule for a while; what is done by itself is done still."""
    body = {
        "rule": rule,
        "scope": scope,
        "lasts_s": duration_s("--for", lasts),
        **signed(author, reason),
    }
    with service_errors():
        found = client(url).post("/admin/alerts/silences", body)
        give(found, as_json, lambda content: _show_silences([content]))


@app.command("silences", epilog="Example: headgate alerts silences")
def silences(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """The silences that hold."""
    with service_errors():
        give(client(url).get("/admin/alerts")["silences"], as_json, _show_silences)


@app.command(
    "unsilence", epilog='Example: headgate alerts unsilence 0193f2aa-... --reason "it is over"'
)
def unsilence(
    silence: Identity,
    reason: ReasonOption,
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """End a silence before its time."""
    with service_errors():
        body = signed(author, reason)
        found = client(url).post(f"/admin/alerts/silences/{silence}/end", body)
        give(found, as_json, lambda content: say(f"{content['id']} ended"))


@app.command("rules", epilog="Example: headgate alerts rules")
def rules(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """Every rule with its thresholds, as the plan in force has them."""
    with service_errors():
        give(client(url).get("/admin/alerts/rules"), as_json, _show_rules)


@app.command("test", epilog="Example: headgate alerts test")
def test(
    author: AuthorOption = None, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False
) -> None:
    """Send a notice through every channel, and say what each answered; ends with 1 if one fails."""
    with service_errors():
        body = {"author": signed(author, "")["author"]}
        found = client(url).post("/admin/alerts/test", body, timeout_s=60.0)
        give(found, as_json, _show_test)
    if any(answer != "sent" for answer in found["channels"].values()):
        raise typer.Exit(1)


def _show_all(found: dict[str, Any]) -> None:
    if not found["firing"]:
        say("nothing fires")
    for each in found["firing"]:
        _show_head(each)
    if found["recent"]:
        columns = ("id", "rule", "scope", "fired", "ended")
        rows = [
            (each["id"], each["rule"], each["scope"], each["fired_at"], each["resolved_at"])
            for each in found["recent"]
        ]
        table(columns, rows, "ended of late")
    for each in found["channels"]:
        if each["failure"]:
            say(f"the channel {each['name']} could not be told: {each['failure']}")


def _show_head(each: dict[str, Any]) -> None:
    where = f" ({each['scope']})" if each["scope"] else ""
    by = f" by {each['acknowledged_by']}" if each["state"] == "acknowledged" else ""
    say(f"{each['state']}{by} {each['rule']}{where} since {each['fired_at']}: {each['text']}")
    if each["now"] and each["now"] != each["text"]:
        say(f"  now {each['now']}")
    say(f"  id {each['id']}")


def _show_one(found: dict[str, Any]) -> None:
    _show_head(found)
    rows = []
    for each in found["events"]:
        said = each["text"] if not each["reason"] else f"{each['text']} ({each['reason']})"
        rows.append((each["at"], each["step"], each["author"], said))
    table(("at", "step", "by", "what"), rows)
    if found["override_id"]:
        say(f"it laid the override {found['override_id']}")


def _show_silences(found: list[dict[str, Any]]) -> None:
    if not found:
        say("nothing is silenced")
        return
    columns = ("id", "rule", "scope", "until", "by", "why")
    rows = [
        (each["id"], each["rule"], each["scope"] or "all", each["until"], each["author"],
         each["reason"])
        for each in found
    ]  # fmt: skip
    table(columns, rows)


def _show_rules(found: dict[str, Any]) -> None:
    if not found["enabled"]:
        say("the plan has turned alerts off")
    rows = []
    for each in found["rules"]:
        limits = {k: v for k, v in each["limits"].items() if k != "enabled"}
        told = ", ".join(f"{name} {value}" for name, value in limits.items() if value is not None)
        state = each["severity"] if each["limits"]["enabled"] else "off"
        rows.append((each["name"], state, each["meaning"], told))
    table(("rule", "severity", "of", "limits"), rows)
    say(f"promised: {found['availability']:.4%} of requests without a fault of ours")


def _show_test(found: dict[str, Any]) -> None:
    if not found["channels"]:
        say("the plan names no channel (alerts.channels)")
    for name, answer in found["channels"].items():
        say(f"{name}: {answer}")
