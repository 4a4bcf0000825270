"""The forms of what saves money: answers taken back, caching raised for a while, a batch ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from service.caching.rules import Rule
from service.caching.shelf import Which
from service.console.form_parts import Form, choice, entry, nothing
from service.console.looker import Looker, Open
from service.console.nodes import Column, Node, h, table
from service.console.overriding import DEFAULT_LASTS, LASTS, OVERRIDE, glass, lasts, told
from service.console.reading.savings import BATCHES, CACHE
from service.console.wording import count, plural, short, span
from service.domain.errors import Conflict, NotFound, Unprocessable
from service.domain.will import Action
from service.feedback.promoting import Signature
from service.operating.wanted import Wanted, check

PARTS = ("tag", "deployment", "task", "tenant", "before")


def _deployments(looker: Looker) -> list[tuple[str, str]]:
    return [("", "any"), *((each.name, each.name) for each in looker.runtime.catalog)]


def _tasks(looker: Looker, every: str) -> list[tuple[str, str]]:
    return [("", every), *((name, name) for name in looker.runtime.plan.task_names)]


# answers taken back -----------------------------------------------------------------------------


def _which_fields(looker: Looker, now: Open) -> list[Node]:
    return [
        h("p", "An answer is taken back where all that is filled in is true of it; with nothing "
          "filled in, all of them are."),
        h("div", entry("tag", "With the tag", "any", now),
          choice("task", "Of the task", _tasks(looker, "any"), now), cls="hg-row"),
        h("div", choice("deployment", "Given by", _deployments(looker), now),
          entry("tenant", "Of the tenant", "any", now), cls="hg-row"),
        entry("before", "Kept before (UTC)", "as 2026-03-01T14:05", now),
    ]  # fmt: skip


def _given(now: Open) -> dict[str, str]:
    return {name: now.fields[name] for name in PARTS if now.fields.get(name)}


def _before_us(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Unprocessable(f"{text!r} is no time: give it as 2026-03-01T14:05.",
                            param="before") from None  # fmt: skip
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1e6)


async def _which_check(looker: Looker, now: Open) -> list[Node]:
    caching, given = looker.runtime.caching, _given(now)
    if caching is None:
        raise Conflict("Nothing is kept: the plan has no section cache.")
    parts: dict[str, Any] = {name: text for name, text in given.items() if name != "before"}
    which = Which(**parts, before_us=_before_us(given.get("before")))
    found = sum(which.takes(each) for each in caching.shelf)
    if not found:
        raise Unprocessable("No answer that is kept is of this kind.")
    said = ", ".join(f"{name} {text}" for name, text in given.items())
    many = f"{count(found)} of {plural(len(caching.shelf), 'answer')}"
    return [
        h("p", h("strong", f"{many} are taken back" if len(caching.shelf) > 1 else
                 "The one answer is taken back"), f": {said or 'all that are kept'}."),
        h("p", "The next requests like theirs are answered anew, and billed. It cannot be undone.",
          cls="hg-hint"),
    ]  # fmt: skip


async def _take_back(looker: Looker, now: Open, reason: str) -> str:
    given = _given(now)
    body = {**given, "all": not given, "reason": reason}
    done = await looker.ask("/admin/cache/invalidate", body)
    looker.kept.pop(CACHE, None)
    return f"Taken back: {plural(done.content['invalidated'], 'answer')}."


# caching raised ---------------------------------------------------------------------------------


def _raise_fields(looker: Looker, now: Open) -> list[Node]:
    now.fields.setdefault("lasts", DEFAULT_LASTS)
    tiers = [("", "every tier"), *((name, name) for name in looker.runtime.plan.tiers)]
    return [
        h("p", "For a while more requests may be given kept answers, and older ones, as the plan's "
          "cache.raised says. It ends by itself."),
        h("div", choice("task", "For", _tasks(looker, "every task"), now),
          choice("lasts", "Ends by itself after", LASTS, now), cls="hg-row"),
        h("div", entry("tenant", "Tenant", "every tenant", now),
          choice("tier", "Tier", tiers, now), cls="hg-row"),
    ]  # fmt: skip


async def _raise_check(looker: Looker, now: Open) -> list[Node]:
    desk, given = looker.runtime.operating, now.fields
    wanted = check(
        Wanted(Action.RAISE_CACHING, task=given.get("task", ""), tenant=given.get("tenant", ""),
               tier=given.get("tier", ""), lasts_s=lasts(now)),
        looker.runtime.plan,
    )  # fmt: skip
    given["tag"] = desk.version()
    drafted = desk.drafted(wanted, Signature(looker.key.name, given["reason"]))
    return [h("p", h("strong", told(drafted)), f", for {span(wanted.lasts_s)}."),
            *_widened(looker, wanted.task),
            *([] if desk.reduces(drafted) else glass(looker))]  # fmt: skip


def _widened(looker: Looker, of: str) -> list[Node]:
    """Each task's rule as it is, and as it becomes."""
    caching = looker.runtime.caching
    if caching is None:
        return []
    rows = [
        (task, (task, rule_words(caching.rules.of(task)), rule_words(caching.rules.of(task, True))))
        for task in looker.runtime.plan.task_names if of in ("", task)
    ]  # fmt: skip
    columns = Column("Task"), Column("As a rule"), Column("While it is raised")
    return [table("What is widened", columns, rows)]


