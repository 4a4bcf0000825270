"""`headgate capabilities`: who is good at what, how surely, and what that rests on."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from service.cli.output import DEFAULT_URL, JsonFlag, UrlOption, client, give, say, service_errors
from service.cli.output import table as print_table

NONE, UNKNOWN = "-", "?"  # short: ten columns are to fit


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: headgate capabilities --task code")(capabilities)


def capabilities(
    task: Annotated[str, typer.Option("--task", help="Of this task alone.")] = "",
    deployment: Annotated[str, typer.Option("--deployment", help="Of this one alone.")] = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Deployments by task: quality, latency, cost and errors with 95 % intervals, ties as ties."""
    asked = {"task": task, "deployment": deployment}
    given = {name: value for name, value in asked.items() if value}
    with service_errors():
        give(client(url).get("/admin/capabilities", **given), as_json, _show)


def _show(found: dict[str, Any]) -> None:
    if found["pending"]:
        say("the log is still being read; what follows is not whole")
    columns = ["task", "deployment", "place", "quality (n)", "per dollar", "latency s",
               "$ a thousand",
               "errors", "source", "age"]  # fmt: skip
    print_table(columns, [_row(each) for each in found["cells"]])
    say(f"{UNKNOWN}: unknown, which is not 0; in brackets the 95 % interval, after quality the n")
    for task, winner in found["winners"].items():
        if winner is not None:
            say(f"{task}: {winner} is surely the best")
        elif any(cell["task"] == task and cell["rank"] for cell in found["cells"]):
            say(f"{task}: no winner; those tied at the top are marked 1=")
        else:
            say(f"{task}: unknown")
    for name, told in found["uses"].items():
        say(f"{name}: {_uses(told)}")
    for name, limits in found["limits"].items():
        can = ", ".join(limits["capabilities"]) or "plain answers alone"
        where = limits["region"] or "region not said"
        promises = ", ".join(limits["data_policy"]) or "nothing promised of data"
        say(f"{name}: {limits['context_window']} tokens; {can}; {where}; {promises}")


def _row(cell: dict[str, Any]) -> list[str]:
    return [
        cell["task"], cell["deployment"], place(cell["rank"], cell["tied_with"]),
        f"{between(cell['quality'], 1.0, 2)} ({cell['quality']['n']:.0f})",
        between(cell["quality_per_usd"], 1.0, 0), between(cell["latency_s"], 1.0, 2),
        between(cell["cost_micro_usd"], 1e-3, 2), between(cell["error_rate"], 1.0, 3),
        (cell["source"] or UNKNOWN) + (" stale" if cell["stale"] else ""), age(cell["age_s"]),
    ]  # fmt: skip


def place(rank: int | None, tied: list[str]) -> str:
    """1, or 1= where somebody is tied with it."""
    return NONE if rank is None else f"{rank}{'=' if tied else ''}"


def between(estimate: dict[str, Any], factor: float, digits: int) -> str:
    """A mean and its interval."""
    mean, low, high = (estimate[name] for name in ("mean", "low", "high"))
    if mean is None:
        return UNKNOWN
    told = f"{mean * factor:.{digits}f}"
    if low is None or high is None:
        return f"{told} [too little]"
    return f"{told} [{low * factor:.{digits}f}, {high * factor:.{digits}f}]"


def age(seconds: float | None) -> str:
    """How long ago."""
    if seconds is None:
        return NONE
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _uses(told: dict[str, list[str]]) -> str:
    words = {
        "best_quality": "best in quality at", "tied_best_quality": "tied in quality at",
        "best_quality_per_dollar": "best for a dollar at",
        "tied_best_quality_per_dollar": "tied for a dollar at",
        "on_pareto_front": "on the front at",
    }  # fmt: skip
    said = [f"{word} {', '.join(told[name])}" for name, word in words.items() if told[name]]
    return "; ".join(said) or "nothing that it is best used for is known"
