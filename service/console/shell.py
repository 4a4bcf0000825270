"""What stands around every page: the way to the others, who is here, and the kill switch."""

from __future__ import annotations

from service.console.forms import dialog_of
from service.console.looker import Looker
from service.console.nodes import Node, badge, button, h, link

PAGES = (
    ("/console/", "Now serving"),
    ("/console/deployments", "Deployments"),
    ("/console/capabilities", "Capabilities"),
    ("/console/decisions", "Decisions"),
    ("/console/experiments", "Experiments"),
    ("/console/alerts", "Alerts"),
    ("/console/reviews", "Reviews"),
    ("/console/approvals", "Approvals"),
    ("/console/budgets", "Budgets"),
    ("/console/savings", "Savings"),
    ("/console/workflows", "Workflows"),
    ("/console/timeline", "Timeline"),
    ("/console/audit", "Audit"),
)


def top(looker: Looker) -> list[Node]:
    """The bar at the top: the service's state in words, and who is here."""
    key, runtime = looker.key, looker.runtime
    reasons = runtime.ready()
    state = badge("not ready", "bad") if reasons else badge("serving", "good")
    out = h(
        "form", h("input", type="hidden", name="token", value=looker.token),
        h("button", "Log out", type="submit", cls="hg-button hg-plain"),
        method="post", action="/console/logout",
    )  # fmt: skip
    who = h("span", h("strong", key.name), h("span", key.role, cls="hg-role"), cls="hg-who")
    stop = None
    if looker.acts:
        stop = button("Kill switch", ("ask", "kill"), "hg-danger", aria_haspopup="dialog")
    theme = h("button", "Light / dark", type="button", id="hg-theme", cls="hg-button hg-plain")
    brand = h("a", h("span", "Headgate", cls="hg-wordmark"), href="/console/", cls="hg-home",
              aria_label="Headgate, now serving")  # fmt: skip
    return [
        h("a", "Skip to the page", href="#hg-main", cls="hg-skip"),
        h("header", brand, state, h("span", cls="hg-spring"), stop, theme, who, out, cls="hg-top"),
    ]


def ways(here: str, counts: dict[str, int]) -> list[Node]:
    """The pages, the present one marked; and how much waits there."""
    items = []
    for path, title in PAGES:
        number = counts.get(path, 0)
        waiting = h("span", str(number), cls="hg-count", aria_label=f"{number} open")
        current = "page" if path == here else None
        items.append(
            h("li", h("a", title, waiting if number else None, href=path, aria_current=current))
        )
    return [h("nav", h("ul", *items), cls="hg-nav", aria_label="Pages")]


def heading(title: str, note: str = "", *aside: Node) -> Node:
    """The one heading of a page."""
    return h("div", h("div", h("h1", title), h("p", note, cls="hg-note") if note else None),
             h("div", *aside, cls="hg-aside") if aside else None, cls="hg-heading")  # fmt: skip


def over(looker: Looker) -> list[Node]:
    """What lies over the page: the open dialog, and what was just done."""
    way = link("Open Approvals", "/console/approvals") if looker.held else None
    told = h("p", looker.told, way, cls="hg-told", role="status") if looker.told else None
    return [each for each in (told, dialog_of(looker)) if each is not None]


def back(text: str, href: str) -> Node:
    """The way back to a list."""
    return h("p", link(f"‹ {text}", href), cls="hg-back")
