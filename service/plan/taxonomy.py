"""The plan's word on how a request's task is found where neither caller nor condition names it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from service.plan.words import Label, Name, Share, Strict

THRESHOLD = 0.75
LEAST_EXAMPLES = 5  # of a task that is like none of the default's
Example = Annotated[str, Field(min_length=1, max_length=8_000)]


class AskPlan(Strict):
    """A cheap deployment that is asked for the task of requests that are not sure. ``share``: of
    these; ``accuracy``: how often its label is right, as far as is known; ``usd_per_day``: what
    that may cost, beyond which nobody is asked.
    """

    deployment: Name
    timeout_s: Annotated[float, Field(gt=0.0, le=10.0, allow_inf_nan=False)] = 1.0
    share: Share = 1.0
    usd_per_day: Annotated[float, Field(gt=0.0, le=1e6, allow_inf_nan=False)] = 1.0
    accuracy: Share = 0.8


class TaxonomyPlan(Strict):
    """How tasks are found. ``use``: the default's tasks beside the plan's, or the plan's alone;
    ``safe``: by whom a request goes on whose task is not sure.
    """

    use: Literal["default", "plan"] = "default"
    version: Label | None = None
    threshold: Share | None = None  # review.classification's, else 0.75
    safe: list[Name] = []
    ask: AskPlan | None = None

    @field_validator("safe", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value
