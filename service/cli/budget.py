"""`headgate budget list`, `show`: what is spent, reserved, left and foretold."""

from __future__ import annotations

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
    table,
)

app = typer.Typer(help="Budgets: what is spent, reserved, left and foretold.")


@app.command("list", epilog="Example: headgate budget list --json")
def list_budgets(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """Every budget as it stands, the one nearest to its limit first."""
    with service_errors():
        give(client(url).get("/admin/budgets"), as_json, _show)


def _money(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _show(found: dict[str, Any]) -> None:
    if not found["budgets"]:
        say("there are no budgets: name some in the plan under budgets.named, or give a key one")
        return
    rows = [
        (b["name"], " ".join((b["scope"], b.get("key") or b["of"] or "")).strip(), b["period"],
         _money(b.get("spent_usd")), _money(b.get("left_usd")), _money(b["hard_usd"]),
         _foretold(b.get("forecast")), b.get("state", "-"))
        for b in found["budgets"]
    ]  # fmt: skip
    columns = ("name", "of", "period", "spent $", "left $", "hard $", "by its end $", "state")
    table(columns, rows, f"periods in {found['time_zone']}; all of one: headgate budget show NAME")


def _whole(found: dict[str, Any]) -> None:
    for each in found["budgets"]:
        of = each.get("key") or each["of"] or "all"
        rows = [
            ("of", f"{each['scope']}, {of}"),
            (
                "period",
                f"{each['period']}, in {found['time_zone']}, to {each.get('ends_at') or '-'}",
            ),
            ("spent $", _money(each.get("spent_usd"))),
            ("reserved $", _money(each.get("reserved_usd"))),
            ("left $", _money(each.get("left_usd"))),
            ("hard $", f"{_money(each['hard_usd'])}, at the cap: {each['at_cap']}"),
            ("soft $", f"{_money(each['soft_usd'])}, from there on: {each.get('at_soft', 'tell')}"),
            ("by its end $", _foretold(each.get("forecast"))),
            ("state", each.get("state", "-")),
        ]
        table(("budget", each["name"]), rows)


def _foretold(found: dict[str, float] | None) -> str:
    if found is None:
        return "-"
    return f"{found['expected_usd']:.4g} ({found['low_usd']:.4g} to {found['high_usd']:.4g})"


@app.command("show", epilog="Example: headgate budget show acme-month")
def show(
    name: Annotated[str, typer.Argument(help="The budget's name.")],
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """One budget, for every value of its scope that was seen."""
    with service_errors():
        found = client(url).get("/admin/budgets")
        mine = [each for each in found["budgets"] if each["name"] == name]
        if not mine:
            known = ", ".join(sorted({each["name"] for each in found["budgets"]})) or "none"
            fail(f"no budget {name} that has a value yet; known: {known}", 2)
        give(found | {"budgets": mine}, as_json, _whole)
