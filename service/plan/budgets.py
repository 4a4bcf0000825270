"""The plan's budgets: what the policy paces spend to, and what may be spent by whom in a period."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from service.domain.budgets import LEVELS, AtCap, AtSoft, Budget, Scope
from service.domain.periods import Period
from service.plan.words import Label, Name, Strict

Dollars = Annotated[float, Field(ge=0.0, le=1e9, allow_inf_nan=False)]
Level = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]
Scopes = Literal["global", "key", "tenant", "feature", "tag", "task", "deployment"]
Periods = Literal["request", "hour", "day", "month"]
AtSofts = Literal["tell", "cheaper", "queue"]
Ways = Literal["refuse", "cheaper", "queue", "pace"]


class LimitOfSpend(Strict):
    """What a budget holds spend to, and what is done where that is not enough."""

    period: Periods
    hard_usd: Dollars | None = None
    soft_usd: Dollars | None = None
    at_cap: Ways = "refuse"

    @model_validator(mode="after")
    def _holds(self) -> LimitOfSpend:
        if self.hard_usd is None and self.soft_usd is None:
            raise ValueError("a budget needs hard_usd, soft_usd, or both")
        if self.hard_usd is None and self.at_cap not in ("refuse", "pace"):
            raise ValueError(
                f"at_cap {self.at_cap} needs hard_usd; at_soft is what a soft limit does"
            )
        if None not in (self.hard_usd, self.soft_usd) and self.soft_usd > self.hard_usd:  # type: ignore[operator]
            raise ValueError("soft_usd must not be more than hard_usd: it would never be told")
        if self.period == "request" and self.at_cap in ("queue", "pace"):
            raise ValueError(f"a budget of one request cannot {self.at_cap}: it never begins anew")
        if self.period == "request" and self.hard_usd is None:
            raise ValueError("a budget of one request needs hard_usd")
        if self.period == "request" and self.soft_usd is not None:
            raise ValueError("a budget of one request has no soft_usd: nobody would be told of it")
        return self


class NamedBudget(LimitOfSpend):
    """A budget. ``of``: whose; left out: each value of the scope has its own. ``at_soft``: what is
    done from the soft limit on.
    """

    name: Name
    scope: Scopes
    of: Label | None = None
    at_soft: AtSofts = "tell"
    alert_at: list[Level] = Field(default=list(LEVELS), max_length=10)

    @model_validator(mode="after")
    def _fits(self) -> NamedBudget:
        if self.scope == "global" and self.of is not None:
            raise ValueError("the scope global has no of: it is everything")
        if self.at_soft != "tell" and self.soft_usd is None:
            raise ValueError(f"at_soft {self.at_soft} needs soft_usd: from there on it is done")
        if self.at_soft != "tell" and self.scope == "deployment":
            raise ValueError(
                f"at_soft {self.at_soft} is not for a deployment's budget: take at_cap: cheaper"
            )
        return self

    def budget(self) -> Budget:
        """As the gateway counts it."""
        return Budget(
            self.name, Scope(self.scope), Period(self.period), self.of or "",
            micro_usd(self.hard_usd), micro_usd(self.soft_usd), AtCap(self.at_cap),
            tuple(sorted(set(self.alert_at))), AtSoft(self.at_soft),
        )  # fmt: skip


class BudgetPlan(Strict):
    """``usd_per_request``: what the policy paces spend to. ``named``: budgets of a period in a
    time zone. ``reserve_output_tokens``: what is reserved for an answer that nothing bounds.
    """

    usd_per_request: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    time_zone: str = "UTC"
    reserve_output_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 1_024
    named: list[NamedBudget] = Field(default=[], max_length=200)

    @field_validator("time_zone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone {value!r}; give one as Europe/Berlin or UTC") from None
        return value


def micro_usd(usd: float | None) -> int | None:
    """Whole micro-dollars; half a one counts up."""
    return None if usd is None else int(usd * 1e6 + 0.5)
