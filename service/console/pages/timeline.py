"""Timeline: overrides, promotions, experiments, breakers, alerts and acts, in one order."""

from __future__ import annotations

from service.console.looker import Drawn, Looker, Page
from service.console.nodes import Node, button, card, h
from service.console.pages.events import events
from service.console.reading.acts import KINDS, acts
from service.console.shell import heading

EVERY_S = 5.0
SPANS = (("24", "1 day"), ("168", "7 days"), ("720", "30 days"))


async def _draw(looker: Looker) -> Drawn:
    now_s = looker.runtime.clock.monotonic_s()
    asked = looker.kept.get("hours", "168"), looker.kept.get("kind", "")
    if looker.kept.get("read") != asked or now_s - looker.kept["read_s"] >= EVERY_S:
        kinds = KINDS.get(asked[1], ())
        looker.kept["acts"] = await acts(looker.runtime, int(asked[0]), "", kinds)
        looker.kept["read"], looker.kept["read_s"] = asked, now_s
    nothing = "Nothing happened in this time. Choose a longer one, or all kinds."
    return {
        "head": [heading("Timeline", "What happened to the service, and what people did to it.")],
        "asked": [card("Shown", _choice("span", SPANS, asked[0]),
                       _choice("kind", (("", "all"), *((k, k) for k in KINDS)), asked[1]),
                       cls="hg-choices")],
        "events": [card("Newest first", events(looker.kept["acts"], nothing))],
    }  # fmt: skip


def _choice(name: str, options: tuple[tuple[str, str], ...], now: str) -> Node:
    made = [
        button(shown, (name, given), "hg-on" if given == now else "",
               aria_pressed="true" if given == now else "false")
        for given, shown in options
    ]  # fmt: skip
    return h("div", *made, cls="hg-line", role="group", aria_label=name)


async def _span(looker: Looker, of: str, fields: dict[str, str]) -> None:
    if of in dict(SPANS):
        looker.kept["hours"] = of


async def _kind(looker: Looker, of: str, fields: dict[str, str]) -> None:
    looker.kept["kind"] = of if of in KINDS else ""


PAGE = Page("/timeline", "Timeline", _draw, {"span": _span, "kind": _kind})
