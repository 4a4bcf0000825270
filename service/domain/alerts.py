"""Alerts as records: what fired, what was done, who was told, who has seen it, when it ended."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Step(StrEnum):
    """What happened to an alert."""

    FIRED = "fired"
    ACTED = "acted"  # something was done by itself, or could not be; the detail says what
    TOLD = "told"  # a channel was told, or could not be
    PAGED = "paged"
    ACKNOWLEDGED = "acknowledged"
    REVERTED = "reverted"
    RESOLVED = "resolved"
    DIGEST = "digest"  # of no alert: the day's summary was sent


class Severity(StrEnum):
    """How loud: somebody now, somebody today, or for the record."""

    PAGE = "page"
    TICKET = "ticket"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """One thing that happened to an alert; its state is a fold over these, in log order."""

    id: str
    at_us: int
    alert_id: str
    step: Step
    rule: str
    scope: str  # a deployment, an experiment, a part of the rule; empty: the whole service
    severity: Severity
    value: float | None
    threshold: float | None
    text: str
    author: str
    reason: str
    detail: str  # JSON


@dataclass(frozen=True, slots=True)
class Silence:
    """Nobody is told of a rule (in a scope; empty: in all) until its time."""

    id: str
    at_us: int
    rule: str
    scope: str
    until_us: int
    author: str
    reason: str

    def covers(self, rule: str, scope: str) -> bool:
        """Whether an alert of that rule and scope is silenced by it."""
        return self.rule == rule and self.scope in ("", scope)


@dataclass(frozen=True, slots=True)
class SilenceEnd:
    """The end of a silence before its time."""

    silence_id: str
    at_us: int
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it stands: what its events say together."""

    id: str
    rule: str
    scope: str
    severity: Severity  # the loudest so far
    fired_us: int
    value: float | None
    threshold: float | None
    text: str
    events: tuple[AlertEvent, ...]
    acknowledged_us: int | None = None
    acknowledged_by: str = ""
    paged_us: int | None = None
    resolved_us: int | None = None
    override_id: str = ""  # what it laid and has not lifted
    told: bool = False  # at least one channel has taken its notice

    @property
    def key(self) -> tuple[str, str]:
        """What it is of: at most one is open."""
        return self.rule, self.scope

    def after(self, event: AlertEvent) -> Alert:
        """With one more event."""
        new = replace(self, events=(*self.events, event))
        match event.step:
            case Step.ACKNOWLEDGED:
                return replace(new, acknowledged_us=event.at_us, acknowledged_by=event.author)
            case Step.PAGED:
                return replace(new, paged_us=event.at_us, severity=event.severity)
            case Step.RESOLVED:
                return replace(new, resolved_us=event.at_us)
            case Step.ACTED:
                laid = str(json.loads(event.detail).get("override_id") or "")
                return replace(new, override_id=laid or self.override_id)
            case Step.REVERTED:
                return replace(new, override_id="")
            case Step.TOLD:
                return replace(new, told=self.told or bool(json.loads(event.detail).get("sent")))
            case _:
                return new


def fired(event: AlertEvent) -> Alert:
    """The alert that an event begins."""
    return Alert(
        event.alert_id, event.rule, event.scope, event.severity, event.at_us, event.value,
        event.threshold, event.text, (event,),
    )  # fmt: skip


def folded(events: Iterable[AlertEvent]) -> dict[str, Alert]:
    """The alerts of events in log order, by id, in the order in which they fired."""
    found: dict[str, Alert] = {}
    for event in events:
        if event.step is Step.FIRED:
            found[event.alert_id] = fired(event)
        elif event.alert_id in found:
            found[event.alert_id] = found[event.alert_id].after(event)
    return found
