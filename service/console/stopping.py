"""The forms that take something away at once: the kill switch, a rollback, a breaker's reset."""

from __future__ import annotations

import json
from dataclasses import replace

from service.console.form_parts import Form, choice, nothing, radios
from service.console.looker import Looker, Open
from service.console.nodes import Column, Node, h, table
from service.console.overriding import (
    DEFAULT_LASTS,
    LASTS,
    broken,
    glass,
    lasts,
    preview,
    said_of,
    told,
    waits,
)
from service.console.wording import clock, plural, short, span
from service.domain.errors import Unprocessable
from service.domain.records import Version
from service.domain.will import Action
from service.feedback.differing import versions_differ
from service.feedback.promoting import Signature
from service.operating.wanted import Wanted, check

_MOST_CHANGES = 30


def _kill_fields(looker: Looker, now: Open) -> list[Node]:
    runtime = looker.runtime
    running = len(runtime.experiments.desk.running())
    names = [(each.name, f"{each.name} ({each.provider})") for each in runtime.catalog]
    now.fields.setdefault("lasts", DEFAULT_LASTS)
    now.fields.setdefault("deployment", runtime.plan.safe_deployment or names[0][0])
    return [
        radios(
            "what", "What is to stop now",
            (("kill", "Everything but one deployment", "Policy, experiments and fallbacks stand "
              "back; the deployment below answers every request."),
             ("exclude", "One deployment", "No request is sent to it, of any task."),
             ("experiments", "All experiments", f"{plural(running, 'experiment')} running now."),
             ("policy", "The live version", "The version before it decides again.")),
            now,
        ),
        h("div", choice("deployment", "Which deployment", names, now),
          choice("lasts", "For", LASTS, now), cls="hg-row"),
        h("p", "Deployment and time count for the first two.", cls="hg-hint"),
    ]  # fmt: skip


def _stop(now: Open) -> Wanted:
    action = Action.KILL if now.fields.get("what") == "kill" else Action.EXCLUDE
    return Wanted(action, now.fields.get("deployment", ""), lasts_s=lasts(now))


async def _kill_check(looker: Looker, now: Open) -> list[Node]:
    runtime, what = looker.runtime, now.fields.get("what", "")
    if what in ("kill", "exclude"):
        wanted = check(_stop(now), runtime.plan)
        by = Signature(looker.key.name, now.fields["reason"])
        drafted = runtime.operating.drafted(wanted, by)
        second = [] if runtime.operating.reduces(drafted) else glass(looker)
        as_one = replace(wanted, action="force") if what == "kill" else wanted
        return [h("p", h("strong", told(drafted)), f", for {span(wanted.lasts_s)}."),
                *preview(looker, as_one), *second]  # fmt: skip
    if what == "experiments":
        running = runtime.experiments.desk.running()
        if not running:
            raise Unprocessable("No experiment runs now.", param="what")
        items = [h("li", f"{each.id} ({each.standing.exposed} % exposed)") for each in running]
        return [h("p", "These are rolled back; nobody is in them from the next request on:"),
                h("ul", *items)]  # fmt: skip
    if what == "policy":
        return await _back_check(looker, now)
    raise Unprocessable("Choose what is to stop.", param="what")


async def _kill(looker: Looker, now: Open, reason: str) -> str:
    what = now.fields.get("what", "")
    if what in ("kill", "exclude"):
        wanted = _stop(now)
        body = {"action": wanted.action, "deployment": wanted.deployment, "reason": reason,
                "expires_in_s": wanted.lasts_s, **broken(now)}  # fmt: skip
        done = await looker.ask("/admin/overrides", body)
        return waits(done) or said_of(looker, done)
    if what == "experiments":
        running = [each.id for each in looker.runtime.experiments.desk.running()]
        for each in running:
            await looker.ask(f"/admin/experiments/{each}/rollback", {"reason": reason})
        return f"Rolled back: {', '.join(running) or 'none was running any more'}."
    return await _roll_back(looker, now, reason)


def before_live(looker: Looker) -> list[Version]:
    """The versions that a rollback may return to, the latest first; the first is the usual one."""
    store, live = looker.runtime.experiments.versions.store, looker.runtime.learner.version.id
    found: list[Version] = []
    for each in reversed(store.promotions):
        ids = [each.from_version_id] if each.version_id == live else [each.version_id]
        for one in ids:
            version = store.find(one) if one else None
            if version is not None and version.id != live and version not in found:
                found.append(version)
    return found


def _back_fields(looker: Looker, now: Open) -> list[Node]:
    found = before_live(looker)
    if not found:
        return [h("p", "There is no version before the live one, so nothing to return to.")]
    options = [
        (each.id, f"{each.policy} {short(each.id)}, made {clock(each.at_us)} by {each.author}")
        for each in found[:20]
    ]
    return [choice("to", "Return to", options, now)]


async def _back_check(looker: Looker, now: Open) -> list[Node]:
    runtime, found = looker.runtime, before_live(looker)
    if not found:
        raise Unprocessable("There is no version before the live one to return to.", param="what")
    wanted = now.fields.get("to", "")
    to = next((each for each in found if each.id == wanted), found[0])
    now.fields["to"] = to.id
    live = runtime.learner.version
    kept = runtime.experiments.versions.store.checkpoints_of(to.id)
    said = h("p", f"From {live.policy} {short(live.id)} to ", h("strong", f"{to.policy} "),
             h("strong", short(to.id)), " with its last checkpoint",
             f" of {clock(kept[-1].at_us)}." if kept else ".")  # fmt: skip
    second = [] if runtime.experiments.promotions.returns(to.id) else glass(looker)
    differ = versions_differ(live, to)
    if not differ:
        return [
            said,
            *second,
            h("p", "Both have the same parameters; they differ in what they learned."),
        ]
    columns = Column("Parameter"), Column("Live now"), Column("After the rollback")
    rows = [(each["field"], (each["field"], _value(each["before"]), _value(each["after"])))
            for each in differ[:_MOST_CHANGES]]  # fmt: skip
    more = len(differ) - len(rows)
    rest = h("p", f"and {more} more", cls="hg-hint") if more > 0 else None
    return [said, table("What changes", columns, rows), *([rest] if rest else []), *second]


def _value(value: object) -> str:
    return "–" if value is None else json.dumps(value)[:120]


async def _roll_back(looker: Looker, now: Open, reason: str) -> str:
    body = {"reason": reason, "to": now.fields.get("to") or None, **broken(now)}
    done = await looker.ask("/admin/policies/rollback", body)
    if done.waits:
        return waits(done)
    return f"Rolled back: version {short(str(done.content['version']))} decides again."


def _reset_fields(looker: Looker, now: Open) -> list[Node]:
    return [h("p", "The next request may be sent to ", h("strong", now.of),
              " at once, whatever its breaker says.")]  # fmt: skip


async def _reset(looker: Looker, now: Open, reason: str) -> str:
    await looker.ask(f"/admin/deployments/{now.of}/reset", {"reason": reason})
    return f"Reset: requests may be sent to {now.of} again."


KILL = Form("Kill switch", "Stop it now", _kill_fields, _kill_check, _kill, danger=True)
ROLLBACK = Form("Roll the policy back", "Roll back", _back_fields, _back_check, _roll_back,
                danger=True)  # fmt: skip
RESET = Form("Reset a breaker", "Reset it", _reset_fields, nothing, _reset, sure=False)