def rule_words(rule: Rule) -> str:
    """Which answers are kept, and for how long."""
    if not rule.enabled:
        return "off"
    most = rule.most_temperature
    warm = f"temperature up to {most:g}" if most else "temperature 0"
    parts = [f"for {span(rule.ttl_s)}", f"{warm}, or none named" if rule.without_temperature
             else warm, "tools too" if rule.tools else ""]  # fmt: skip
    return "; ".join(part for part in parts if part)


async def _raise(looker: Looker, now: Open, reason: str) -> str:
    now.fields["action"] = Action.RAISE_CACHING.value
    return await OVERRIDE.act(looker, now, reason)


# answers for like questions --------------------------------------------------------------------


def _switched(words: str) -> Callable[[Looker, Open], list[Node]]:
    def fields(looker: Looker, now: Open) -> list[Node]:
        return [h("p", "Of the task ", h("strong", now.of), f": {words}")]

    return fields


def _switch(on: bool) -> Callable[[Looker, Open, str], Awaitable[str]]:
    async def act(looker: Looker, now: Open, reason: str) -> str:
        body = {"task": now.of, "on": on, "reason": reason}
        await looker.ask("/admin/cache/semantic/switch", body)
        looker.kept.pop(CACHE, None)
        return f"Answers for like questions of {now.of} are {'on again' if on else 'off'}."

    return act


# a batch ended ----------------------------------------------------------------------------------


def _batch(looker: Looker, now: Open) -> list[Node]:
    batches = looker.runtime.batches
    standings = () if batches is None else batches.workers.standings
    found = next((each for each in standings if each.batch.id == now.of), None)
    if found is None:
        return [h("p", "It is not under way any more.")]
    whose = found.batch.owner
    of = whose.tenant or looker.runtime.kept.keys.name_of(whose.key_id) or "nobody known"
    answered = found.batch.total - found.left
    return [
        h("p", "The batch ", h("strong", short(found.batch.id)), f" of {of}: {count(answered)} of "
          f"{plural(found.batch.total, 'request')} have their result and keep it; the other "
          f"{count(found.left)} get none."),
        h("p", "It cannot be undone; its caller may send them again.", cls="hg-hint"),
    ]  # fmt: skip


async def _cancel(looker: Looker, now: Open, reason: str) -> str:
    if looker.runtime.batches is None:
        raise NotFound("There are no batches: the plan has no section of them.")
    await looker.ask(f"/admin/batches/{now.of}/cancel", {"reason": reason})
    looker.kept.pop(BATCHES, None)
    return f"Called off: the batch {short(now.of)}. What is answered stays."


INVALIDATE = Form("Take answers back", "Take them back", _which_fields, _which_check, _take_back,
                  danger=True)  # fmt: skip
RAISE = Form("Raise caching for a while", "Put it in effect", _raise_fields, _raise_check, _raise)
LIKE_ON = Form("Give answers for like questions again", "Put it on", _switched(
    "answers for like questions are given again; how often they are wrong is measured anew."
), nothing, _switch(True), sure=False)  # fmt: skip
LIKE_OFF = Form("Give no answers for like questions", "Put it off", _switched(
    "none is given for a like question from the next request on, until it is put on again."
), nothing, _switch(False), sure=False)  # fmt: skip
CANCEL = Form("Cancel a batch", "Cancel the batch", _batch, nothing, _cancel, sure=False,
              danger=True)  # fmt: skip
