"""Approvals: what waits for a second person, and what was done without one."""

from __future__ import annotations

import asyncio
from typing import Any

from service.console.looker import Drawn, Looker, Page
from service.console.nodes import Column, Node, badge, button, card, empty, h, moment, table
from service.console.shell import heading
from service.console.wording import plural, short
from service.domain.approvals import WAITS, Approval
from service.storage.cases import us
from service.storage.errors import StorageError

EVERY_S = 10.0
SHOWN = 50
_TONES = {"approved": "good", "rejected": "quiet", "expired": "quiet", "void": "warn"}


async def _draw(looker: Looker) -> Drawn:
    runtime, now_s = looker.runtime, looker.runtime.clock.monotonic_s()
    found = runtime.kept.approvals.open()
    if now_s - looker.kept.get("read_s", -EVERY_S) >= EVERY_S or looker.told:
        looker.kept["ended"] = await _read(looker)
        looker.kept["read_s"] = now_s
    asked = "What raises exposure waits for a second person."
    none = "The plan asks for no second person (approvals.four_eyes)."
    note = asked if runtime.plan.approvals.four_eyes else none
    return {
        "head": [heading("Approvals", f"{plural(len(found), 'act')} open. {note}")],
        "open": [card("Open, the oldest first", _open(looker, found))],
        "ended": [card("Ended", _ended(looker.kept["ended"]))],
    }


async def _read(looker: Looker) -> list[dict[str, Any]] | None:
    try:
        return await asyncio.to_thread(looker.runtime.kept.approvals.ended, SHOWN)
    except StorageError:
        return None


def _open(looker: Looker, found: list[Approval]) -> Node:
    if not found:
        return empty("Nothing waits for a second person.")
    columns = (Column("Act"), Column("On"), Column("Asked by"), Column("Why", wide=True),
               Column("Asked"), Column("State"), Column(""))  # fmt: skip
    return table("Open approvals", columns, [(each.id, _row(looker, each)) for each in found])


def _row(looker: Looker, each: Approval) -> tuple[Node, ...]:
    waits = each.kind == WAITS
    ask: list[Node] = []
    if looker.acts and waits:
        ask = [button("Approve", ("ask", f"approve:{each.id}")),
               button("Reject", ("ask", f"reject:{each.id}"))]  # fmt: skip
    elif looker.acts:
        ask = [button("Acknowledge", ("ask", f"looked:{each.id}"))]
    left = h("span", moment(each.expires_us, "left"), " left") if waits else badge(
        "glass broken", "bad"
    )  # fmt: skip
    return (
        each.act, short(each.subject), each.actor, each.reason, h("span", moment(each.at_us)), left,
        h("div", *ask, cls="hg-line"),
    )  # fmt: skip


def _ended(found: list[dict[str, Any]] | None) -> Node:
    if found is None:
        return h("p", "The log cannot be read now. Try again in a moment.", role="alert")
    if not found:
        return empty("Nothing has ended yet.")
    columns = (Column("Act"), Column("On"), Column("Asked by"), Column("Came of it"),
               Column("By"), Column("Why", wide=True), Column("When"))  # fmt: skip
    rows = [
        (
            str(row["id"]),
            (
                row["act"], short(row["subject"]), row["actor"],
                badge(row["how"], _TONES.get(row["how"], "quiet")), row["ended_by"],
                row["end_reason"], h("span", moment(us(row["ended_at"]))),
            ),
        )
        for row in found
    ]  # fmt: skip
    return table("Ended approvals", columns, rows)


PAGE = Page("/approvals", "Approvals", _draw)
