"""Reviews: refused requests that wait for a person, and what was decided of others."""

from __future__ import annotations

import asyncio

from service.console.looker import Drawn, Looker, Page
from service.console.nodes import Column, Node, badge, button, card, empty, h, link, moment, table
from service.console.shell import heading
from service.console.telling import VERDICTS
from service.console.wording import NONE, plural, short
from service.storage.errors import StorageError
from service.storage.reviews import Reviewed

EVERY_S = 10.0
SHOWN, DECIDED = 100, 50
_TONES = {"uphold": "quiet", "allow": "good", "dismiss": "quiet"}


async def _draw(looker: Looker) -> Drawn:
    runtime, now_s = looker.runtime, looker.runtime.clock.monotonic_s()
    store = runtime.refusals.reviews
    waiting, overdue = store.counts()
    if now_s - looker.kept.get("read_s", -EVERY_S) >= EVERY_S or looker.told:
        looker.kept["decided"] = await _decided(looker)
        looker.kept["read_s"] = now_s
    late = f", {overdue} beyond their time" if overdue else ""
    note = f"{plural(waiting, 'request')} to look at{late}."
    return {
        "head": [heading("Reviews", note)],
        "open": [card("Waiting, the oldest first", _open(looker))],
        "decided": [card("Decided", _done(looker.kept["decided"]))],
    }


async def _decided(looker: Looker) -> list[Reviewed] | None:
    store = looker.runtime.refusals.reviews
    try:
        return await asyncio.to_thread(store.decided, DECIDED)
    except StorageError:
        return None


def _open(looker: Looker) -> Node:
    now_us = looker.runtime.clock.wall_us()
    found = looker.runtime.refusals.reviews.open()[:SHOWN]
    if not found:
        return empty("Nothing waits. A content policy's refusal of the highest tiers comes here.")
    columns = (Column("Refused"), Column("Due"), Column("Task"), Column("Deployment"),
               Column("Refused for"), Column("Tenant"), Column("Tier"), Column("Decision"),
               Column(""))  # fmt: skip
    rows = [
        (
            each.id,
            (
                h("span", moment(each.at_us)),
                badge("overdue", "bad") if each.due_us < now_us
                else h("span", moment(each.due_us, "left")),
                each.task, each.deployment, each.word.replace("_", " "), each.tenant or NONE,
                each.tier or NONE, link(short(each.decision_id),
                                        f"/console/decisions/{each.decision_id}"),
                button("Decide", ("ask", f"review:{each.id}")) if looker.acts else h("span", NONE),
            ),
        )
        for each in found
    ]  # fmt: skip
    return table("Waiting for review", columns, rows)


def _done(found: list[Reviewed] | None) -> Node:
    if found is None:
        return h("p", "The log cannot be read now. Try again in a moment.", role="alert")
    if not found:
        return empty("Nothing was decided yet.")
    columns = (Column("Decided"), Column("Verdict"), Column("By"), Column("Note", wide=True),
               Column("Task"), Column("Deployment"))  # fmt: skip
    words = {given: shown for given, shown, _ in VERDICTS}
    rows = []
    for each in found:
        made = each.decision
        if made is not None:
            verdict = badge(
                words.get(made.verdict, made.verdict), _TONES.get(made.verdict, "quiet")
            )
            rows.append((each.review.id, (h("span", moment(made.at_us)), verdict, made.reviewer,
                                          made.note, each.review.task,
                                          each.review.deployment)))  # fmt: skip
    return table("Decided reviews", columns, rows)


PAGE = Page("/reviews", "Reviews", _draw)
