"""Audit: who did what, to what, and why; searched by any word."""

from __future__ import annotations

from service.console.looker import Drawn, Looker, Page
from service.console.nodes import Node, button, card, h
from service.console.pages.events import events
from service.console.reading.acts import MOST, acts
from service.console.shell import heading

SPANS = (("24", "the last day"), ("168", "the last week"), ("2160", "the last 90 days"),
         ("87600", "all the log"))  # fmt: skip


async def _draw(looker: Looker) -> Drawn:
    asked: tuple[str, str] = looker.kept.get("asked", (looker.query.get("q", ""), "168"))
    if looker.kept.get("read") != asked:
        looker.kept["acts"] = await acts(looker.runtime, int(asked[1]), asked[0], ())
        looker.kept["read"] = asked
    found = looker.kept["acts"]
    title = "Found" if asked[0] else "Newest first"
    if found is not None and len(found) == MOST:
        title = f"The newest {MOST}"
    nothing = "No act holds these words. Try fewer of them, or a longer time."
    return {
        "head": [heading("Audit", "Every act of a person or of the service itself.")],
        "search": [card("Search", _search(asked), _chain(looker))],
        "found": [card(title, events(found, nothing))],
    }


def _search(asked: tuple[str, str]) -> Node:
    spans = [h("option", shown, value=given, selected=given == asked[1] or None)
             for given, shown in SPANS]  # fmt: skip
    return h(
        "form",
        h("div", h("label", "Words", for_="s-words"),
          h("input", id="s-words", name="words", value=asked[0], spellcheck="false",
            placeholder="a person, an act, a deployment, a reason"), cls="hg-field"),
        h("div", h("label", "In", for_="s-hours"),
          h("select", *spans, id="s-hours", name="hours"), cls="hg-field"),
        h("div", h("button", "Search", type="submit", cls="hg-button hg-primary"),
          cls="hg-actions"),
        act=("search", ""), cls="hg-search", aria_label="Search acts",
    )  # fmt: skip


def _chain(looker: Looker) -> Node:
    """The chain of hashes over all acts, looked through when somebody asks."""
    found = looker.kept.get("chain")
    told = h("span", str(found), role="status") if found else None
    return h("div", button("Verify the chain", ("verify", "")), told, cls="hg-line")


async def _verified(looker: Looker, of: str, fields: dict[str, str]) -> None:
    found = (await looker.look("/admin/audit/verify")).content
    looker.kept["chain"] = ", ".join(
        f"{name.replace('_', ' ')}: {value}" for name, value in found.items() if value is not None
    )


async def _searched(looker: Looker, of: str, fields: dict[str, str]) -> None:
    hours = fields.get("hours", "168")
    looker.kept["asked"] = fields.get("words", "")[:200], hours if hours in dict(SPANS) else "168"
    looker.kept["read"] = None


PAGE = Page("/audit", "Audit", _draw, {"search": _searched, "verify": _verified}, refresh_s=10.0)
