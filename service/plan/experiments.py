"""The plan's experiments: the global holdout, and how shipped versions are watched."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from service.plan.words import Name, Strict


class ExperimentPlan(Strict):
    """``holdout``: the share of units that no experiment touches, served by ``holdout_on`` alone.

    ``watch_s``: how long a promoted version is watched, with a tenth of the units kept on the one
    before (0: not at all). ``gate``: whether a version must be evaluated on the log before an
    experiment exposes it.
    """

    holdout: Annotated[float, Field(ge=0.0, le=0.05)] = 0.0
    holdout_on: Name | None = None
    watch_s: Annotated[float, Field(ge=0.0, le=604_800.0, allow_inf_nan=False)] = 3_600.0
    gate: bool = True

    @model_validator(mode="after")
    def _has_somewhere(self) -> ExperimentPlan:
        if self.holdout and self.holdout < 0.01:
            raise ValueError("holdout: below 0.01 it shows nothing; give 0.01 to 0.05, or 0")
        if self.holdout and self.holdout_on is None:
            raise ValueError("holdout_on: name the deployment that serves the holdout")
        return self
