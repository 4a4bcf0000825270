"""The routes of policy versions: made, compared, promoted, rolled back."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from learning.errors import LearningError
from learning.policies import registry
from service.api import shown_experiments as shown
from service.api.access import allowed, author, signature, signed
from service.api.experiment_schemas import EvaluateBody, PolicyBody, PromoteBody, RollbackBody
from service.api.four_eyes import Raises, approved, raises_exposure
from service.api.schemas import ErrorAnswer
from service.domain.acting import Told
from service.domain.errors import Unprocessable
from service.experimentation.promotions import Back
from service.feedback.differing import versions_differ
from service.feedback.promoting import Drafted, parameters_of
from service.runtime import Runtime

router = APIRouter(prefix="/admin")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


@router.get("/policies", responses=_ERRORS)
async def list_versions(request: Request) -> dict[str, Any]:
    """All versions, newest first, and what was promoted and rolled back."""
    runtime, _ = allowed(request, "analyst")
    store = runtime.experiments.versions.store
    return {
        "versions": [shown.version(each, runtime) for each in reversed(store.versions)],
        "promotions": [shown.promotion(each) for each in reversed(store.promotions)],
    }


@router.post("/policies", status_code=201, responses=_ERRORS)
async def create(request: Request, body: PolicyBody) -> dict[str, Any]:
    """A version that an experiment, a shadow or a promotion may name; nobody gets it yet."""
    runtime, key = allowed(request, "operator")
    draft = Drafted(body.kind, _parameters(runtime, body))
    by = signature(request, key, body)
    try:
        made = await asyncio.wrap_future(runtime.experiments.versions.create(draft, by))
    except (LearningError, ValueError, TypeError) as error:
        raise Unprocessable(f"parameters: {error}", param="parameters") from None
    return shown.version(made, runtime)


def _parameters(runtime: Runtime, body: PolicyBody) -> dict[str, Any]:
    """Of the live kind the live parameters but for what is given; of another what is given."""
    live = runtime.learner.version
    kind = body.kind or live.kind
    if kind not in registry.POLICIES:
        known = ", ".join(registry.POLICIES)
        raise Unprocessable(f"kind: there is no policy {kind!r}; known: {known}", param="kind")
    if kind == live.kind:
        return {**parameters_of(live), **body.parameters}
    parameters, budget_usd = dict(body.parameters), runtime.plan.budgets.usd_per_request
    if budget_usd is not None and registry.POLICIES[kind].takes_budget:
        parameters.setdefault("budget_usd", budget_usd)
    return parameters


@router.post("/policies/rollback", responses=_ERRORS)
async def roll_back(request: Request, body: RollbackBody) -> dict[str, Any]:
    """Return to the version before the live one with its last good checkpoint, byte for byte. To
    one that was not live, or was taken back by the service itself, it is a promotion.
    """
    runtime, key = allowed(request, "operator")
    promotions, to = runtime.experiments.promotions, body.to
    if to is not None:
        to = promotions.to_return_to(to)
        if approved(request) or not promotions.returns(to):
            raises = Raises("policy.rollback", to, {"live": runtime.learner.version.id})
            await raises_exposure(request, key, body, raises)
    by, back = signature(request, key, body), Back(to, body.checkpoint)
    return shown.promotion(await promotions.roll_back(by, back))


@router.get("/policies/{version}", responses=_ERRORS)
async def show(request: Request, version: str) -> dict[str, Any]:
    """One version with its parameters, its checkpoints and its promotions."""
    runtime, _ = allowed(request, "analyst")
    found = runtime.experiments.versions.find(version)
    return shown.version(found, runtime, whole=True)


@router.get("/policies/{version}/diff/{other}", responses=_ERRORS)
async def diff(request: Request, version: str, other: str) -> dict[str, Any]:
    """What the second version changes of the first."""
    runtime, _ = allowed(request, "analyst")
    versions = runtime.experiments.versions
    one, two = versions.find(version), versions.find(other)
    return {"from": one.id, "to": two.id, "changes": versions_differ(one, two)}


@router.post("/policies/{version}/evaluate", responses=_ERRORS)
async def evaluate(request: Request, version: str, body: EvaluateBody) -> dict[str, Any]:
    """What a version would have earned on the log; whether it may be exposed. Takes a while."""
    runtime, key = allowed(request, "operator")
    found = runtime.experiments.versions.find(version)
    until_us = runtime.clock.wall_us()
    since_us = until_us - int(body.hours * 3_600e6)
    made = await runtime.experiments.evaluate(found, since_us, until_us)
    detail = {"evaluation": made.id, "passed": made.passed}
    told = Told("policy.evaluated", found.id, body.reason, author(body.author, key), detail)
    runtime.kept.log.append(signed(request, key, told))
    return shown.evaluation(made)


@router.post("/policies/{version}/promote", responses=_ERRORS)
async def promote(request: Request, version: str, body: PromoteBody) -> dict[str, Any]:
    """Let a version decide for everybody; a tenth stays on the one before while it is watched."""
    runtime, key = allowed(request, "operator")
    found = runtime.experiments.versions.find(version).id
    raises = Raises("policy.promote", found, {"live": runtime.learner.version.id})
    await raises_exposure(request, key, body, raises)
    by = signature(request, key, body)
    return shown.promotion(await runtime.experiments.promotions.promote(found, by))
