"""The routes of experiments: made, moved, shown, reported."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request

from experiments.design import DesignError
from experiments.design_json import from_json, to_json
from experiments.errors import ExperimentError
from experiments.states import Step
from service.api import shown_experiments as shown
from service.api.access import allowed, signature
from service.api.experiment_schemas import ExperimentBody, StepBody, StepName
from service.api.four_eyes import Raises, approved, digest, raises_exposure
from service.api.schemas import ErrorAnswer
from service.domain.clock import new_id
from service.domain.errors import Unprocessable
from service.experimentation.desk import REDUCING, Asked

router = APIRouter(prefix="/admin")
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer},
    "5XX": {"model": ErrorAnswer},
}
_STEPS = {each.value.replace(" ", ""): each for each in Step}


@router.get("/experiments", responses=_ERRORS)
async def list_experiments(request: Request) -> dict[str, Any]:
    """All experiments, newest first, and what their guardrails warn of."""
    runtime, _ = allowed(request, "analyst")
    known = runtime.experiments.desk.store.known.values()
    return {
        "experiments": [shown.experiment(each, runtime) for each in reversed(list(known))],
        "warnings": runtime.experiments.guard.warnings(),
    }


@router.post("/experiments", status_code=201, responses=_ERRORS)
async def create(request: Request, body: ExperimentBody) -> dict[str, Any]:
    """A draft with its place in a layer; nothing is exposed before it is started."""
    runtime, key = allowed(request, "operator")
    try:
        design = from_json(json.dumps(_scheduled(body.design, runtime.clock.wall_us())))
    except DesignError as error:
        raise Unprocessable(str(error), param=f"design.{error.field}") from None
    except (ExperimentError, ValueError, RecursionError) as error:
        raise Unprocessable(f"design: {error}", param="design") from None
    if design.reverse:
        raise Unprocessable(
            "design.reverse: watches over promotions are made by promoting", param="design.reverse"
        )
    by = signature(request, key, body)
    made = await runtime.experiments.desk.create(design, body.layer, body.share, by)
    return shown.experiment(made, runtime)


def _scheduled(design: dict[str, Any], now_us: int) -> dict[str, Any]:
    """Blocks of time that say no salt and start are drawn by one of their own, from now on."""
    blocks = design.get("blocks")
    if not isinstance(blocks, dict):
        return design
    return {**design, "blocks": {"salt": new_id(), "start_us": now_us, **blocks}}


@router.get("/experiments/{experiment}", responses=_ERRORS)
async def show(request: Request, experiment: str) -> dict[str, Any]:
    """One experiment, by its id or its slug (the last version), with every step."""
    runtime, _ = allowed(request, "analyst")
    return shown.experiment(runtime.experiments.desk.find(experiment), runtime, whole=True)


@router.get("/experiments/{experiment}/report", responses=_ERRORS)
async def report(request: Request, experiment: str) -> dict[str, Any]:
    """What its data say now: effects with intervals that hold at any look, and what to do."""
    runtime, _ = allowed(request, "analyst")
    found = runtime.experiments.desk.find(experiment)
    return (await runtime.experiments.report(found)).to_dict()


@router.get("/discoveries", responses=_ERRORS)
async def discoveries(request: Request) -> dict[str, Any]:
    """Which of the ended experiments found something, the false discoveries bounded over all."""
    runtime, _ = allowed(request, "analyst")
    return (await runtime.experiments.across()).to_dict()


@router.post("/experiments/{experiment}/{step}", responses=_ERRORS)
async def take(request: Request, experiment: str, step: StepName, body: StepBody) -> dict[str, Any]:
    """Take a step; it is in force on the next request."""
    runtime, key = allowed(request, "operator")
    promotions, wanted = runtime.experiments.promotions, _STEPS[step]
    found = runtime.experiments.desk.find(experiment)
    blinds = found.design.reverse and wanted is not Step.ROLL_BACK  # nobody watches a promotion
    if approved(request) or blinds or wanted not in REDUCING:
        standing = {"state": found.standing.state.value, "steps": len(found.steps)}
        standing["design"] = digest(to_json(found.design))
        await raises_exposure(request, key, body, Raises(f"experiment.{step}", found.id, standing))
    by = signature(request, key, body)
    if wanted is Step.SHIP:
        if body.variant is None:
            raise Unprocessable("variant: name the one to ship", param="variant")
        taken = await promotions.ship(found.id, body.variant, by, body.unproven)
    elif body.variant is not None:
        raise Unprocessable("variant: only a ship names one; leave it out", param="variant")
    elif wanted is Step.ROLL_BACK:
        taken, _ = await promotions.roll_back_experiment(found.id, by)
    else:
        asked = Asked(wanted, by, unproven=body.unproven)
        taken = await runtime.experiments.desk.take(found.id, asked)
    return shown.experiment(taken, runtime, whole=True)
