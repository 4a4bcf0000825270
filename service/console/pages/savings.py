"""Savings: what kept answers, prompt caches and batches take off the bill, and what holds."""

from __future__ import annotations

import asyncio
from typing import Any

from service.console.looker import Drawn, Looker, Page
from service.console.nodes import (
    Column,
    Node,
    badge,
    button,
    card,
    empty,
    figure,
    figures,
    fold,
    h,
    link,
    swatch,
    table,
)
from service.console.pages.batched import batched
from service.console.pages.opportunities import look_for, opportunities
from service.console.pages.wills import in_force
from service.console.reading import savings as reading
from service.console.reading.routes import Report, told
from service.console.reading.serving import tones
from service.console.shell import heading
from service.console.wording import NONE, count, percent, plural, span, usd

SPANS = ((24, "24 h"), (168, "7 days"), (672, "28 days"))
SAVED, PROMPT_CACHES = "/admin/costs/saved", "/admin/prompt-caches"
BATCHES_SAVED = "/admin/batches/savings"
_TASKS = (Column("Task"), Column("Answers are"), Column("For", True), Column("Hits", True),
          Column("Shared a call", True), Column("Misses", True), Column("Hit rate", True),
          Column("Saved", True))  # fmt: skip
_LIKE = (Column("Task"), Column("State"), Column("Had a like one", True), Column("Given", True),
         Column("Regenerated", True), Column("Wrong", True), Column("Wrong at most", True),
         Column("Allowed", True), Column(""))  # fmt: skip
_PROMPTS = (Column("Deployment"), Column("Calls", True), Column("Cached tokens", True),
            Column("Of its input", True), Column("Saved", True), Column("Writing cost", True),
            Column("Net", True))  # fmt: skip


async def _draw(looker: Looker) -> Drawn:
    asked = looker.query.get("hours", "")
    hours = next((each for each, _ in SPANS if str(each) == asked), SPANS[0][0])
    links = [
        link(text, f"?hours={back}", "hg-now" if back == hours else "") for back, text in SPANS
    ]
    spans = h("div", *links, cls="hg-tabs", aria_label="How far back")
    note = "What was spent, and what kept answers, prompt caches and batches took off it."
    cache = await told(looker, reading.CACHE, 2.0)
    saved, prompts, of_batches = await asyncio.gather(
        *(reading.since(looker, path, hours) for path in (SAVED, PROMPT_CACHES, BATCHES_SAVED))
    )
    return {
        "head": [heading("Savings", note, spans)],
        "figures": [_figures(saved)],
        "kept": [_kept(looker, cache)],
        "like": [_like(looker, cache["semantic"])] if cache.get("semantic") else [],
        "prompts": [_prompts(looker, prompts)],
        "batches": [await batched(looker, of_batches.content)],
        "opportunities": [opportunities(looker)],
    }  # fmt: skip


def _unread(report: Report) -> Node:
    if report.pending:
        return h("p", "The log is being added up…", role="status", cls="hg-empty")
    return h("p", "The log cannot be read now. It is tried again in a minute.", role="alert")


def _figures(report: Report) -> Node:
    found = report.content
    if found is None:
        return card("Spent and saved", _unread(report))
    before = found["before_micro_usd"]

    def part(name: str) -> tuple[str, str]:
        share = found[name] / before if before else None
        return usd(found[name] / 1e6), NONE if share is None else f"{percent(share, 1)} of that"

    saved, share = part("saved_micro_usd")
    given = sum(each["answers"] for each in found["kept_answers"].values())
    return figures(
        figure("Spent", usd(found["spent_micro_usd"] / 1e6), plural(found["calls"], "call")),
        figure("It would have been", usd(before / 1e6), f"about, and {plural(given, 'call')} more"),
        figure("Saved in all", saved, share),
        figure("By kept answers", *part("kept_answers_micro_usd")),
        figure("By prompt caches", *part("prompt_caches_micro_usd")),
        figure("By batches", *part("batches_micro_usd")),
    )


# kept answers -----------------------------------------------------------------------------------


def _kept(looker: Looker, found: dict[str, Any]) -> Node:
    if not found["enabled"]:
        return card("Kept answers", empty("Nothing is kept: the plan has no section cache."))
    asked = found["requests"]
    up_s = looker.runtime.clock.monotonic_s() - looker.runtime.board.started_s
    seen = sum(asked[each] for each in ("hit", "shared", "miss"))
    full = f"of {found['most_bytes'] / 1e6:.0f} MB"
    rows = [(each.task, _task(each)) for each in reading.kept_by_task(looker.runtime, found)]
    trouble = found["disk_trouble"]
    return card(
        "Kept answers",
        h("p", f"In memory alone: {trouble}", role="note", cls="hg-warned") if trouble else None,
        _raised(looker),
        figures(
            figure("Saved by value", percent(found["value_rate"], 1),
                   f"about {usd(found['saved_usd_estimate'])}"),
            figure("Hits by count", percent(found["hit_rate"], 1), f"of {plural(seen, 'request')}"),
            figure("Answers kept", count(found["entries"])),
            figure("In memory", f"{found['bytes'] / 1e6:.1f} MB", full),
        ),
        table("Kept answers by task", _TASKS, rows),
        _why(found),
        note=f"Since the start, {span(up_s)} ago. What was saved is what the first answers cost.",
        aside=_acts(looker),
    )  # fmt: skip


