"""The plan's word on prediction before generation: the bar, what is done, what it may cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from service.plan.words import Money, Share, Strict


class PredictionRoutePlan(Strict):
    """Who lies surely further than ``margin`` below the best chance leaves before the draw."""

    margin: Share = 0.2


class EscalatePlan(Strict):
    """A first tier whose best chance is surely under ``below`` is passed over, where the next one's
    best is better by ``gain``.
    """

    below: Share = 0.5
    gain: Share = 0.1


class SkipPlan(Strict):
    """The quality check is skipped from the chance ``above`` on, but for a share ``audit`` by lot,
    while at most ``most_bad`` of such answers are surely bad. ``judged_by``: whose ratings are the
    check's verdict. ``check_usd``: what a check costs; absent: as judges' calls are measured.
    """

    above: Share = 0.9
    audit: float = Field(default=0.05, ge=0.001, le=1.0)
    most_bad: float = Field(default=0.1, ge=0.001, le=0.9)
    judged_by: list[Literal["judge", "user", "outcome", "implicit"]] = Field(
        default=["judge"], min_length=1
    )
    check_usd: Money | None = None


class WorthPlan(Strict):
    """What an hour of CPU costs, and after how many predictions prediction may be called a loss."""

    cpu_usd_per_hour: Money = 0.05
    after: int = Field(default=10_000, ge=100, le=100_000_000)


class PredictionPlan(Strict):
    """Prediction before generation. Without a part it does nothing but tell."""

    acceptable: float = Field(default=0.7, gt=0.0, le=1.0)
    refit_minutes: float = Field(default=10.0, gt=0.0, le=10_080.0, allow_inf_nan=False)
    least_ratings: int = Field(default=200, ge=1, le=1_000_000)
    held_out: float = Field(default=0.05, ge=0.0, le=0.5)
    route: PredictionRoutePlan | None = None
    escalate: EscalatePlan | None = None
    skip: SkipPlan | None = None
    worth: WorthPlan = WorthPlan()
