"""The forms of overrides: set with a look at what would move, lifted, renewed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.console.calling import Done
from service.console.form_parts import Form, choice, entry, nothing, radios
from service.console.looker import Looker, Open
from service.console.nodes import Column, Node, button, fold, h, table
from service.console.wording import (
    clock,
    count,
    measured,
    percent,
    plural,
    seconds,
    short,
    span,
    usd,
)
from service.domain.errors import HeadgateError, NotFound, Unprocessable
from service.domain.records import Override, Weight
from service.domain.will import Action
from service.feedback.promoting import Signature
from service.operating.overrides import words
from service.operating.wanted import Wanted, check, lifting_reduces

LASTS = (
    ("900", "15 minutes"), ("3600", "1 hour"), ("14400", "4 hours"), ("43200", "12 hours"),
    ("86400", "1 day"), ("604800", "7 days"),
)  # fmt: skip
DEFAULT_LASTS = "14400"
TRIED_HOURS = 24.0
ACTIONS = (
    (Action.EXCLUDE, "Keep requests away from a deployment", "The others take over."),
    (Action.FORCE, "Send every request to a deployment", "Nothing is drawn."),
    (Action.BOUNDS, "Hold a deployment's share between bounds", "Drawn and learned from still."),
    (Action.COST_CAP, "Cap what a request may cost", "Dearer deployments get none."),
    (Action.FREEZE, "Freeze learning", "What is held back is learned afterwards."),
    (Action.PIN, "Pin a version", "It draws in place of the live one, and learns beside it."),
    (Action.RAISE_CACHING, "Raise caching", "As the plan's cache.raised says."),
    (Action.KILL_EXPERIMENT, "Kill an experiment for now", "Nobody is in it; it goes on after."),
)
WITHOUT = (  # name no deployment
    Action.COST_CAP, Action.FREEZE, Action.PIN, Action.KILL_EXPERIMENT, Action.RAISE_CACHING,
)  # fmt: skip
TARGETS = {Action.PIN.value: "version", Action.KILL_EXPERIMENT.value: "experiment"}
MOST_VERSIONS = 50


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
    tiers = [("", "every tier"), *((name, name) for name in runtime.plan.tiers)]
    now.fields.setdefault("lasts", DEFAULT_LASTS)
    return [
        radios("action", "What to do", ((a.value, said, note) for a, said, note in ACTIONS), now),
        h("div", choice("deployment", "Deployment", names, now), choice("task", "For", tasks, now),
          choice("lasts", "Ends by itself after", LASTS, now), cls="hg-row"),
        fold(
            "For a tenant or a tier; version, experiment, bounds and cap",
            h("div", entry("tenant", "Tenant", "every tenant", now),
              choice("tier", "Tier", tiers, now), entry("ticket", "Ticket", "none", now),
              cls="hg-row"),
            h("div", choice("version", "Version (pin)", _versions(looker), now),
              choice("experiment", "Experiment (kill)", _experiments(looker), now), cls="hg-row"),
            h("div", entry("least", "At least, % (bounds)", "0", now),
              entry("greatest", "At most, % (bounds)", "100", now),
              entry("usd", "Dollars a request (cap)", "0.01", now), cls="hg-row"),
        ),
    ]  # fmt: skip


def _versions(looker: Looker) -> list[tuple[str, str]]:
    """The versions that may be pinned, the newest first: all but the live one."""
    runtime = looker.runtime
    live, known = runtime.learner.version.id, runtime.experiments.versions.store.versions
    newest = [each for each in reversed(known) if each.id != live][:MOST_VERSIONS]
    return [("", "none"), *((each.id, f"{each.policy} {short(each.id)}, made {clock(each.at_us)} "
                             f"by {each.author}") for each in newest)]  # fmt: skip


def _experiments(looker: Looker) -> list[tuple[str, str]]:
    running = looker.runtime.experiments.desk.running()
    return [("", "none"), *((e.id, f"{e.id} ({e.standing.exposed} % exposed)") for e in running)]


def _wanted(now: Open) -> Wanted:
    given = now.fields
    action = given.get("action", "")
    if not action:
        raise Unprocessable("Choose what to do.", param="action")
    bounds, cap = action == Action.BOUNDS, action == Action.COST_CAP
    return Wanted(
        action=action,
        deployment="" if action in WITHOUT else given.get("deployment", ""),
        task=given.get("task", ""),
        tenant=given.get("tenant", ""),
        tier=given.get("tier", ""),
        target=given.get(TARGETS.get(action, ""), ""),
        least=_number(given, "least", 0.01) if bounds else None,
        greatest=_number(given, "greatest", 0.01) if bounds else None,
        usd=_number(given, "usd", 1.0) if cap else None,
        lasts_s=lasts(now),
        ticket=given.get("ticket", ""),
    )


def _number(given: dict[str, str], name: str, scale: float) -> float | None:
    text = given.get(name, "")
    if not text:
        return None
    try:
        return float(text) * scale
    except ValueError:
        raise Unprocessable(f"{name}: {text!r} is not a number.", param=name) from None


def lasts(now: Open) -> float:
    """How long it was chosen to last; raises Unprocessable."""
    try:
        return float(now.fields.get("lasts", ""))
    except ValueError:
        raise Unprocessable("Choose how long it lasts.", param="lasts") from None


async def _check(looker: Looker, now: Open) -> list[Node]:
    desk = looker.runtime.operating
    wanted = check(_wanted(now), looker.runtime.plan)
    now.fields["tag"] = desk.version()
    drafted = desk.drafted(wanted, Signature(looker.key.name, now.fields["reason"]))
    said = h("p", h("strong", told(drafted)), f", for {span(wanted.lasts_s)}.")
    second = [] if desk.reduces(drafted) else glass(looker)
    ask = button("Try it on the last day", ("try", ""))
    return [said, *preview(looker, wanted), *second, h("div", ask, cls="hg-line")]


def glass(looker: Looker) -> list[Node]:
    """Where the plan asks for a second person: that it waits, or how not to."""
    if not looker.runtime.plan.approvals.four_eyes:
        return []
    return [
        h("p", "This raises exposure, so it waits for a second person to approve it."),
        h("div", h("input", type="checkbox", id="hg-glass", name="break_glass", value="true"),
          h("label", h("span", "Break the glass: do it now"),
            h("small", "Loud, and open until another person has looked at it. The reason needs "
              "20 characters."), for_="hg-glass"), cls="hg-radio"),
    ]  # fmt: skip


def waits(done: Done) -> str:
    """What to say of an act that is kept for a second person, beside the way there; empty of one
    that is done.
    """
    return "Not yet in effect: it waits for a second person." if done.waits else ""


def _body(now: Open) -> dict[str, Any]:
    """As the API takes it."""
    wanted = _wanted(now)
    given = {
        "action": wanted.action, "deployment": wanted.deployment, "task": wanted.task,
        "tenant": wanted.tenant, "tier": wanted.tier, "least": wanted.least,
        "greatest": wanted.greatest, "usd": wanted.usd, "ticket": wanted.ticket,
        "expires_in_s": wanted.lasts_s, "reason": now.fields["reason"],
    }  # fmt: skip
    if wanted.action in TARGETS:
        given[TARGETS[wanted.action]] = wanted.target
    return {name: value for name, value in given.items() if value not in ("", None)}


def broken(now: Open) -> dict[str, bool]:
    """Whether the glass is broken, as the API takes it."""
    return {"break_glass": True} if now.fields.get("break_glass") == "true" else {}


async def tried(looker: Looker, of: str, fields: dict[str, str]) -> None:
    """The dry run on the log, which takes a while: shown below what is shown already."""
    now = looker.open
    if now is None or now.form != "override" or now.step != 2 or now.busy:
        return
    before, now.problem = now.found[:-1], ""
    now.found = [*before, h("p", "The last day is tried…", cls="hg-hint", role="status")]
    now.busy = True
    try:
        body = {**_body(now), "hours": TRIED_HOURS}
        done = await looker.ask("/admin/overrides/dry-run", body)
        now.fields["tag"] = done.content["version"]
        now.found = [*before, *report(done.content["report"])]
    except HeadgateError:
        now.found = before
        raise
    finally:
        now.busy = False


def report(found: dict[str, Any]) -> list[Node]:
    """A dry run in words and numbers."""
    if not found["decisions"]:
        return [h("p", "No decision of its scope was logged in the last day.", cls="hg-hint")]
    moved_on, refused = percent(found["moved"], 1), percent(found["refused"], 1)
    said = (f"On the log: of {count(found['decisions'])} decisions {moved_on} would have moved and "
            f"{refused} been refused.")  # fmt: skip
    columns = Column("Metric"), Column("Logged", True), Column("Change a request", True)
    rows = [(name, (name.replace("_", " "), measured(each.get("logged_mean")), _change_of(each)))
            for name, each in found["predicted"].items()]  # fmt: skip
    touched = f"{plural(found['tenants_touched'], 'tenant')} touched."
    unsupported = ", ".join(f"{name} {n}" for name, n in (found["unsupported"] or {}).items())
    note = (
        f" Without a chance in the log, so nothing is known: {unsupported}." if unsupported else ""
    )
    return [h("p", said), table("What the log predicts", columns, rows),
            h("p", touched + note, cls="hg-hint")]  # fmt: skip


def _change_of(each: dict[str, Any]) -> str:
    change = each.get("difference") or {}
    if "refused" in each or "refused" in change or not change:
        return f"cannot say: {each.get('refused') or change.get('refused') or 'too little overlap'}"
    return f"{change['estimate']:+.4g} ({change['low']:+.4g} to {change['high']:+.4g})"


def preview(looker: Looker, wanted: Wanted) -> list[Node]:
    """What would move, as far as the policy's own expectations tell it."""
    if wanted.action not in (Action.EXCLUDE, Action.FORCE):
        return []
    weights = looker.runtime.weights.current
    rows = moved(weights, wanted.action, wanted.deployment, wanted.task)
    if not rows:
        return [h("p", "No recent request shows what would move.", cls="hg-hint")]
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
    return [table("What would move", columns, body), h("p", note, cls="hg-hint")]


