"""Deployments: how each is, at a glance, and one by one."""

from __future__ import annotations

from service.console.looker import Drawn, Looker, Page
from service.console.nodes import (
    Column,
    Node,
    badge,
    bar,
    button,
    card,
    figure,
    figures,
    h,
    link,
    moment,
    pairs,
    swatch,
    table,
)
from service.console.overriding import told
from service.console.pages.listed import listed
from service.console.reading import decisions as log
from service.console.reading.deployments import Stands, deployments, fixed
from service.console.shell import back, heading
from service.console.wording import NONE, count, percent, plural, seconds, span, usd
from service.domain.errors import NotFound

_COLUMNS = (
    Column("Deployment"), Column("Health"), Column("Calls", True), Column("Errors", True),
    Column("p50", True), Column("p95", True), Column("p99", True),
    Column("First content", True), Column("In flight", True), Column("Cost a minute", True),
    Column("Held as"),
)  # fmt: skip
_WORDS = {"good": "well", "warn": "strained", "bad": "unwell"}
RECENT = 12


async def _draw(looker: Looker) -> Drawn:
    found = deployments(looker.runtime)
    unwell = [each for each in found if each.health != "good"]
    note = f"{plural(len(found), 'deployment')}, all well." if not unwell else (
        f"{len(unwell)} of {plural(len(found), 'deployment')} not well: "
        + ", ".join(each.name for each in unwell) + "."
    )  # fmt: skip
    rows = [(each.name, _row(each)) for each in found]
    return {
        "head": [heading("Deployments", note)],
        "all": [card("The last five minutes", table("Deployments", _COLUMNS, rows))],
    }


def health(each: Stands) -> Node:
    """The state in words, with the reason where it is not well."""
    why = None
    if each.breaker != "closed":
        left = f", tried again in {span(each.free_in_s)}" if each.free_in_s > 0 else ""
        why = f"breaker {each.breaker}: {each.why}{left}"
    elif each.health != "good":
        why = each.why or f"{percent(each.error_share)} of its calls fail"
    elif each.overrides:
        why = "; ".join(f"{o.action}d by {o.author}" if o.action == "exclude" else
                        f"forced by {o.author}" for o in each.overrides)  # fmt: skip
    return h("span", badge(_WORDS[each.health], each.health), h("small", why, cls="hg-why")
             if why else None, cls="hg-health")  # fmt: skip


def _row(each: Stands) -> tuple[Node, ...]:
    kinds = ", ".join(f"{name} {number}" for name, number in each.kinds[:2])
    errors = h("span", percent(each.error_share, 1), title=kinds or None)
    return (
        h("a", swatch(each.tone, each.name), href=f"/console/deployments/{each.name}"),
        health(each), count(each.calls), errors, seconds(each.p50_s), seconds(each.p95_s),
        seconds(each.p99_s), seconds(each.ttft_s), f"{each.in_flight} / {each.limit}",
        usd(each.usd_per_minute), held(each),
    )  # fmt: skip


def held(each: Stands) -> Node:
    """How the policy holds it."""
    if not each.state:
        return h("span", NONE)
    tone = {"steady": "good", "on trial": "info"}.get(each.state, "warn")
    return h("span", badge(each.state, tone), title=each.meaning)


async def _one(looker: Looker) -> Drawn:
    found = next((e for e in deployments(looker.runtime) if e.name == looker.of), None)
    if found is None:
        raise NotFound("There is no deployment of that name; a reload may have taken it away.")
    return {
        "head": [back("Deployments", "/console/deployments"),
                 heading(found.name, f"at {found.provider}", *_buttons(looker, found))],
        "figures": [_figures(found)],
        "health": [_health(found)],
        "will": [_will(looker, found)] if found.overrides else [],
        "shares": [_shares(found)],
        "recent": [await _recent(looker, found)],
        "plan": [_plan(looker, found)],
    }  # fmt: skip


def _buttons(looker: Looker, found: Stands) -> list[Node]:
    if not looker.acts:
        return []
    made = [
        button("Keep requests away", ("ask", f"override:exclude/{found.name}"), "hg-danger"),
        button("Send all to it", ("ask", f"override:force/{found.name}")),
    ]
    if found.breaker != "closed" or found.why:
        made.append(button("Reset the breaker", ("ask", f"reset:{found.name}")))
    return made


def _figures(each: Stands) -> Node:
    share = each.error_share
    tone = "bad" if (share or 0) > 0.5 else "warn" if (share or 0) > 0.05 else ""
    return figures(
        figure("Calls", count(each.calls), "in five minutes"),
        figure("Errors", percent(share, 1), f"{count(each.errors)} calls", tone),
        figure("p50", seconds(each.p50_s), f"p95 {seconds(each.p95_s)}"),
        figure("p99", seconds(each.p99_s), f"first content {seconds(each.ttft_s)}"),
        figure("Cost a minute", usd(each.usd_per_minute)),
        figure("In flight", count(each.in_flight), f"of {count(each.limit)} allowed"),
    )


def _health(each: Stands) -> Node:
    kinds = ", ".join(f"{name} {number}" for name, number in each.kinds) or "none"
    return card(
        "Health",
        pairs(
            ("Now", health(each)), ("Breaker", each.breaker),
            ("Ejections in a row", count(each.ejections)),
            ("Held by the policy as", h("span", held(each), h("small", each.meaning,
                                                                cls="hg-why"))),
            ("Errors by kind", kinds),
            ("Throttled of its calls", percent(each.throttled, 1)),
        ),
    )  # fmt: skip


def _will(looker: Looker, each: Stands) -> Node:
    rows = [
        h("li", h("div", h("strong", told(o)), h("span", moment(o.expires_us, "left"),
                                                 cls="hg-countdown"), cls="hg-line"),
          h("p", f"“{o.reason}” ", h("span", o.author, cls="hg-who-did")),
          h("div", button("Lift", ("ask", f"lift:{o.id}")), cls="hg-line")
          if looker.acts else None, key=o.id)
        for o in each.overrides
    ]  # fmt: skip
    return card("Overrides in force", h("ul", *rows, cls="hg-wills"))


def _shares(each: Stands) -> Node:
    rows = [
        (task, (task, h("span", bar(share, each.tone), percent(share, 1), cls="hg-share")))
        for task, share in each.shares
    ]
    columns = Column("Task"), Column("Share now", True)
    return card("Its shares", table("Shares by task", columns, rows))


async def _recent(looker: Looker, each: Stands) -> Node:
    found = [row for row in log.latest(looker.runtime, 400) if row.deployment == each.name]
    more = link("All of them", f"/console/decisions?deployment={each.name}")
    return card("Its latest decisions", listed(found[:RECENT]), aside=more)


def _plan(looker: Looker, each: Stands) -> Node:
    plan = fixed(looker.runtime, each.name)
    if plan is None:
        return card("In the plan", h("p", "not any more"))
    return card(
        "In the plan",
        pairs(
            ("Model at the provider", plan.model),
            ("Context window", f"{count(plan.context_window)} tokens"),
            ("Can do", ", ".join(plan.capabilities) or "text alone"),
            ("Price of a million tokens", f"in {usd(plan.input_usd_per_mtok)}, "
                                          f"out {usd(plan.output_usd_per_mtok)}"),
        ),
    )  # fmt: skip


PAGE = Page("/deployments", "Deployments", _draw)
ONE = Page("/deployments/{of:path}", "Deployment", _one)
