"""The routes of ensembles: how each stands, its switch, and the rationale of a decision."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from service.api.access import allowed, author, person
from service.api.schemas import ErrorAnswer
from service.domain.ensembles import Ensembled
from service.domain.errors import NotFound
from service.orchestration.ensembles.standing import shown
from service.runtime import Runtime
from service.storage.ensembles import read_ensembled

router = APIRouter(prefix="/admin/ensembles")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}


class EnsembleSwitchBody(BaseModel):
    """Which ensemble, for which task, is to be on or off."""

    model_config = ConfigDict(extra="forbid")
    ensemble: str = Field(default="", max_length=64)
    task: str = Field(default="", max_length=64)
    on: bool
    reason: str = Field(min_length=10, max_length=500)
    author: str | None = Field(default=None, max_length=128)


@router.get("", responses=_ERRORS)
async def standing(request: Request) -> dict[str, Any]:
    """Every ensemble and task: its state and why, gain and net beside the single with intervals,
    the cost multiplier and latency of each arm.
    """
    runtime, _ = allowed(request, "analyst")
    return shown_ensembles(runtime)


@router.post("/switch", responses=_ERRORS)
async def switch(request: Request, body: EnsembleSwitchBody) -> dict[str, Any]:
    """Switch an ensemble on or off for a task, from the next request on. One that is switched on
    is compared anew.
    """
    runtime, key = allowed(request, "operator")
    standings = runtime.ensembles.standings
    rules = next((each for each in standings.rules if each.name == body.ensemble), None)
    if rules is None or body.task not in (rules.tasks or runtime.plan.task_names):
        raise NotFound("the plan has no such ensemble for that task", param="ensemble")
    told = body.reason, author(body.author, key)
    act = standings.switch(standings.of(rules, body.task), body.on, told, person(request, key))
    await asyncio.wrap_future(runtime.kept.log.append_durable(act))
    standings.take(act)
    return shown_ensembles(runtime)


def shown_ensembles(runtime: Runtime) -> dict[str, Any]:
    """How they stand, with what was done since the start."""
    way = runtime.ensembles
    return {
        "ensembles": [shown(each) for each in way.standings.all()],
        "requests": dict(sorted(way.counts.items())),
    }


async def rationale(runtime: Runtime, decision_id: str) -> dict[str, Any] | None:
    """How an ensemble answered a decision, from memory or the log; None where none did."""
    row = runtime.ensembles.rows.get(decision_id)
    if row is None and runtime.ensembles.ever:
        cursor = runtime.kept.database.cursor
        row = await asyncio.to_thread(lambda: read_ensembled(cursor(), decision_id))
    return None if row is None else shown_row(row)


def shown_row(row: Ensembled) -> dict[str, Any]:
    """A row for people: each member with its vote."""
    told = asdict(row)
    columns = ("members", "numbers", "states", "votes", "weights")
    parts = zip(*(told.pop(name) for name in columns), strict=True)
    beside = told.pop("beside_micro_usd")
    whole = told.pop("cost_micro_usd") + beside
    del told["at_us"], told["decision_id"]
    return told | {
        "cost_usd": whole / 1e6, "aggregator_usd": beside / 1e6,
        "outputs": [
            {"deployment": name, "call": number or None, "state": state, "vote": vote or None,
             "weight": weight}
            for name, number, state, vote, weight in parts
        ],
    }  # fmt: skip
