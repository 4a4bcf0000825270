"""The plan's word on refusals: what is suggested instead, who is reviewed, what is remembered."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from service.domain.expressions import Expression, parse
from service.plan.routing import checked_condition
from service.plan.words import Strict

MONTH_S = 30 * 86_400.0


class SuggestionPlan(Strict):
    """What to try instead of a refused request; the first that holds is given."""

    when: str | None = None
    task: str | None = None
    text: Annotated[str, Field(min_length=1, max_length=1_000)]

    _check_when = field_validator("when")(checked_condition)

    @property
    def condition(self) -> Expression | None:
        """The parsed condition."""
        return parse(self.when) if self.when else None


class RefusalPlan(Strict):
    """What becomes of requests that a provider's content policy refused."""

    suggestions: list[SuggestionPlan] = []
    review_tiers: list[str] | None = None
    review_within_s: float = Field(default=14_400.0, gt=0.0, le=MONTH_S, allow_inf_nan=False)
    remember_s: float = Field(default=86_400.0, ge=0.0, le=MONTH_S, allow_inf_nan=False)
    most_per_hour: int = Field(default=20, ge=0, le=1_000)
