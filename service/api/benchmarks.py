"""The operators' routes of benchmarks: what there is to measure, and what was measured."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.api.access import allowed, author, signed
from service.api.schemas import Author, ErrorAnswer
from service.api.shown import when
from service.benchmarking.planning import FEATURE
from service.domain.acting import Told
from service.domain.capability import BenchmarkCell
from service.domain.clock import new_id
from service.domain.errors import NotFound, Unprocessable
from service.domain.knowledge import Entry
from service.domain.modalities import CHAT
from service.plan.words import NAME
from service.runtime import Runtime
from service.storage.benchmark_runs import served

router = APIRouter(prefix="/admin/benchmarks")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
Name = Annotated[str, Field(pattern=NAME)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Measure = Annotated[float, Field(ge=0.0, le=1e15, allow_inf_nan=False)]
Words = Annotated[str, Field(max_length=2_000)]
TRAFFIC_US = 7 * 86_400_000_000
MOST_CELLS = 2_000


class CellBody(BaseModel):
    """What was measured of one deployment at one task."""

    model_config = ConfigDict(extra="forbid")

    deployment: Name
    task: Name
    n: Annotated[int, Field(ge=1, le=10_000_000)]
    quality_mean: Share | None = None
    quality_var: Measure | None = None
    latency_mean_s: Measure | None = None
    latency_var: Measure | None = None
    cost_mean_micro_usd: Measure | None = None
    cost_var: Measure | None = None
    error_rate: Share


class RunBody(BaseModel):
    """A finished run. ``version``: of what was asked and how it was scored; ``design`` and
    ``result``: in words, for the knowledge base.
    """

    model_config = ConfigDict(extra="forbid")

    run_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    version: Annotated[str, Field(min_length=1, max_length=100)]
    cells: Annotated[list[CellBody], Field(min_length=1, max_length=MOST_CELLS)]
    design: Words = ""
    result: Words = ""
    reason: Annotated[str, Field(max_length=500)] = ""
    author: Author | None = None

    @model_validator(mode="after")
    def _each_once(self) -> RunBody:
        seen = [(each.deployment, each.task) for each in self.cells]
        if len(set(seen)) < len(seen):
            raise ValueError("a deployment and task stands twice in cells: give each once")
        return self


@router.get("", responses=_ERRORS)
async def runs(
    request: Request, limit: Annotated[int, Query(ge=1, le=1_000)] = 50
) -> dict[str, Any]:
    """The runs that were taken, the newest first, with what each measured."""
    runtime, _ = allowed(request, "analyst")
    found = list(runtime.benchmarks.runs.items())[::-1]
    told = [shown(run_id, cells) for run_id, cells in found[:limit]]
    return {"found": len(found), "benchmarks": told}


@router.get("/setting", responses=_ERRORS)
async def setting(request: Request) -> dict[str, Any]:
    """What a benchmark starts from: the deployments as the plan declares them, tasks, judges, what
    quality is worth, and what traffic of the last seven days was answered by whom.
    """
    runtime, _ = allowed(request, "analyst")
    now_us = runtime.clock.wall_us()
    since_us = now_us - TRAFFIC_US
    traffic = await asyncio.to_thread(
        lambda: served(runtime.kept.database.cursor(), since_us, FEATURE)
    )
    return {
        "deployments": [
            {
                "name": each.name,
                "prior_quality": each.prior_quality,
                "prior_latency_s": each.prior_latency_s,
                "input_usd_per_mtok": each.price_at(now_us).input_micro_usd_mtok / 1e6,
                "output_usd_per_mtok": each.price_at(now_us).output_micro_usd_mtok / 1e6,
                "tasks": sorted(each.tasks),
            }
            for each in runtime.catalog
            if each.modality == CHAT
        ],
        "tasks": list(runtime.plan.task_names),
        "judges": list(runtime.plan.judging.judges),
        "worth_usd": runtime.plan.reward.worth_usd,
        "learns_from_pins": runtime.plan.policy.learn_from_pinned,
        "traffic": {
            "days": TRAFFIC_US / 86_400e6,
            "served": [
                {"task": s.task, "deployment": s.deployment, "requests": s.requests,
                 "cost_usd": s.cost_micro_usd / 1e6}
                for s in traffic
            ],
        },
    }  # fmt: skip


@router.get("/{run_id}", responses=_ERRORS)
async def run(request: Request, run_id: str) -> dict[str, Any]:
    """One run."""
    runtime, _ = allowed(request, "analyst")
    cells = runtime.benchmarks.runs.get(run_id)
    if cells is None:
        raise NotFound("no benchmark of that id; see GET /admin/benchmarks")
    return shown(run_id, cells)


@router.post("", status_code=201, responses=_ERRORS)
async def take(request: Request, response: Response, body: RunBody) -> dict[str, Any]:
    """Take a finished run: durable when it is answered, once (200 where it was there already)."""
    runtime, key = allowed(request, "operator")
    known = {each.name for each in runtime.catalog}
    strange = sorted({each.deployment for each in body.cells} - known)
    if strange:
        raise Unprocessable(
            f"cells: {strange[0]} is none of the plan's deployments; benchmark those that are",
            param="cells",
        )
    at_us = runtime.clock.wall_us()
    cells = [
        BenchmarkCell(body.run_id, at_us, c.deployment, c.task, c.n, c.quality_mean, c.quality_var,
                      c.latency_mean_s, c.latency_var, c.cost_mean_micro_usd, c.cost_var,
                      c.error_rate, body.version)
        for c in body.cells
    ]  # fmt: skip
    who = author(body.author, key)
    detail = {"key": key.id, "version": body.version, "cells": len(cells),
              "trials": sum(each.n for each in cells)}  # fmt: skip
    told = Told("benchmark.taken", body.run_id, body.reason, who, detail)
    entry = _entry(runtime, body, who)
    taken = await runtime.benchmarks.take(cells, signed(request, key, told), entry)
    if not taken.new:
        response.status_code = 200
    return shown(body.run_id, taken.cells)


def shown(run_id: str, cells: tuple[BenchmarkCell, ...]) -> dict[str, Any]:
    """A run as JSON holds it."""
    return {
        "run_id": run_id,
        "at": when(cells[0].at_us),
        "version": cells[0].version,
        "cells": [{name: getattr(each, name) for name in CellBody.model_fields} for each in cells],
    }


def _entry(runtime: Runtime, body: RunBody, who: str) -> Entry:
    names = sorted({each.deployment for each in body.cells})
    tasks = sorted({each.task for each in body.cells})
    return Entry(
        new_id(), runtime.clock.wall_us(), "benchmark", f"benchmark:{body.run_id}",
        f"benchmark of {', '.join(names)}"[:200], "",
        {"words": body.design, "version": body.version}, {"words": body.result}, "measured",
        body.reason or "to know what each deployment can do", who,
        {"benchmark": body.run_id}, ("benchmark", *names[:8], *tasks[:8]), None,
        f"benchmark:{body.run_id}",
    )  # fmt: skip
