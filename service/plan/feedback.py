"""The plan's way back: reward, feedback metrics, refits of the quality model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from service.plan.words import Name, Share, Strict

Ratings = Annotated[int, Field(ge=1, le=10_000_000)]
Part = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]
Who = Annotated[str, Field(min_length=1, max_length=128)]


class RewardPlan(Strict):
    """What a point of quality is worth, in dollars and in seconds."""

    metric: str = "rating"
    worth_usd: float = Field(default=0.1, gt=0.0, allow_inf_nan=False)
    patience_s: float = Field(default=120.0, gt=0.0, allow_inf_nan=False)


class MetricPlan(Strict):
    """A feedback metric. ``unit``: 0 to 1, thumbs allowed; ``stars``: 1 to 5; or ``labels``."""

    scale: Literal["unit", "stars", "labels"] = "unit"
    labels: list[str] = []


class AuthorPlan(Strict):
    """How many ratings of one author count within an hour and a day, of all deployments and of
    ``each``; its ``share`` of what is learned of a deployment in a task (1: all), and how many
    answers (``burst``) it may bring beside that. Null: no bound.
    """

    hour: Ratings | None = None
    day: Ratings | None = None
    hour_each: Ratings | None = None
    day_each: Ratings | None = None
    share: Part = 1.0
    burst: float = Field(default=5.0, ge=1.0, le=100_000.0, allow_inf_nan=False)


class KeyAuthorPlan(AuthorPlan):
    """Of a key."""

    hour: Ratings | None = 1_000
    day: Ratings | None = 5_000
    hour_each: Ratings | None = 500
    day_each: Ratings | None = 2_000
    share: Part = 0.1


class UserAuthorPlan(AuthorPlan):
    """Of an end user behind a key, where one is told."""

    hour: Ratings | None = 60
    day: Ratings | None = 200
    share: Part = 0.05
    burst: float = Field(default=3.0, ge=1.0, le=100_000.0, allow_inf_nan=False)


class TenantAuthorPlan(AuthorPlan):
    """Of all keys of a tenant."""

    share: Part = 0.3
    burst: float = Field(default=10.0, ge=1.0, le=100_000.0, allow_inf_nan=False)


class TrustPlan(Strict):
    """What a rating counts. ``trusted``: keys, by id or name, that are believed and never capped.
    ``keys``, ``roles``, ``kinds``: what ratings of these count, between 0 and 1. ``learned``: an
    author that disagrees with who is trusted counts less, never below ``least``.
    """

    key: KeyAuthorPlan = KeyAuthorPlan()
    user: UserAuthorPlan = UserAuthorPlan()
    tenant: TenantAuthorPlan = TenantAuthorPlan()
    trusted: list[Who] = Field(default=[], max_length=1_000)
    keys: dict[Who, Share] = {}
    roles: dict[Literal["caller", "analyst", "operator", "administrator"], Share] = {}
    kinds: dict[Literal["user", "judge", "outcome", "implicit"], Share] = {}
    learned: bool = True
    least: Part = 0.1


class FeedbackPlan(Strict):
    """Which metrics are taken, how late, and what a rating counts (no ``trust``: all alike)."""

    trust: TrustPlan | None = None
    metrics: dict[Name, MetricPlan] = {"rating": MetricPlan()}
    expires_days: float = Field(default=30.0, gt=0.0, le=3650.0)


class QualityPlan(Strict):
    """How often the quality model is refitted (0: never), and after how many new ratings."""

    refit_minutes: float = Field(default=10.0, ge=0.0, le=10_080.0, allow_inf_nan=False)
    least_ratings: int = Field(default=200, ge=1, le=1_000_000)