def _pair(values: tuple[float, float], shown: object) -> str:
    assert callable(shown)
    return f"{shown(values[0])} → {shown(values[1])}"


async def _set(looker: Looker, now: Open, reason: str) -> str:
    body = {**_body(now), **broken(now)}
    done = await looker.ask("/admin/overrides", body, now.fields.get("tag", ""))
    return waits(done) or said_of(looker, done)


def said_of(looker: Looker, done: Done) -> str:
    """That an override is in effect, in words."""
    try:
        made = looker.runtime.operating.find(str(done.content["id"]))
    except NotFound:  # so short that it is over
        return f"In effect: {done.content['words']}."
    return f"In effect: {told(made)}, for {span((made.expires_us - made.starts_us) / 1e6)}."


_DOES = {"force": "gets every request", "exclude": "gets no request",
         "kill": "gets every request, and nothing else is tried"}  # fmt: skip


def told(found: Override) -> str:
    """An override in words."""
    if found.action not in (*_DOES, Action.RAISE_CACHING):
        return words(found).replace("_", " ")
    named = (("", found.task), ("tenant ", found.tenant), ("tier ", found.tier))
    where = ", ".join(f"{kind}{value}" for kind, value in named if value)
    if found.action == Action.RAISE_CACHING:
        return "Kept answers are given more widely" + (f", of {where}" if where else "")
    return f"{found.deployment} {_DOES[found.action]}" + (f" of {where}" if where else "")


