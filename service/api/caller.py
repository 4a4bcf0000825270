"""The callers' routes that are not hot: models, the dry run, ratings, and why."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from learning.reward import RewardScale
from service.api import shown, workflow_chat
from service.api.access import allowed
from service.api.admission import read_request
from service.api.caching import given_again
from service.api.ensembles import rationale
from service.api.escalation import climbed
from service.api.schemas import ErrorAnswer, FeedbackBody, FeedbackTaken
from service.domain.clock import parse_id
from service.domain.errors import NotFound
from service.domain.modalities import CHAT
from service.domain.records import Key
from service.feedback.intake import Given
from service.routing.leaving import NOTE
from service.runtime import Runtime
from service.storage.cases import Case
from service.storage.predictions import read_prediction
from service.storage.stays import read_stay

router = APIRouter(prefix="/v1")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


@router.get("/models", responses=_ERRORS)
async def models(request: Request) -> dict[str, Any]:
    """What may be named as ``model``: ``auto``, the deployments, the other virtual models."""
    runtime, key = allowed(request, "caller")
    auto, *virtual = runtime.router.table.virtual
    names = [auto, *(each.name for each in runtime.catalog), *virtual]
    names += workflow_chat.named(runtime, key)
    owners = {each.name: each.provider for each in runtime.catalog}
    others = {each.name: each.modality for each in runtime.catalog if each.modality != CHAT}
    data = [
        {"id": name, "object": "model", "created": 0, "owned_by": owners.get(name, "headgate")}
        | ({"modality": others[name]} if name in others else {})
        for name in names
    ]
    return {"object": "list", "data": data}


@router.post("/route", responses=_ERRORS)
async def route(request: Request) -> dict[str, Any]:
    """The decision that a chat completion would get now, without the call; nothing is logged.

    The body is that of ``/v1/chat/completions``.
    """
    runtime, key = allowed(request, "caller")
    chat = await read_request(runtime, await request.body())
    decision = runtime.router.decide(
        chat, key, request.headers.get("x-session-id", ""), dry_run=True
    )
    return shown.decision(decision) | {"dry_run": True}


@router.post("/feedback", status_code=202, responses=_ERRORS)
async def feedback(request: Request, body: FeedbackBody) -> FeedbackTaken:
    """A rating of an answer, durable when this returns; a second one revises the first."""
    runtime, key = allowed(request, "caller")
    case = await case_for(runtime, key, body.id)
    given = Given(
        body.metric, body.value, body.kind, body.idempotency_key, body.reason, tuple(body.tags),
        body.user,
    )  # fmt: skip
    taken = await runtime.intake.take(case, given, key)
    runtime.telemetry.feedback(body.metric)
    runtime.people.rated(case, taken.feedback)
    if runtime.caching is not None:
        runtime.caching.rated(taken.feedback)
    return FeedbackTaken(feedback_id=taken.feedback.id, applied=taken.applied, reason=taken.why_not)


@router.get("/decisions/{decision_id}", responses=_ERRORS)
async def decision(request: Request, decision_id: str) -> dict[str, Any]:
    """Why this deployment answered: candidates, probabilities, the draw, calls, ratings."""
    runtime, key = allowed(request, "caller")
    rules = runtime.plan.reward
    scale = RewardScale(rules.worth_usd, rules.patience_s)
    case = await case_for(runtime, key, decision_id)
    found = shown.case(case, scale, rules.metric)
    if "prediction" not in found:  # of a decision that memory has forgotten it is read by itself
        cursor = runtime.kept.database.cursor
        foreseen = await asyncio.to_thread(lambda: read_prediction(cursor(), case.decision.id))
        if foreseen is not None:
            found["prediction"] = shown.predicted(foreseen)
    if (climb := await climbed(runtime, case.decision)) is not None:
        found["escalation"] = climb
    if (again := await given_again(runtime, case.decision)) is not None:
        found["cached"] = again
    known = case.decision
    if "session" not in found and (known.session_decision_id or known.reason == NOTE):
        cursor = runtime.kept.database.cursor
        reckoned = await asyncio.to_thread(lambda: read_stay(cursor(), case.decision.id))
        if reckoned is not None:
            found["session"] = shown.stay(reckoned)
    made = await rationale(runtime, case.decision.id)
    return found if made is None else found | {"ensemble": made}


async def case_for(runtime: Runtime, key: Key, text: str) -> Case:
    """A case that this key may see; another tenant's does not exist for it."""
    identity = parse_id(text)
    case = await runtime.case(identity) if identity else None
    if case is None or not _may_see(key, case):
        raise NotFound("no decision of that id", param="id", code="decision_not_found")
    return case


def _may_see(key: Key, case: Case) -> bool:
    if key.role != "caller":
        return not key.tenant or key.tenant == case.decision.caller.tenant
    if key.id == case.decision.caller.key_id:
        return True
    return bool(key.tenant) and key.tenant == case.decision.caller.tenant
