"""The forms of overrides: set with a look at what would move, lifted, renewed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.console import acting
from service.console.form_parts import Form, choice, nothing, radios
from service.console.looker import Looker, Open
from service.console.nodes import Column, Node, h, table
from service.console.wording import percent, seconds, span, usd
from service.domain.errors import NotFound, Unprocessable
from service.domain.records import Override, Weight

LASTS = (
    ("900", "15 minutes"), ("3600", "1 hour"), ("14400", "4 hours"), ("43200", "12 hours"),
    ("86400", "1 day"), ("604800", "7 days"),
)  # fmt: skip
DEFAULT_LASTS = "14400"
_DOES = {"force": "gets every request", "exclude": "gets no request"}


@dataclass(frozen=True, slots=True)
class Moved:
    """What an override would move of a task, by what the policy expects of recent requests."""

    task: str
    share: float
    cost_usd: tuple[float, float]
    quality: tuple[float, float]
    latency_s: tuple[float, float]


def moved(weights: Sequence[Weight], action: str, deployment: str, task: str) -> list[Moved]:
    """Of every task that it concerns: how much of its traffic goes elsewhere, and what that is
    expected to change. Who is left takes over in proportion to their shares.
    """
    found = []
    for name in dict.fromkeys(each.task for each in weights):
        rows = [each for each in weights if each.task == name]
        mine = next((each for each in rows if each.deployment == deployment), None)
        if (task and name != task) or mine is None:
            continue
        if action == "force":
            after = {deployment: 1.0}
            share = 1.0 - mine.share
        else:
            share = mine.share
            left = {each.deployment: each.share for each in rows if each is not mine}
            total = sum(left.values())
            even = 1.0 / len(left) if left else 0.0
            after = {n: s / total if total else even for n, s in left.items()}
        found.append(
            Moved(
                name, share, _change(rows, after, "cost_usd"), _change(rows, after, "quality"),
                _change(rows, after, "latency_s"),
            )
        )  # fmt: skip
    return found


def _change(rows: Sequence[Weight], after: dict[str, float], part: str) -> tuple[float, float]:
    before = sum(each.share * getattr(each, part) for each in rows)
    return before, sum(after.get(each.deployment, 0.0) * getattr(each, part) for each in rows)


def _fields(looker: Looker, now: Open) -> list[Node]:
    runtime = looker.runtime
    names = [(each.name, f"{each.name} ({each.provider})") for each in runtime.catalog]
    tasks = [("", "every task"), *((name, name) for name in runtime.plan.task_names)]
    now.fields.setdefault("lasts", DEFAULT_LASTS)
    return [
        radios(
            "action", "What to do",
            (("exclude", "Keep requests away from it", "The others take over by their shares."),
             ("force", "Send every request to it", "Nothing is drawn and nothing learned of it.")),
            now,
        ),
        h("div", choice("deployment", "Deployment", names, now), choice("task", "For", tasks, now),
          choice("lasts", "Ends by itself after", LASTS, now), cls="hg-row"),
    ]  # fmt: skip


def _wanted(now: Open) -> tuple[tuple[str, str, str], float]:
    given = now.fields
    try:
        lasts_s = float(given.get("lasts", ""))
    except ValueError:
        raise Unprocessable("Choose how long it lasts.", param="lasts") from None
    return (given.get("action", ""), given.get("deployment", ""), given.get("task", "")), lasts_s


async def _check(looker: Looker, now: Open) -> list[Node]:
    wanted, lasts_s = _wanted(now)
    acting.checked(looker.runtime, wanted, lasts_s)
    action, deployment, task = wanted
    rows = moved(looker.runtime.weights.current, *wanted)
    said = h("p", h("strong", deployment), f" {_does(action, task)}, for {span(lasts_s)}.")
    if not rows:
        return [said, h("p", "No recent request shows what would move.", cls="hg-hint")]
    columns = (
        Column("Task"), Column("Traffic that moves", True), Column("Cost a request", True),
        Column("Quality", True), Column("Latency", True),
    )  # fmt: skip
    body = [
        (
            each.task,
            (
                each.task, percent(each.share, 1), _pair(each.cost_usd, usd),
                _pair(each.quality, lambda v: f"{v:.3f}"), _pair(each.latency_s, seconds),
            ),
        )
        for each in rows
    ]  # fmt: skip
    note = "As the policy expects it of the last requests: now, and with the override."
    return [said, table("What would move", columns, body), h("p", note, cls="hg-hint")]


def _pair(values: tuple[float, float], shown: object) -> str:
    assert callable(shown)
    return f"{shown(values[0])} → {shown(values[1])}"


async def _set(looker: Looker, now: Open, reason: str) -> str:
    wanted, lasts_s = _wanted(now)
    made = await acting.override(looker.runtime, looker.must_act(), wanted, lasts_s, reason)
    return f"In effect: {told(made)}, for {span(lasts_s)}."


def told(found: Override) -> str:
    """An override in words."""
    return f"{found.deployment} {_does(found.action, found.task)}"


def _does(action: str, task: str) -> str:
    return _DOES.get(action, action) + (f" of {task}" if task else "")


def _this(looker: Looker, now: Open) -> Override:
    found = looker.runtime.kept.overrides.find(now.of)
    if found is None:
        raise NotFound("This override is not in force any more: it has expired or was lifted.")
    return found


def _named(looker: Looker, now: Open) -> list[Node]:
    found = looker.runtime.kept.overrides.find(now.of)
    if found is None:
        return [h("p", "It is not in force any more.")]
    return [h("p", h("strong", told(found)), f". Set by {found.author}: “{found.reason}”")]


async def _lift(looker: Looker, now: Open, reason: str) -> str:
    found = await acting.lift(looker.runtime, looker.must_act(), now.of, reason)
    return f"Lifted: {found.deployment} is decided by the policy again."


def _renewed(looker: Looker, now: Open) -> list[Node]:
    now.fields.setdefault("lasts", DEFAULT_LASTS)
    return [*_named(looker, now), choice("lasts", "From now on for", LASTS, now)]


async def _renew(looker: Looker, now: Open, reason: str) -> str:
    """A new record in its place: what was set stays as it was set."""
    found, key = _this(looker, now), looker.must_act()
    _, lasts_s = _wanted(now)
    wanted = found.action, found.deployment, found.task
    made = await acting.override(looker.runtime, key, wanted, lasts_s, reason)
    await acting.lift(looker.runtime, key, found.id, f"renewed as {made.id}: {reason}"[:500])
    return f"Renewed: {told(made)}, for {span(lasts_s)}."


OVERRIDE = Form("Override the policy", "Put it in effect", _fields, _check, _set)
LIFT = Form("Lift an override", "Lift it", _named, nothing, _lift, sure=False)
RENEW = Form("Renew an override", "Renew it", _renewed, nothing, _renew, sure=False)
