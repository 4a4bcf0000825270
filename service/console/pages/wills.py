"""Overrides in force in a list, the same wherever they stand."""

from __future__ import annotations

from service.console.looker import Looker
from service.console.nodes import Node, badge, button, h, moment
from service.console.overriding import told
from service.domain.records import Override

_WORDS = {"force": "forced", "exclude": "excluded", "kill": "killed", "cost_cap": "capped",
          "bounds": "bounded", "pin": "pinned", "freeze": "frozen",
          "kill_experiment": "experiment killed", "raise_caching": "caching raised"}  # fmt: skip


def in_force(looker: Looker, each: Override) -> Node:
    """What it does, who laid it and why, and how long it holds still."""
    acts = (
        button("Lift", ("ask", f"lift:{each.id}")),
        button("Renew", ("ask", f"renew:{each.id}")),
    )
    return h(
        "li",
        h("div", badge(_WORDS.get(each.action, each.action), "warn"),
          h("strong", told(each)), cls="hg-line"),
        h("p", f"“{each.reason}” ", h("span", each.author, cls="hg-who-did")),
        h("div", h("span", moment(each.expires_us, "left"), cls="hg-countdown"),
          h("span", "left", cls="hg-hint"), *(acts if looker.acts else ()), cls="hg-line"),
        key=each.id,
    )  # fmt: skip
