"""Alerts: what stands now, what was told of lately, and an alarm acknowledged."""

from __future__ import annotations

from service.console.looker import Drawn, Looker, Page
from service.console.nodes import (
    Column,
    Node,
    badge,
    button,
    card,
    empty,
    h,
    moment,
    table,
)
from service.console.pages.events import events
from service.console.reading.warnings import Warned, happened, warnings
from service.console.shell import heading
from service.console.wording import measured, plural
from service.domain.alerts import Alert, Severity

EVERY_S = 10.0
DAYS, MOST, RECENT = 7, 100, 20


async def _draw(looker: Looker) -> Drawn:
    runtime, now_s = looker.runtime, looker.runtime.clock.monotonic_s()
    found = warnings(runtime)
    firing, recent = runtime.alerts.firing(), runtime.alerts.watch.book.recent(RECENT)
    if now_s - looker.kept.get("read_s", -EVERY_S) >= EVERY_S:
        looker.kept["happened"] = await happened(runtime, DAYS, MOST)
        looker.kept["read_s"] = now_s
    note = _said(len(runtime.alerts.firing()), len(found))
    body = (
        h("ul", *(_now(looker, each) for each in found), cls="hg-events")
        if found
        else empty("Nothing stands. What the service told of before is below.")
    )
    return {
        "head": [heading("Alerts", note)],
        "firing": [card("Alerts that last", _alerts(looker, firing))],
        "silences": _silences(looker),
        "now": [card("Warnings now", body)],
        "ended": [card("Ended of late", _alerts(looker, recent))] if recent else [],
        "before": [
            card(
                "The last seven days",
                events(looker.kept["happened"], "The service told of nothing in this time."),
            )
        ],
    }


def _said(firing: int, warned: int) -> str:
    if not firing and not warned:
        return "Nothing is wrong now."
    told = [plural(firing, "alert")] if firing else []
    return ", ".join([*told, *([plural(warned, "warning")] if warned else [])]) + " now."


def _alerts(looker: Looker, found: list[Alert]) -> Node:
    if not found:
        return empty("No alert lasts. Every minute is judged when it is over.")
    columns = (Column("Alert"), Column("Of"), Column("State"), Column("Since"),
               Column("Figure", True), Column("Threshold", True), Column("In words", wide=True),
               Column(""))  # fmt: skip
    return table("Alerts", columns, [(each.id, _alert(looker, each)) for each in found])


_LOUD = {Severity.PAGE: "bad", Severity.TICKET: "warn", Severity.INFO: "info"}


def _alert(looker: Looker, each: Alert) -> tuple[Node, ...]:
    watch = looker.runtime.alerts.watch
    now = watch.words.get(each.key)
    text = now.words if now is not None and each.resolved_us is None else each.text
    act: Node = ""
    if each.resolved_us is not None:
        state = badge("ended", "quiet")
    elif watch.book.silenced_by(*each.key) is not None:
        state = badge("silenced", "quiet")
    elif each.acknowledged_us is not None:
        state = badge(f"seen to by {each.acknowledged_by}", "info")
    else:
        state = badge(each.severity.value, _LOUD[each.severity])
        act = button("Acknowledge", ("ask", f"alert:{each.id}")) if looker.acts else ""
    return (
        each.rule.replace("_", " "), each.scope or "the service", state,
        h("span", moment(each.fired_us)), measured(each.value), measured(each.threshold), text, act,
    )  # fmt: skip


def _silences(looker: Looker) -> list[Node]:
    found = looker.runtime.alerts.watch.book.silences()
    if not found:
        return []
    rows = [
        h("li", h("div", badge("silenced", "quiet"), h("strong", each.rule),
                  each.scope or "everywhere", h("span", moment(each.until_us, "left")), "left",
                  cls="hg-line"),
          h("p", f"“{each.reason}” ", h("span", each.author, cls="hg-who-did")), key=each.id)
        for each in found
    ]  # fmt: skip
    return [card("Silences", h("ul", *rows, cls="hg-wills"))]


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
