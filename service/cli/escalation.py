"""`headgate escalation`: the rule by which requests climb, and where climbing pays."""

from __future__ import annotations

from typing import Any

import typer

from service.cli.output import (
    DEFAULT_URL,
    JsonFlag,
    UrlOption,
    client,
    give,
    say,
    service_errors,
    table,
)

app = typer.Typer(help="Progressive escalation.", no_args_is_help=True)


@app.command("show", epilog="Example: headgate escalation show --json")
def show(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """The rule, and by task what climbing costs beside going straight to the last rung."""
    with service_errors():
        give(client(url).get("/admin/escalation"), as_json, show_escalation)


def show_escalation(found: dict[str, Any]) -> None:
    """How it stands, in words."""
    if not found["on"]:
        say("escalation: not in the plan")
        return
    for task, rungs in found["rungs"].items():
        say(f"rungs of {'all other tasks' if task == '*' else task}: {' -> '.join(rungs)}")
    named = ", ".join(found["tasks"]) or "none by itself"
    say(f"climbing: {named}, and whoever asks for auto:cascade; {found['explore']:.0%} and "
        f"{found['explore']:.0%} by lot")  # fmt: skip
    rule = found["rule"]
    tested = ""
    if rule["brier"] is not None:
        tested = f"; Brier {rule['brier']:.4f}, each deployment's share {rule['share_brier']:.4f}"
    say(f"rule {rule['state']} on {rule['rated']} rated answers{tested}; an acceptable answer is "
        f"worth ${found['worth_usd']:g}")  # fmt: skip
    slopes = ", ".join(f"{name} {slope:.2f}" for name, slope in rule["slopes"].items())
    say(f"  signals: {slopes}")
    for task, reason in found["bypassed"].items():
        say(f"bypassed for {task}: {reason}")
    if not found["compared"]:
        say("nothing has climbed yet")
        return
    table(
        ("task", "state", "climbed", "direct", "went on", "climbing $", "direct $", "difference $"),
        [
            (c["task"], c["state"], c["climbing"], c["direct"], f"{c['went_on']:.0%}",
             f"{c['climbing_usd']:.6f}", f"{c['direct_usd']:.6f}", _between(c["difference_usd"]))
            for c in found["compared"]
        ],
    )  # fmt: skip
    for each in found["compared"]:
        if each["value_usd"]:
            say(f"{each['task']}: worth ${_between(each['value_usd'])} a request more than direct")


def show_climb(found: dict[str, Any]) -> None:
    """One request's way up."""
    say(f"climb: {' -> '.join(found['rungs'])}, began at rung {found['level']} ({found['began']}, "
        f"probability {found['probability']:g})")  # fmt: skip
    for each in found["verdicts"]:
        signs = ", ".join(f"{k} {v:.2f}" for k, v in each["signals"].items() if v is not None)
        what = each["fault"] or f"acceptable with {each['chance']:.2f} ({signs})"
        then = f"on to {each['onward']}" if each["onward"] else "stop"
        say(
            f"  rung {each['rung']} {each['deployment']}: {what} -> {then} by {each['settled_by']} "
            f"(probability {each['probability']:.3f}, going on worth ${each['gain_usd']:.6f}; rule "
            f"{each['rule']['state']} on {each['rule']['rated']})"
        )
        if each["skipped"]:
            say(f"    not asked: {', '.join(each['skipped'])}")


def _between(found: list[float] | None) -> str:
    return "-" if found is None else f"{found[0]:+.6f} [{found[1]:+.6f}, {found[2]:+.6f}]"
