"""What could be saved besides, on the page of savings: looked for in a child when asked to."""

from __future__ import annotations

import asyncio
from typing import Any

from experiments.opportunities.changes import Cache, Skip, in_words, parse
from service.console.calling import Refused
from service.console.looker import Gone, Looker
from service.console.nodes import (
    Column,
    Node,
    badge,
    button,
    card,
    empty,
    fold,
    h,
    link,
    moment,
    table,
)
from service.console.wording import NONE, count, plural, usd

PATH = "/admin/costs/opportunities"
_MARKS = ("unbeaten: nothing else surely saves as much at as little risk; together: the best that "
          "do not stand in each other's way")  # fmt: skip
_KEPT = "opportunities"
_COLUMNS = (Column("Change"), Column("Surely saves", True), Column("Expected", True),
            Column("What it risks"), Column("Marks"),
            Column("To try it", wide=True))  # fmt: skip


async def look_for(looker: Looker, of: str, fields: dict[str, str]) -> None:
    """Begin to look, unless it is under way: in a child, of which the service has one at a time."""
    task: asyncio.Task[Any] | None = looker.kept.get(_KEPT)
    if task is None or task.done():
        looker.kept[_KEPT] = asyncio.create_task(_looked(looker))


async def _looked(looker: Looker) -> dict[str, Any]:
    try:
        found: dict[str, Any] = (await looker.look(PATH)).content
    except Refused as error:
        return {"refused": str(error)}
    except Gone:
        return {"refused": "You are logged out."}
    return found | {"at_us": looker.runtime.clock.wall_us()}


def opportunities(looker: Looker) -> Node:
    """The list as it was found last, with the way to look."""
    task: asyncio.Task[dict[str, Any]] | None = looker.kept.get(_KEPT)
    title, note = (
        "What could be saved besides",
        (
            "Cheaper tiers, caches, batches and skipped checks, tried on the history of the last "
            "28 days."
        ),
    )
    if task is not None and not task.done():
        said = h("p", "The history is looked through. It may take a minute or two; the service "
                 "goes on meanwhile.", role="status", cls="hg-empty")  # fmt: skip
        return card(title, said, note=note)
    look = button("Look again" if task else "Look for opportunities", ("look_for", ""))
    if task is None:
        return card(title, empty("Nothing is computed before somebody asks."), note=note,
                    aside=look)  # fmt: skip
    if task.cancelled() or task.exception() is not None:
        found: dict[str, Any] = {"refused": "Something went wrong here; the log has it."}
    else:
        found = task.result()
    if "refused" in found:
        return card(title, h("p", found["refused"], role="alert"), note=note, aside=look)
    return card(title, *_found(found), note=note, aside=look)


def _found(found: dict[str, Any]) -> list[Node]:
    parts = [
        h("p", f"{count(found['requests'])} requests, looked at ", moment(found["at_us"]), ".",
          cls="hg-hint")
    ]  # fmt: skip
    rows = [(each["change"], _row(each)) for each in found["opportunities"]]
    if rows:
        parts.append(table("Opportunities", _COLUMNS, rows))
        parts.append(h("p", *_together(found["joint"]), cls="hg-hint"))
    else:
        parts.append(empty("Nothing that could be estimated would have saved anything worth it."))
    if found["unsaid"]:
        why: dict[str, list[str]] = {}
        for each in found["unsaid"]:
            why.setdefault(each["why"], []).append(each["change"])
        lines = [h("li", h("strong", ", ".join(of)), f": {said}") for said, of in why.items()]
        told = f"Of {plural(len(found['unsaid']), 'change')} nothing can be said"
        parts.append(fold(told, h("ul", *lines, cls="hg-lines")))
    return parts


def _row(each: dict[str, Any]) -> tuple[Node, ...]:
    interval, trial = each["interval_micro_usd"], each["trial"]
    low = interval.get("low")
    sure = "nothing" if low is not None and low <= 0 else usd(None if low is None else low / 1e6)
    marks = [badge("unbeaten", "good")] if each["pareto"] else []
    marks += [badge("together", "info")] if each["together"] else []
    command = f'headgate cost opportunities try "{each["change"]}"'
    change = h("span", in_words(parse(each["change"])), h("small", each["change"], cls="hg-why"))
    return (
        change, sure, usd(each["saved_micro_usd"] / 1e6), _risk(each),
        h("span", *marks, title=_MARKS) if marks else NONE,
        h("span", h("code", command), h("small", trial["words"], cls="hg-why")),
    )  # fmt: skip


def _risk(each: dict[str, Any]) -> str:
    """What may be lost by it."""
    change, risk = parse(each["change"]), each["answers_at_risk"]
    if isinstance(change, Cache):
        return "how stale an answer gets"
    if isinstance(change, Skip):
        return f"at most {plural(round(risk or 0.0), 'bad answer')} that nobody sees"
    quality = each["quality_change"]
    if quality is None:
        return NONE
    if "cannot_say" in quality:
        return "its quality cannot be said"
    return f"quality {quality['estimate']:+.3f} ({quality['low']:+.3f} to {quality['high']:+.3f})"


def _together(joint: dict[str, Any]) -> list[Node]:
    saved, before = joint["saved_micro_usd"] / 1e6, joint["before_micro_usd"] / 1e6
    interval = joint["interval_micro_usd"]
    between = f" (surely {usd(interval['low'] / 1e6)})" if "low" in interval else ""
    return [
        f"Together those marked so would have saved {usd(saved)}{between} of {usd(before)}, "
        "nothing counted twice. Sure is the low end of 95 % intervals. Each is tried by its "
        "command: a tier becomes a draft of an ", link("experiment", "/console/experiments"),
        ", which nobody is in before it is started.",
    ]  # fmt: skip
