"""Batches on the page of savings: how they stand, when they are answered, what they saved."""

from __future__ import annotations

from typing import Any

from service.console.looker import Looker
from service.console.nodes import (
    Column,
    Node,
    badge,
    button,
    card,
    empty,
    figure,
    figures,
    h,
    moment,
    table,
)
from service.console.reading import savings as reading
from service.console.reading.routes import told
from service.console.wording import NONE, count, plural, short, span, usd

HURRY_S = 900.0
TONES = {"in_progress": "info", "cancelling": "warn", "failed": "bad", "completed": "good",
         "expired": "bad", "cancelled": "quiet"}  # fmt: skip
_COLUMNS = (Column("Batch"), Column("Of"), Column("State"), Column("Answered", True),
            Column("No answer", True), Column("When"), Column("Waits at most"),
            Column("Paid", True), Column("Saved", True), Column(""))  # fmt: skip


async def batched(looker: Looker, saved: dict[str, Any] | None) -> Node:
    """All of them together, those under way, and the latest that have ended. ``saved``: what the
    route of their savings tells; None while it does not.
    """
    found = await told(looker, reading.BATCHES)
    if not found["enabled"]:
        return card("Batches", empty("There are none: the plan has no section batches."))
    of = {} if saved is None else {each["batch_id"]: each for each in saved["rows"]}
    rows = [(each["id"], _row(looker, each, of.get(each["id"])))
            for each in reading.shown_batches(found)]  # fmt: skip
    body = table("Batches", _COLUMNS, rows) if rows else empty(
        "Nobody has sent one yet; callers do by /v1/batches."
    )  # fmt: skip
    note = "Under way, and the latest that ended. Live requests come first."
    return card("Batches", _figures(looker, found, saved), body, note=note)


def _figures(looker: Looker, found: dict[str, Any], saved: dict[str, Any] | None) -> Node:
    slack, total = found["least_slack_s"], None if saved is None else saved["total"]
    waits, after, tone = NONE, "none is under way", ""
    if slack is not None:
        waits, after = span(slack), "then they are tried at any hour"
        tone = "" if slack > HURRY_S else "warn"
        if slack <= 0:
            waits, after, tone = "no more", "they are tried at any hour", "bad"
    return figures(
        figure("Under way", plural(found["live"], "batch", "batches")),
        figure("Requests waiting", count(found["waiting"]), _elsewhere(found)),
        figure("They may wait", waits, after, tone),
        _window(looker, found),
        figure("Saved", NONE if total is None else usd(total["saved_micro_usd"] / 1e6),
               "" if total is None else f"of {usd(total['list_micro_usd'] / 1e6)} at list price"),
    )  # fmt: skip


def _elsewhere(found: dict[str, Any]) -> str:
    tried = f"{count(found['running'])} tried now"
    return f"{tried}, {count(found['away'])} with providers" if found["away"] else tried


def _window(looker: Looker, found: dict[str, Any]) -> Node:
    plan, opens = looker.runtime.plan.batches, found["window_opens"]
    windows = ", ".join(plan.windows) if plan is not None else ""
    if found["open"]:
        return figure("Window", "open now", windows or "none: at any hour")
    ahead_s = None if opens is None else opens - looker.runtime.clock.wall_us() / 1e6
    return figure("Next window in", NONE if ahead_s is None else span(ahead_s), windows)


def _row(looker: Looker, each: dict[str, Any], money: dict[str, Any] | None) -> tuple[Node, ...]:
    live = each["status"] in reading.LIVE
    counts, latest = each["request_counts"], each["headgate"]["latest_start"]
    whose = each["tenant"] or looker.runtime.kept.keys.name_of(each["key_id"]) or NONE
    state = badge(each["status"].replace("_", " "), TONES.get(each["status"], "quiet"))
    act: Node = ""
    if live and looker.acts and each["status"] != "cancelling":
        act = h("div", button("Cancel", ("ask", f"cancel:{each['id']}"), "hg-danger",
                              aria_haspopup="dialog"), cls="hg-line")  # fmt: skip
    paid, saved = (
        NONE if money is None else usd(money[name] / 1e6)
        for name in ("paid_micro_usd", "saved_micro_usd")
    )
    answered = f"{count(counts['completed'])} of {count(counts['total'])}"
    by_provider = "" if not money or not money["provider"] else h(
        "small", f"{count(money['provider'])} in a provider's batch", cls="hg-why"
    )  # fmt: skip
    return (
        h("span", short(each["id"]), title=each["id"], cls="hg-whole"), whose, _state(each, state),
        h("span", answered, by_provider), count(counts["failed"]),
        _when(each, live), h("span", moment(latest * 1_000_000, "left")) if latest else NONE,
        paid, saved, act,
    )  # fmt: skip


def _when(each: dict[str, Any], live: bool) -> Node:
    if live:
        left = moment(each["expires_at"] * 1_000_000, "left")
        return h("span", "due in ", left, cls="hg-whole")
    ends = (each[f"{state}_at"] for state in ("completed", "failed", "expired", "cancelled"))
    at_s = next((each for each in ends if each is not None), None)
    if at_s is None:
        return h("span", NONE)
    return h("span", "ended ", moment(at_s * 1_000_000), cls="hg-whole")


def _state(each: dict[str, Any], state: Node) -> Node:
    problems = (each["errors"] or {"data": []})["data"]
    if not problems:
        return state
    first = problems[0]
    at = f"line {first['line']}: " if first["line"] else ""
    more = f"; {plural(len(problems) - 1, 'more')}" if len(problems) > 1 else ""
    return h("span", state, h("small", f"{at}{first['message']}{more}", cls="hg-why"))
