"""Budgets: what is spent, beside what the plan wants spent."""

from __future__ import annotations

from service.console.looker import Drawn, Looker, Page
from service.console.nodes import (
    Column,
    Node,
    card,
    chart,
    empty,
    figure,
    figures,
    h,
    swatch,
    table,
)
from service.console.reading.budgets import HOURS, Budget, budget
from service.console.shell import heading
from service.console.wording import NONE, count, number, percent, usd

EVERY_S = 30.0
HALF_HOUR_MS = 1_800_000


async def _draw(looker: Looker) -> Drawn:
    now_s = looker.runtime.clock.monotonic_s()
    if now_s - looker.kept.get("read_s", -EVERY_S) >= EVERY_S:
        looker.kept["budget"] = await budget(looker.runtime)
        looker.kept["read_s"] = now_s
    found: Budget | None = looker.kept["budget"]
    head = heading("Budgets", f"Spend of the last {HOURS} hours, beside the plan.")
    if found is None:
        return {"head": [head, h("p", "The log cannot be read now.", role="alert")]}
    budgets = [_budgets(found)] if found.standings else []
    if not found.spends:
        return {"head": [head], "budgets": budgets, "none": [card("Spend", empty(
            "Nothing was spent yet. Spend shows once requests are answered."))]}  # fmt: skip
    return {
        "head": [head],
        "budgets": budgets,
        "figures": [_figures(found)],
        "hours": [_hours(found)],
        "deployments": [_deployments(found)],
        "tenants": [_tenants(found)],
    }


def _budgets(found: Budget) -> Node:
    rows = []
    for each in found.standings:
        budget, forecast = each.budget, each.forecast
        whose = found.names.get(each.value) or each.value or "all"
        foretold = NONE if forecast is None else (
            f"{usd(forecast.expected / 1e6)} ({usd(forecast.low / 1e6)} to "
            f"{usd(forecast.high / 1e6)})"
        )  # fmt: skip
        caps = (budget.hard_micro_usd, budget.soft_micro_usd)
        hard, soft = (NONE if cap is None else usd(cap / 1e6) for cap in caps)
        rows.append((each.label, (
            budget.name, f"{budget.scope} {whose}" if whose != budget.scope else whose,
            f"{budget.period}, at the cap {budget.at_cap}", usd(each.spent_micro_usd / 1e6),
            percent(each.share), usd(each.reserved_micro_usd / 1e6),
            usd(each.left_micro_usd / 1e6), foretold, hard, soft,
        )))  # fmt: skip
    columns = (Column("Budget"), Column("Of"), Column("Period"), Column("Spent", True),
               Column("Of the limit", True), Column("Reserved", True), Column("Left", True),
               Column("By its end", True), Column("Hard cap", True),
               Column("Soft limit", True))  # fmt: skip
    note = "Reserved: by calls under way. Reloads keep what is spent."
    return card("Budgets", table("Budgets", columns, rows), note=note)


def _figures(found: Budget) -> Node:
    each = found.usd / found.requests if found.requests else None
    wanted = found.wanted_usd
    if wanted is None:
        pace, note, tone = "no budget", "set budgets.usd_per_request in the plan", ""
    else:
        share = (each or 0.0) / wanted
        pace, note = percent(share), f"of {usd(wanted)} a request"
        tone = "bad" if share > 1.1 else "warn" if share > 1.0 else ""
    price = found.price
    pacing = "not paced" if wanted is None else "at ease" if not price else "holding back"
    told = "" if not price else f"a dollar counts {number(price, 2)} points more"
    return figures(
        figure("Spent", usd(found.usd), f"{count(found.requests)} requests"),
        figure("A request", usd(each), "mean over the day"),
        figure("Of the budget", pace, note, tone),
        figure("Pacing", pacing, told),
    )


def _hours(found: Budget) -> Node:
    series = [
        {"name": each.deployment, "tone": each.tone,
         "data": [[at // 1_000, round(value, 6)]
                  for at, value in zip(found.hours_us, each.by_hour_usd, strict=True)]}
        for each in found.spends
    ]  # fmt: skip
    spec = {"kind": "bars", "series": series, "front": "$", "digits": 3, "min": 0,
            "from": found.hours_us[0] // 1_000 - HALF_HOUR_MS,
            "until": found.hours_us[-1] // 1_000 + HALF_HOUR_MS}  # fmt: skip
    label = f"Dollars an hour by deployment; {usd(found.usd)} in all"
    return card(
        "Dollars an hour",
        h("div", chart(label, spec), cls="hg-tall"),
        note="By the hour in which calls ended, UTC.",
    )


def _deployments(found: Budget) -> Node:
    total = found.usd or 1.0
    rows = [
        (
            each.deployment,
            (
                swatch(each.tone, each.deployment), usd(each.usd), percent(each.usd / total, 1),
                count(each.calls), usd(each.usd / each.calls if each.calls else None),
            ),
        )
        for each in sorted(found.spends, key=lambda one: -one.usd)
    ]  # fmt: skip
    columns = (Column("Deployment"), Column("Spent", True), Column("Of all", True),
               Column("Calls", True), Column("A call", True))  # fmt: skip
    return card("By deployment", table("Spend by deployment", columns, rows))


def _tenants(found: Budget) -> Node:
    rows = [
        (name or "none", (name or "no tenant", usd(cost), count(requests),
                          usd(cost / requests if requests else None)))
        for name, cost, requests in found.tenants
    ]  # fmt: skip
    columns = (Column("Tenant"), Column("Spent", True), Column("Requests", True),
               Column("A request", True))  # fmt: skip
    return card("By tenant", table("Spend by tenant", columns, rows) if rows else h("p", NONE))


PAGE = Page("/budgets", "Budgets", _draw, refresh_s=5.0)
