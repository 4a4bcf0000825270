"""`headgate ensemble`: how each ensemble stands beside the best single deployment."""

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

app = typer.Typer(help="Several outputs for one answer.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="The ensemble's name in the plan.")]
TaskOption = Annotated[str, typer.Option("--task", help="For which task.")]


@app.command("show", epilog="Example: headgate ensemble show --json")
def show(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """Its state and why, what it gains, what it costs more, how long it takes."""
    with service_errors():
        give(client(url).get("/admin/ensembles"), as_json, show_ensembles)


@app.command(
    "stop",
    epilog='Example: headgate ensemble stop votes --task maths --reason "its members are one now"',
)
def stop(
    name: NameArgument,
    task: TaskOption,
    reason: ReasonOption,
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Switch one off for a task, from the next request on."""
    _switch(url, {"ensemble": name, "task": task, "on": False} | signed(author, reason), as_json)


@app.command(
    "resume",
    epilog='Example: headgate ensemble resume votes --task maths --reason "a new member came"',
)
def resume(
    name: NameArgument,
    task: TaskOption,
    reason: ReasonOption,
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Switch one on for a task, and compare it anew."""
    _switch(url, {"ensemble": name, "task": task, "on": True} | signed(author, reason), as_json)


def _switch(url: str, body: dict[str, Any], as_json: bool) -> None:
    with service_errors():
        give(client(url).post("/admin/ensembles/switch", body), as_json, show_ensembles)


def show_ensembles(found: dict[str, Any]) -> None:
    """All of them, a row an ensemble and task."""
    if not found["ensembles"]:
        say("the plan has no ensembles, or none was asked for yet")
        return
    table(
        ("ensemble", "task", "state", "by", "outputs", "gain", "net", "cost x", "mean s",
         "single s", "rated"),
        [
            (e["ensemble"], e["task"], e["state"], e["by"],
             f"{e['most']}{' adaptive' if e['adaptive'] else ''}", _interval(e["gain"]),
             _interval(e["net"]), _number(e["multiplier"]), _arm(e, "ensemble"),
             _arm(e, "single"), e["rated"])
            for e in found["ensembles"]
        ],
    )  # fmt: skip
    for e in found["ensembles"]:
        say(f"{e['ensemble']} for {e['task']}: {e['state']}, {e['why']}")


def show_rationale(found: dict[str, Any]) -> None:
    """How one request was answered by an ensemble, or why it was not."""
    say(f"ensemble {found['ensemble']}: {found['arm']} with probability "
        f"{found['probability']:g}; {found['why']}")  # fmt: skip
    if not found["outputs"]:
        if found["stopped"]:
            say(f"nobody's answer was taken: {found['stopped']}")
        return
    table(
        ("call", "deployment", "ended", "said", "weight"),
        [
            (each["call"], each["deployment"], each["state"], each["vote"],
             round(each["weight"], 3))
            for each in found["outputs"]
        ],
    )  # fmt: skip
    cost = "" if found["multiplier"] is None else f", {found['multiplier']:.2f} times the single"
    say(
        f"by {found['aggregator']}: call {found['chosen']} of {found['deployment']}; stopped: "
        f"{found['stopped']}; ${found['cost_usd']:.6f}{cost}, {found['latency_s']:.2f} s"
    )


def _interval(found: dict[str, float] | None) -> str:
    if found is None:
        return "-"
    return f"{found['estimate']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _arm(found: dict[str, Any], name: str) -> str:
    arm = found["arms"].get(name)
    return "-" if not arm or not arm["answers"] else f"{arm['latency_s']:.2f}"
