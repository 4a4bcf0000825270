"""The routes of alerts: what fires, what has ended, who has seen it, what is silenced."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from service.api.access import allowed, author, signed
from service.api.four_eyes import Raises, approved, raises_exposure
from service.api.schemas import Author, EndOverrideBody, ErrorAnswer, LiftBody
from service.api.shown import when
from service.domain.acting import Told
from service.domain.alerts import Alert, Silence, SilenceEnd
from service.domain.clock import new_id
from service.domain.errors import Conflict, InvalidRequest, NotFound
from service.monitoring.rules import ALERT_RULES
from service.runtime import Runtime

router = APIRouter(prefix="/admin/alerts")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
MOST_SHOWN = 500


class SilenceBody(BaseModel):
    """A rule of which nobody is to be told for a while; ``scope`` left out: wherever it fires."""

    model_config = ConfigDict(extra="forbid")

    rule: Annotated[str, Field(min_length=1, max_length=64)]
    scope: Annotated[str, Field(max_length=128)] | None = None
    lasts_s: Annotated[float, Field(gt=0.0, le=7 * 86_400.0, allow_inf_nan=False)] = 4 * 3600.0
    reason: Annotated[str, Field(min_length=10, max_length=500)]
    author: Author | None = None


class TestBody(BaseModel):
    """Who tries the channels."""

    model_config = ConfigDict(extra="forbid")

    author: Author | None = None
    reason: Annotated[str, Field(max_length=500)] = "a test of the channels"


@router.get("", responses=_ERRORS)
async def alerts(request: Request) -> dict[str, Any]:
    """What lasts (the newest 500), what has ended of late, what is silenced, and who is told."""
    runtime, _ = allowed(request, "analyst")
    alerting = runtime.alerts
    failures = alerting.channels.failures
    return {
        "firing": [shown_alert(runtime, each) for each in alerting.firing()[-MOST_SHOWN:]],
        "recent": [shown_alert(runtime, each) for each in alerting.watch.book.recent()],
        "silences": [shown_silence(each) for each in alerting.watch.book.silences()],
        "channels": [
            {
                "name": each.name,
                "kind": each.kind,
                "severities": each.severities,
                "failure": failures.get(each.name),
            }
            for each in runtime.plan.alerts.channels
        ],
    }


@router.get("/rules", responses=_ERRORS)
async def rules(request: Request) -> dict[str, Any]:
    """Every rule with its thresholds as the plan has them."""
    runtime, _ = allowed(request, "analyst")
    plan = runtime.plan.alerts
    return {
        "enabled": plan.enabled,
        "availability": runtime.plan.slo.availability,
        "rules": [
            {
                "name": each.name,
                "meaning": each.meaning,
                "severity": each.severity.value,
                "limits": getattr(plan, each.name).model_dump(),
            }
            for each in ALERT_RULES.values()
        ],
    }


@router.post("/silences", status_code=201, responses=_ERRORS)
async def silence(request: Request, body: SilenceBody) -> dict[str, Any]:
    """Tell nobody of a rule for a while, at most a week; what is done by itself is done still."""
    runtime, key = allowed(request, "operator")
    if body.rule not in ALERT_RULES:
        raise InvalidRequest(f"no rule of that name; known: {', '.join(ALERT_RULES)}", param="rule")
    now_us, scope = runtime.clock.wall_us(), body.scope or ""
    until_us = now_us + int(body.lasts_s * 1e6)
    by = author(body.author, key)
    new = Silence(new_id(), now_us, body.rule, scope, until_us, by, body.reason)
    detail = {"rule": body.rule, "scope": scope, "until": when(until_us)}
    act = signed(request, key, Told("alert.silenced", new.id, body.reason, by, detail))
    await runtime.alerts.watch.silence(new, act)
    return shown_silence(new)


@router.post("/silences/{silence_id}/end", responses=_ERRORS)
async def unsilence(request: Request, silence_id: str, body: LiftBody) -> dict[str, str]:
    """End a silence before its time: of what still fires people are told at the next minute."""
    runtime, key = allowed(request, "operator")
    if runtime.alerts.watch.book.silence_of(silence_id) is None:
        raise NotFound("no silence of that id holds; it may have run out or been ended")
    by = author(body.author, key)
    end = SilenceEnd(silence_id, runtime.clock.wall_us(), by, body.reason)
    act = signed(request, key, Told("alert.unsilenced", silence_id, body.reason, by))
    await runtime.alerts.watch.unsilence(end, act)
    return {"id": silence_id, "state": "ended"}


@router.post("/test", responses=_ERRORS)
async def test(request: Request, body: TestBody) -> dict[str, Any]:
    """A notice through every channel, and what each answered."""
    runtime, key = allowed(request, "operator")
    by = author(body.author, key)
    runtime.kept.log.append(signed(request, key, Told("alert.tested", "channels", body.reason, by)))
    return {"channels": await runtime.alerts.test(by)}


@router.get("/{alert_id}", responses=_ERRORS)
async def show(request: Request, alert_id: str) -> dict[str, Any]:
    """One alert with all that happened to it."""
    runtime, _ = allowed(request, "analyst")
    alert = _found(runtime, alert_id)
    events = [
        {
            "at": when(each.at_us),
            "step": each.step.value,
            "severity": each.severity.value,
            "text": each.text,
            "author": each.author,
            "reason": each.reason or None,
            "detail": json.loads(each.detail),
        }
        for each in alert.events
    ]
    return shown_alert(runtime, alert) | {"events": events}


@router.post("/{alert_id}/acknowledge", responses=_ERRORS)
async def acknowledge(request: Request, alert_id: str, body: LiftBody) -> dict[str, Any]:
    """Somebody sees to it, so nobody is called any more; it lasts until it is clear."""
    runtime, key = allowed(request, "operator")
    alert = _found(runtime, alert_id)
    if alert.resolved_us is not None:
        raise Conflict("this alert has ended already")
    told = Told("alert.acknowledged", alert_id, body.reason, author(body.author, key))
    act = signed(request, key, told)
    return shown_alert(runtime, await runtime.alerts.watch.acknowledge(alert, act))


@router.post("/{alert_id}/resolve", responses=_ERRORS)
async def resolve(request: Request, alert_id: str, body: EndOverrideBody) -> dict[str, Any]:
    """An operator says that it is over, as where too little traffic is left to tell: what it laid
    is given back, which is a lift, and it does not fire again before its cool-down is over.
    """
    runtime, key = allowed(request, "operator")
    alert = _found(runtime, alert_id)
    if alert.resolved_us is not None:
        raise Conflict("this alert has ended already")
    holds = any(each.id == alert.override_id for each in runtime.operating.holding)
    if approved(request) or holds:
        raises = Raises("alert.resolve", alert.id, alert.override_id)
        await raises_exposure(request, key, body, raises)
    told = Told("alert.resolved", alert_id, body.reason, author(body.author, key))
    act = signed(request, key, told)
    return shown_alert(runtime, await runtime.alerts.watch.resolve(alert, act))


def _found(runtime: Runtime, alert_id: str) -> Alert:
    alert = runtime.alerts.watch.book.find(alert_id)
    if alert is None:
        raise NotFound("no open or recent alert of that id; older ones stand in the history")
    return alert


def shown_alert(runtime: Runtime, alert: Alert) -> dict[str, Any]:
    """An alert as it stands; ``state``: firing, acknowledged, silenced or resolved."""
    silence = runtime.alerts.watch.book.silenced_by(*alert.key)
    now = runtime.alerts.watch.words.get(alert.key)
    if alert.resolved_us is not None:
        state = "resolved"
    elif silence is not None:
        state = "silenced"
    else:
        state = "acknowledged" if alert.acknowledged_us is not None else "firing"
    return {
        "id": alert.id,
        "rule": alert.rule,
        "scope": alert.scope or None,
        "state": state,
        "severity": alert.severity.value,
        "fired_at": when(alert.fired_us),
        "value": alert.value,
        "threshold": alert.threshold,
        "text": alert.text,
        "now": now.words if now is not None and alert.resolved_us is None else None,
        "acknowledged_by": alert.acknowledged_by or None,
        "paged_at": alert.paged_us and when(alert.paged_us),
        "resolved_at": alert.resolved_us and when(alert.resolved_us),
        "override_id": alert.override_id or None,
        "silence_id": silence.id if silence is not None and state == "silenced" else None,
    }


def shown_silence(silence: Silence) -> dict[str, Any]:
    """A silence that holds."""
    return {
        "id": silence.id,
        "rule": silence.rule,
        "scope": silence.scope or None,
        "until": when(silence.until_us),
        "author": silence.author,
        "reason": silence.reason,
    }