def _this(looker: Looker, now: Open) -> list[Node]:
    try:
        found = looker.runtime.operating.find(now.of)
    except NotFound as error:
        return [h("p", error.message)]
    return [h("p", h("strong", told(found)), f". Set by {found.author}: “{found.reason}”")]


def _lifted(looker: Looker, now: Open) -> list[Node]:
    try:
        found = looker.runtime.operating.find(now.of)
    except NotFound as error:
        return [h("p", error.message)]
    return [*_this(looker, now), *([] if lifting_reduces(found) else glass(looker))]


async def _lift(looker: Looker, now: Open, reason: str) -> str:
    found = looker.runtime.operating.find(now.of)
    path = f"/admin/overrides/{found.id}/lift"
    done = await looker.ask(path, {"reason": reason, **broken(now)})
    if found.deployment:
        return waits(done) or f"Lifted: {found.deployment} is decided by the policy again."
    return waits(done) or f"Lifted: {words(found).replace('_', ' ')} is over."


def _renewed(looker: Looker, now: Open) -> list[Node]:
    now.fields.setdefault("lasts", DEFAULT_LASTS)
    try:
        found = looker.runtime.operating.find(now.of)
    except NotFound as error:
        return [h("p", error.message)]
    asked = choice("lasts", "From now on for", LASTS, now)
    return [
        *_this(looker, now),
        asked,
        *([] if looker.runtime.operating.reduces(found) else glass(looker)),
    ]


async def _renew(looker: Looker, now: Open, reason: str) -> str:
    """A new record in its place: what was set stays as it was set."""
    found = looker.runtime.operating.find(now.of)
    body = {"reason": reason, "expires_in_s": lasts(now), **broken(now)}
    done = await looker.ask(f"/admin/overrides/{found.id}/renew", body)
    return waits(done) or f"Renewed: {told(found)}, for {span(lasts(now))}."


OVERRIDE = Form("Override the policy", "Put it in effect", _fields, _check, _set)
LIFT = Form("Lift an override", "Lift it", _lifted, nothing, _lift, sure=False)
RENEW = Form("Renew an override", "Renew it", _renewed, nothing, _renew, sure=False)
