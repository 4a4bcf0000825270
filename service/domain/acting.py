"""Who acts: the person behind a request that changes something, and the act as it is logged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.domain.clock import new_id
from service.domain.records import Act

VISITOR = "headgate.visitor"  # in a request's scope: the key of who is logged in at the console
ITSELF = "headgate"  # the actor of what the service does by itself


@dataclass(frozen=True, slots=True)
class Person:
    """The key that a request came with, and from where: that is who did it."""

    name: str  # of the key
    key_id: str
    role: str
    ip: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What is done to what and why. ``author``: who says so, in words of their own; ``before`` and
    ``after``: what it changes, null where nothing was or nothing is.
    """

    act: str
    subject: str
    reason: str = ""
    author: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


def act_of(who: Person | None, at_us: int, told: Told) -> Act:
    """The act of a person, or, where there is none, of its author: the service itself."""
    told_of = json.dumps(dict(told.detail))
    changed = (_json(told.before), _json(told.after))
    if who is None:
        actor = told.author or ITSELF
        return Act(new_id(), at_us, actor, told.act, told.subject, told.reason, told_of,
                   "", "", "", "", "", *changed)  # fmt: skip
    return Act(
        new_id(), at_us, who.name, told.act, told.subject, told.reason, told_of, told.author,
        who.role, who.key_id, who.ip, who.request_id, *changed,
    )  # fmt: skip


def _json(content: Mapping[str, Any] | None) -> str:
    return "" if content is None else json.dumps(dict(content), default=str)
