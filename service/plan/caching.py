"""The plan's word on keeping answers: whose, for how long, how many, and what raises it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from service.domain.caching import LONGEST_S
from service.plan.words import Name, Share, Strict

Lasting = Annotated[float, Field(gt=0.0, le=LONGEST_S, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=0.0, le=2.0, allow_inf_nan=False)]


class CacheTaskPlan(Strict):
    """What is otherwise for a task; what is left out is as the section says."""

    enabled: bool | None = None
    ttl_s: Lasting | None = None
    most_temperature: Temperature | None = None
    without_temperature: bool | None = None
    tools: bool | None = None


class CachePlan(Strict):
    """Answers are kept and given again. ``most_temperature``: of requests that name one;
    ``without_temperature``: whether those that name none count; ``tools``: whether those that offer
    tools do; ``within``: who shares answers; ``version``: another one forgets all; ``evict_below``:
    the quality of a rating that throws an answer out; ``raised``: what an operator or an alert may
    raise it to for a while.
    """

    enabled: bool = True
    ttl_s: Lasting = 86_400.0
    most_temperature: Temperature = 0.0
    without_temperature: bool = False
    tools: bool = False
    within: Literal["tenant", "key", "user"] = "tenant"
    max_bytes: int = Field(default=64_000_000, ge=100_000, le=64_000_000_000)
    entry_bytes: int = Field(default=262_144, ge=1_000, le=64_000_000)
    disk: bool = True
    disk_bytes: int = Field(default=256_000_000, ge=1_000_000, le=1_000_000_000_000)
    version: int = Field(default=1, ge=1, le=1_000_000_000)
    evict_below: Share = 0.5
    tasks: dict[Name, CacheTaskPlan] = {}
    raised: CacheTaskPlan | None = None

    @model_validator(mode="after")
    def _fits(self) -> CachePlan:
        if self.entry_bytes > self.max_bytes:
            raise ValueError("entry_bytes is more than max_bytes, so that no answer of it fits")
        return self