def _acts(looker: Looker) -> Node:
    caching = looker.runtime.caching
    if not looker.acts or caching is None:
        return None
    up = button("Raise caching", ("ask", "raise"), aria_haspopup="dialog")
    back = button("Take answers back", ("ask", "invalidate"), "hg-danger", aria_haspopup="dialog")
    return h("div", up if caching.rules.raised is not None else None, back, cls="hg-line")


def _raised(looker: Looker) -> Node:
    rows = [in_force(looker, each) for each in reading.raising(looker.runtime)]
    return h("ul", *rows, cls="hg-wills hg-apart") if rows else None


def _task(each: reading.Kept) -> tuple[Node, ...]:
    state = badge("kept", "good") if each.enabled else badge("off", "quiet")
    if each.raised:
        state = badge("kept, raised", "warn")
    return (
        each.task, state, span(each.ttl_s) if each.enabled else NONE, count(each.hits),
        count(each.shared), count(each.misses), percent(each.hit_rate, 1), usd(each.saved_usd),
    )  # fmt: skip


def _why(found: dict[str, Any]) -> Node:
    """Which requests had no part in it, and which answers are kept no more."""
    lines = [
        h("li", f"{words}: ", ", ".join(f"{count(number)} {why.replace('_', ' ')}"
                                        for why, number in sorted(found[name].items())))
        for name, words in (("passed_by", "Requests that it had no part in"),
                            ("not_kept", "Answers that were not kept"),
                            ("ended", "Answers that are kept no more"))
        if found[name]
    ]  # fmt: skip
    return fold("Why not more", h("ul", *lines)) if lines else None


# answers for like questions ---------------------------------------------------------------------


def _like(looker: Looker, found: dict[str, Any]) -> Node:
    note = (f"{plural(found['entries'], 'answer')} may stand for a like question; regenerating "
            f"some to measure how often they are wrong cost {usd(found['shadow_spent_usd'])} "
            "today.")  # fmt: skip
    rows = [(each["task"], _like_task(looker, each)) for each in found["tasks"]]
    return card("Answers for like questions", table("By task", _LIKE, rows), note=note)


def _like_task(looker: Looker, each: dict[str, Any]) -> tuple[Node, ...]:
    if each["off"]:
        tone = "quiet" if each["by_hand"] else "bad"
        state = h("span", badge("off", tone), h("small", each["off"], cls="hg-why"))
    elif each["held"]:
        state = badge("the bound holds", "good")
    else:
        state = badge("not known yet", "info")
    asked, given = each["counts"].get("asked", 0), each["counts"].get("given", 0)
    most = percent(each["false_hits_at_most"], 1), percent(each["most_false"], 1)
    act: Node = ""
    if looker.acts:
        to, words = ("likeon", "Put on again") if each["off"] else ("likeoff", "Put off")
        act = h("div", button(words, ("ask", f"{to}:{each['task']}"), aria_haspopup="dialog"),
                cls="hg-line")  # fmt: skip
    return (each["task"], state, count(asked), count(given), count(each["regenerated"]),
            count(each["wrong"]), *most, act)  # fmt: skip


# providers' prompt caches -----------------------------------------------------------------------


def _prompts(looker: Looker, report: Report) -> Node:
    title, found = "Providers' prompt caches", report.content
    if found is None:
        return card(title, _unread(report))
    rows = reading.by_deployment(found["rows"])
    if not rows:
        return card(title, empty("No call ended in this time."))
    tone = tones(looker.runtime)
    told_rows = [
        (each["deployment"], (
            swatch(tone.get(each["deployment"], 0), each["deployment"]), count(each["calls"]),
            count(each["cached_tokens"]),
            percent(each["cached_tokens"] / each["tokens_in"] if each["tokens_in"] else None, 1),
            usd(each["saved_micro_usd"] / 1e6), usd(each["surcharge_micro_usd"] / 1e6),
            usd(each["net_micro_usd"] / 1e6),
        ))
        for each in rows
    ]  # fmt: skip
    unpriced = found["total"]["unpriced"]
    hint = h("p", f"{plural(unpriced, 'call')} with cached tokens were billed as plain input: "
             "their deployments have no cached_input_usd_per_mtok.", cls="hg-hint")  # fmt: skip
    return card(title, table(title, _PROMPTS, told_rows), hint if unpriced else None,
                note="By the prices in force when each call ended.")  # fmt: skip


PAGE = Page("/savings", "Savings", _draw, {"look_for": look_for})
