"""Budgets: what may be spent by whom in which period, and what is done where it is not enough."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from service.domain.periods import Period

LEVELS = (0.5, 0.8, 1.0)


class Scope(StrEnum):
    """Whose spend a budget counts."""

    GLOBAL = "global"
    KEY = "key"
    TENANT = "tenant"
    FEATURE = "feature"
    TAG = "tag"
    TASK = "task"
    DEPLOYMENT = "deployment"

    @property
    def of_the_house(self) -> bool:
        """Whether calls beside the answer count too: no caller pays for those."""
        return self in (Scope.GLOBAL, Scope.TASK, Scope.DEPLOYMENT)


class AtCap(StrEnum):
    """What becomes of a request that a hard cap has no room for."""

    REFUSE = "refuse"
    CHEAPER = "cheaper"
    QUEUE = "queue"
    PACE = "pace"


class AtSoft(StrEnum):
    """What is done once a soft limit is spent, while the hard cap has room."""

    TELL = "tell"
    CHEAPER = "cheaper"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class Budget:
    """``of``: whose; empty: each value of the scope has its own. ``hard_micro_usd`` is never passed
    by more than calls in flight have reserved; ``soft_micro_usd`` is told, and then ``at_soft`` is
    done. ``levels``: shares of the limit at which that is told.
    """

    name: str
    scope: Scope
    period: Period
    of: str = ""
    hard_micro_usd: int | None = None
    soft_micro_usd: int | None = None
    at_cap: AtCap = AtCap.REFUSE
    levels: tuple[float, ...] = LEVELS
    at_soft: AtSoft = AtSoft.TELL

    @property
    def limit_micro_usd(self) -> int:
        """What alerts, forecasts and pacing look at: the soft limit, else the hard cap."""
        soft = self.soft_micro_usd
        return soft if soft is not None else self.hard_micro_usd or 0


@dataclass(frozen=True, slots=True)
class KeyBudget:
    """The budget that a key carries from ``at_us`` on; ``period`` empty: none any more."""

    key_id: str
    at_us: int
    period: str
    hard_micro_usd: int | None
    soft_micro_usd: int | None
    at_cap: str
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """What will have been spent when the period ends, micro-dollars: the expectation, and the ends
    of its 95 % interval.
    """

    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class BudgetStanding:
    """How a budget stands for one value of its scope. ``forecast``: None where too little was seen
    to say.
    """

    budget: Budget
    value: str
    spent_micro_usd: int
    reserved_micro_usd: int
    calls: int
    starts_us: int
    ends_us: int
    forecast: Forecast | None

    @property
    def share(self) -> float:
        """Spent of the limit; of a limit of nothing, 1."""
        limit = self.budget.limit_micro_usd
        return self.spent_micro_usd / limit if limit else 1.0

    @property
    def label(self) -> str:
        """The budget with the value of its scope, where it is not of one alone."""
        named = self.budget.of or not self.value
        return self.budget.name if named else f"{self.budget.name}/{self.value}"

    @property
    def foretold(self) -> bool:
        """Whether even the low end of what will have been spent is more than the limit."""
        forecast = self.forecast
        return forecast is not None and forecast.low > self.budget.limit_micro_usd

    @property
    def telling(self) -> bool:
        """Whether there is anything to tell of it."""
        return self.foretold or any(self.share >= level for level in self.budget.levels)

    @property
    def left_micro_usd(self) -> int:
        """What the limit leaves beside what is spent and reserved; never below 0."""
        hard = self.budget.hard_micro_usd
        limit = self.budget.limit_micro_usd if hard is None else hard
        return max(limit - self.spent_micro_usd - self.reserved_micro_usd, 0)
