"""The plan's word on what goes to people: which kinds, until when, how many, how surely drawn."""

from __future__ import annotations

from pydantic import Field

from service.plan.words import Share, Strict

MONTH_H = 720.0


class PutPlan(Strict):
    """What every kind has: how long a person has, and how many may wait at once."""

    due_h: float = Field(default=72.0, gt=0.0, le=MONTH_H, allow_inf_nan=False)
    most_open: int = Field(default=200, ge=1, le=20_000)


class ClassificationPlan(PutPlan):
    """Requests whose task is not sure. ``sample``: the share of those below the threshold that a
    person is asked about; ``audit``: the share of the others, so that their errors can be told.
    After ``least_labels`` new labels the classifier is fitted anew, looked at every
    ``refit_minutes`` (0: never).
    """

    due_h: float = Field(default=24.0, gt=0.0, le=MONTH_H, allow_inf_nan=False)
    most_open: int = Field(default=1_000, ge=1, le=20_000)
    threshold: Share = 0.75
    sample: Share = 1.0
    audit: Share = 0.01
    refit_minutes: float = Field(default=10.0, ge=0.0, le=10_080.0, allow_inf_nan=False)
    least_labels: int = Field(default=100, ge=30, le=100_000)


class JudgePlan(PutPlan):
    """Judges who change their mind with the order, or are further than ``apart`` (of the scale's
    length) from a person.
    """

    apart: Share = 0.5


class ReviewPlan(Strict):
    """What goes to people. A kind that is not named is not put to them, but for versions that were
    rolled back, and for refusals, which have a section of their own.
    """

    classification: ClassificationPlan | None = None
    judge: JudgePlan | None = None
    policy: PutPlan = PutPlan()
    lease_s: float = Field(default=900.0, gt=0.0, le=86_400.0, allow_inf_nan=False)
