"""The plan's way back: reward, feedback metrics, refits of the quality model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from service.plan.words import Name, Strict


class RewardPlan(Strict):
    """What a point of quality is worth, in dollars and in seconds."""

    metric: str = "rating"
    worth_usd: float = Field(default=0.1, gt=0.0, allow_inf_nan=False)
    patience_s: float = Field(default=120.0, gt=0.0, allow_inf_nan=False)


class MetricPlan(Strict):
    """A feedback metric. ``unit``: 0 to 1, thumbs allowed; ``stars``: 1 to 5; or ``labels``."""

    scale: Literal["unit", "stars", "labels"] = "unit"
    labels: list[str] = []


class FeedbackPlan(Strict):
    """Which metrics are taken, and how late."""

    metrics: dict[Name, MetricPlan] = {"rating": MetricPlan()}
    expires_days: float = Field(default=30.0, gt=0.0, le=3650.0)


class QualityPlan(Strict):
    """How often the quality model is refitted (0: never), and after how many new ratings."""

    refit_minutes: float = Field(default=10.0, ge=0.0, le=10_080.0, allow_inf_nan=False)
    least_ratings: int = Field(default=200, ge=1, le=1_000_000)
