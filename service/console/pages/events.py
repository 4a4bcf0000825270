"""What happened, as a list: when, what kind, what, who and why."""

from __future__ import annotations

import json
from collections.abc import Sequence

from service.console.nodes import Node, badge, empty, fold, h, moment
from service.console.wording import short
from service.domain.clock import parse_id
from service.domain.records import Act

_KINDS = (
    ("override", "override", "warn"), ("policy", "policy", "info"),
    ("experiment", "experiment", "info"), ("guardrail", "guardrail", "bad"),
    ("breaker.closed", "recovered", "good"), ("breaker", "breaker", "bad"),
    ("alert.resolved", "recovered", "good"), ("alert", "alert", "bad"),
    ("outage.ended", "recovered", "good"), ("outage", "outage", "bad"),
    ("trend", "trend", "warn"), ("propensities", "propensities", "bad"),
    ("review", "review", "quiet"), ("refusals", "refusals", "warn"),
    ("plan.refused", "plan", "bad"), ("plan", "plan", "quiet"),
    ("deployment", "deployment", "quiet"), ("key", "key", "quiet"),
    ("service", "service", "quiet"), ("quality", "quality", "quiet"),
)  # fmt: skip


def kind(act: str) -> tuple[str, str]:
    """Of which kind an act is, and how grave."""
    return next(((word, tone) for start, word, tone in _KINDS if act.startswith(start)),
                (act.split(".")[0], "quiet"))  # fmt: skip


def events(found: Sequence[Act] | None, nothing: str) -> Node:
    """The acts, newest first."""
    if found is None:
        return h("p", "The log cannot be read now. Try again in a moment.", role="alert")
    if not found:
        return empty(nothing)
    return h("ul", *(_event(each) for each in found), cls="hg-events")


def _event(each: Act) -> Node:
    word, tone = kind(each.act)
    said = each.act.partition(".")[2].replace("_", " ") or each.act
    said_by = f" (says {each.author})" if each.author and each.author != each.actor else ""
    who = h("span", each.actor + said_by, cls="hg-who-did")
    details = _details_of(each)
    return h(
        "li",
        h("div", moment(each.at_us, "clock"), h("small", moment(each.at_us), cls="hg-why"),
          cls="hg-when"),
        badge(word, tone),
        h("div", h("p", h("strong", said), " ", _subject(each, details)),
          h("p", f"“{each.reason}” " if each.reason else "", who),
          fold("Details", _details(details)) if details else None),
        key=each.id,
    )  # fmt: skip


def _subject(each: Act, details: dict[str, object]) -> Node:
    """What it was done to, by a name where there is one."""
    named = details.get("deployment")
    if isinstance(named, str) and named and named != each.subject:
        task = details.get("task")
        return h("span", f"{named} for {task}" if task else named, title=each.subject)
    shown = short(each.subject) if parse_id(each.subject) else each.subject
    return h("span", shown, title=each.subject)


def _details_of(each: Act) -> dict[str, object]:
    try:
        found = json.loads(each.detail or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    more = {"role": each.role, "from": each.ip, "request": each.request_id, "key": each.key_id,
            "before": each.before, "after": each.after}  # fmt: skip
    return {**found, **{name: value for name, value in more.items() if value}}


def _details(found: dict[str, object]) -> Node:
    rows = [
        h("div", h("dt", name), h("dd", value if isinstance(value, str) else json.dumps(value)))
        for name, value in found.items()
    ]
    return h("dl", *rows, cls="hg-pairs")
