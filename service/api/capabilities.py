"""The route of the capability matrix: who is good at what, how surely, and what that rests on."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from experiments.capability import finite
from service.api.access import allowed
from service.api.schemas import ErrorAnswer
from service.domain.demands import DATA_POLICIES
from service.domain.errors import NotFound
from service.monitoring.capabilities import MatrixReport, ShownCell
from service.runtime import Runtime

router = APIRouter(prefix="/admin/capabilities")


@router.get("", responses={"4XX": {"model": ErrorAnswer}})
async def capabilities(request: Request, task: str = "", deployment: str = "") -> dict[str, Any]:
    """Every deployment at every task: quality, latency, cost and error rate with 95 % intervals,
    the evidence behind them and its age; ties as ties; hard limits; what each is best used for.
    """
    runtime, _ = allowed(request, "analyst")
    board = runtime.capabilities
    for what, name, known in (
        ("task", task, board.matter.tasks), ("deployment", deployment, board.matter.deployments),
    ):  # fmt: skip
        if name and name not in known:
            raise NotFound(f"there is no {what} {name[:64]!r}; known: {', '.join(known)}")
    report = await asyncio.to_thread(board.report)
    return {
        "pending": not board.folded,
        **shown(report, task, deployment),
        "limits": {
            name: each for name, each in _limits(runtime).items() if deployment in ("", name)
        },
    }


def shown(report: MatrixReport, task: str = "", deployment: str = "") -> dict[str, Any]:
    """A report as JSON holds it."""
    cells = [
        _cell(each, report.at_us) for each in report.cells
        if task in ("", each.cell.task) and deployment in ("", each.cell.deployment)
    ]  # fmt: skip
    return {
        "at_us": report.at_us,
        "through_seq": report.through_seq,
        "winners": {each: report.names_winner(each) for each in report.tasks if task in ("", each)},
        "cells": cells,
        "uses": {
            name: {
                "best_quality": told.best_quality,
                "tied_best_quality": told.tied_quality,
                "best_quality_per_dollar": told.best_per_dollar,
                "tied_best_quality_per_dollar": told.tied_per_dollar,
                "on_pareto_front": told.on_front,
            }
            for name, told in report.uses.items()
            if deployment in ("", name)
        },
    }


def _cell(each: ShownCell, now_us: int) -> dict[str, Any]:
    cell = each.cell
    return {
        "deployment": cell.deployment,
        "task": cell.task,
        "quality": finite(cell.quality),
        "latency_s": finite(cell.latency_s),
        "cost_micro_usd": finite(cell.cost_micro_usd),
        "error_rate": finite(cell.error_rate),
        "quality_per_usd": finite(cell.per_dollar),
        "rank": each.quality.rank,
        "tied_with": each.quality.tied,
        "rank_per_usd": each.per_dollar.rank,
        "tied_per_usd_with": each.per_dollar.tied,
        "on_pareto_front": each.on_front,
        "source": each.source or None,
        "sources": dict(each.sources),
        "updated_us": each.last_us,
        "age_s": None if each.last_us is None else max(now_us - each.last_us, 0) / 1e6,
        "stale": each.stale,
    }


def _limits(runtime: Runtime) -> dict[str, dict[str, Any]]:
    """What each deployment can do at all: nothing crosses these."""
    return {
        each.name: {
            "context_window": each.context_window,
            "max_output_tokens": each.max_output_tokens or None,
            "modality": each.modality,
            "capabilities": sorted(each.capabilities),
            "region": each.region or None,
            "data_policy": [word for word in DATA_POLICIES if word in each.data_policy],
        }
        for each in runtime.catalog
    }
