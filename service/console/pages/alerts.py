"""Alerts: what stands now, what was told of lately, and an alarm acknowledged."""

from __future__ import annotations

from service.console.looker import Drawn, Looker, Page
from service.console.nodes import Node, badge, button, card, empty, h
from service.console.pages.events import events
from service.console.reading.warnings import Warned, happened, warnings
from service.console.shell import heading
from service.console.wording import plural

EVERY_S = 10.0
DAYS, MOST = 7, 100


async def _draw(looker: Looker) -> Drawn:
    runtime, now_s = looker.runtime, looker.runtime.clock.monotonic_s()
    found = warnings(runtime)
    if now_s - looker.kept.get("read_s", -EVERY_S) >= EVERY_S:
        looker.kept["happened"] = await happened(runtime, DAYS, MOST)
        looker.kept["read_s"] = now_s
    note = f"{plural(len(found), 'warning')} now." if found else "Nothing is wrong now."
    body = (
        h("ul", *(_now(looker, each) for each in found), cls="hg-events")
        if found
        else empty("Nothing stands. What the service told of before is below.")
    )
    return {
        "head": [heading("Alerts", note)],
        "now": [card("Now", body)],
        "before": [
            card(
                "The last seven days",
                events(looker.kept["happened"], "The service told of nothing in this time."),
            )
        ],
    }


def _now(looker: Looker, each: Warned) -> Node:
    alarm = each.source == "propensities"
    act = None
    if alarm and looker.acts and looker.runtime.propensities.current.alarmed_us is not None:
        act = button("Acknowledge", ("ask", "acknowledge"))
    grave = "bad" if each.source in ("service", "outage", "propensities") else "warn"
    return h("li", h("span", each.source, cls="hg-when"), badge("stands", grave),
             h("div", h("p", each.text), h("div", act, cls="hg-line") if act else None),
             key=f"{each.source}{each.text[:40]}")  # fmt: skip


PAGE = Page("/alerts", "Alerts", _draw)
