"""The plan's answer to failures: tiers, breakers, hedging, how much may be retried."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from service.plan.words import Seconds, Share, Strict

Factor = Annotated[float, Field(ge=1.0, le=100.0, allow_inf_nan=False)]


class TierPlan(Strict):
    """The deployments of a tier, and how long one call to them may take."""

    use: list[str] = Field(min_length=1)
    timeout_s: Seconds = 30.0


class FallbackPlan(Strict):
    """Who is asked for a task, tier after tier. Without ``task``: every task without its own."""

    task: str | None = None
    tiers: list[TierPlan] = Field(min_length=1)


class BreakerPlan(Strict):
    """When a deployment is left alone, and for how long."""

    failures_in_a_row: int = Field(default=5, ge=1, le=1_000)
    window: int = Field(default=20, ge=1, le=1_000)
    failures_in_window: int = Field(default=8, ge=1, le=1_000)
    ejection_s: Seconds = 30.0
    longest_ejection_s: Seconds = 300.0

    @model_validator(mode="after")
    def _possible(self) -> BreakerPlan:
        if self.failures_in_window > self.window:
            raise ValueError("failures_in_window must be at most window")
        if self.longest_ejection_s < self.ejection_s:
            raise ValueError("longest_ejection_s must be at least ejection_s")
        return self


class HedgingPlan(Strict):
    """For which tasks a second call is made after the p95, and for how much of the spend."""

    tasks: list[str] = []
    spend_share: Share = 0.05


class ResiliencePlan(Strict):
    """How the fleet is kept answering."""

    breaker: BreakerPlan = BreakerPlan()
    most_ejected: Share = 0.67
    panic_below: Share = 0.3
    retry_share: Share = 0.1
    throttle_k: Factor = 2.0
    least_score: Share = 0.5
    hedging: HedgingPlan = HedgingPlan()
