"""The routes of prediction before generation: how it stands, and its switches."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from service.api.access import allowed, author, person
from service.api.schemas import ErrorAnswer
from service.domain.errors import NotFound
from service.orchestration.foretelling import Foretelling
from service.runtime import Runtime

router = APIRouter(prefix="/admin/prediction")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


class SwitchBody(BaseModel):
    """``what`` is to be on or off: prediction as a whole, or the skipping of checks."""

    model_config = ConfigDict(extra="forbid")
    what: Literal["prediction", "skipping"] = "prediction"
    on: bool
    reason: str = Field(min_length=10, max_length=500)
    author: str | None = Field(default=None, max_length=128)


@router.get("", responses=_ERRORS)
async def standing(request: Request) -> dict[str, Any]:
    """The fit beside its baselines, what is done by it, the checks skipped, and what it is worth;
    ``on`` false where the plan has no section ``prediction``.
    """
    runtime, _ = allowed(request, "analyst")
    return shown_prediction(runtime)


@router.post("/switch", responses=_ERRORS)
async def switch(request: Request, body: SwitchBody) -> dict[str, Any]:
    """Switch prediction or the skipping of checks on or off, from the next request on. Skipping
    that is switched on by hand goes on while its audits do not speak against it.
    """
    runtime, key = allowed(request, "operator")
    made = _there(runtime)
    who, by = person(request, key), author(body.author, key)
    if body.what == "prediction":
        act = made.switch(body.on, body.reason, by, who)
    elif made.skipping is None:
        raise NotFound("the plan skips no checks: give prediction.skip", param="what")
    else:
        act = made.skipping.by_hand(body.on, body.reason, by, who)
    await asyncio.wrap_future(runtime.kept.log.append_durable(act))
    made.take(act)
    return made.shown()


def shown_prediction(runtime: Runtime) -> dict[str, Any]:
    """How prediction stands."""
    made = runtime.prediction
    return {"on": False} if made is None else made.shown()


def _there(runtime: Runtime) -> Foretelling:
    if runtime.prediction is None:
        raise NotFound("the plan wants no prediction: give it a section prediction")
    return runtime.prediction
