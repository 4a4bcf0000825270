"""Reviews: what waits for a person, and what was decided of the rest."""

from __future__ import annotations

import asyncio

from service.console.looker import Drawn, Looker, Page
from service.console.nodes import Column, Node, badge, button, card, empty, h, link, moment, table
from service.console.shell import heading
from service.console.telling import WORDS
from service.console.wording import NONE, plural, short
from service.domain.reviews import Turn
from service.people.asked import Found
from service.storage.errors import StorageError

EVERY_S = 10.0
SHOWN, DECIDED = 100, 50
KINDS = {"classification": "Which task is it?", "refusal": "Was it right to refuse?",
         "judge": "How good is the answer?", "policy": "May it be tried again?"}  # fmt: skip


async def _draw(looker: Looker) -> Drawn:
    now_s = looker.runtime.clock.monotonic_s()
    desk = looker.runtime.people.desk
    overdue = desk.counts().late.total()
    if now_s - looker.kept.get("read_s", -EVERY_S) >= EVERY_S or looker.told:
        looker.kept["decided"] = await _decided(looker)
        looker.kept["read_s"] = now_s
    late = f", {overdue} beyond their time" if overdue else ""
    note = f"{plural(desk.count(), 'question')} to answer{late}."
    return {
        "head": [heading("Reviews", note)],
        "open": [card("Waiting, the oldest first", _open(looker, desk.open(0, SHOWN)))],
        "decided": [card("Decided", _done(looker.kept["decided"]))],
    }


async def _decided(looker: Looker) -> list[Found] | None:
    desk = looker.runtime.people.desk
    try:
        return await asyncio.to_thread(desk.ended, "", Turn.DECIDED, "", DECIDED)
    except StorageError:
        return None


def _open(looker: Looker, found: list[Found]) -> Node:
    if not found:
        return empty("Nothing waits. Unsure tasks, refusals, judges at odds and versions that were "
                     "rolled back come here.")  # fmt: skip
    columns = (Column("Question"), Column("Came"), Column("Due"), Column("Why"), Column("Task"),
               Column("Deployment"), Column("Tenant"), Column("Decision"), Column("State"),
               Column(""))  # fmt: skip
    return table("Waiting for review", columns, [(e.item.id, _row(looker, e)) for e in found])


def _row(looker: Looker, each: Found) -> tuple[Node, ...]:
    item, lease = each.item, each.lease
    due = h("span", moment(item.due_us, "left"))
    refused = each.review.word.replace("_", " ") if each.review is not None else ""
    way: Node = NONE
    if item.decision_id:
        way = link(short(item.decision_id), f"/console/decisions/{item.decision_id}")
    state = badge(f"taken by {lease.holder.reviewer}", "info") if lease else badge("open", "quiet")
    act = button("Decide", ("ask", f"review:{item.id}")) if looker.acts else h("span", NONE)
    return (
        KINDS.get(item.kind, item.kind), h("span", moment(item.at_us)),
        badge("overdue", "bad") if each.left_s < 0.0 else due,
        refused or item.why.replace("_", " "),
        item.task or NONE, item.deployment or NONE, item.tenant or NONE, way, state, act,
    )  # fmt: skip


def _done(found: list[Found] | None) -> Node:
    if found is None:
        return h("p", "The log cannot be read now. Try again in a moment.", role="alert")
    if not found:
        return empty("Nothing was decided yet.")
    columns = (Column("Question"), Column("Verdict"), Column("By"), Column("Note", wide=True),
               Column("Task"), Column("When"))  # fmt: skip
    rows = []
    for each in found:
        end = each.end
        if end is not None:
            word = end.verdict or NONE
            verdict = badge(WORDS.get(word, word), "good" if word == "allow" else "quiet")
            rows.append((each.item.id, (KINDS.get(each.item.kind, each.item.kind), verdict,
                                        end.reviewer, end.note, each.item.task or NONE,
                                        h("span", moment(end.at_us)))))  # fmt: skip
    return table("Decided reviews", columns, rows)


PAGE = Page("/reviews", "Reviews", _draw)
