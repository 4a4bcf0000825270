"""The plan's part on alerts: the objective, each rule's thresholds, what is done, who is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from service.plan.words import Name, Seconds, Share, Strict

VARIABLE = r"^[A-Z_][A-Z0-9_]*$"
Variable = Annotated[str, Field(pattern=VARIABLE)]
Link = Annotated[str, Field(pattern=r"^https?://[^\s<>|]+$", max_length=500)]
Address = Annotated[str, Field(pattern=r"^[^\s<>,;@]{1,64}@[A-Za-z0-9.-]{1,255}$")]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?$")]
Minutes = Annotated[int, Field(ge=1, le=720)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Dollars = Annotated[float, Field(gt=0.0, le=1e6, allow_inf_nan=False)]


class SloPlan(Strict):
    """What callers are promised: the share of requests that end without a fault of ours."""

    availability: Annotated[float, Field(ge=0.5, le=0.999999, allow_inf_nan=False)] = 0.999


class RuleLimits(Strict):
    """What every rule has: whether it is looked at."""

    enabled: bool = True


class LatencyLimits(RuleLimits):
    """Slow answers of one deployment, or of all. ``keep_share``: the part of its present share
    that a slow deployment keeps (null: its share is left alone), for ``shift_s`` at most;
    ``raise_caching``: whether caching is raised meanwhile, as ``cache.raised`` says.
    """

    p95_s: Seconds = 45.0
    minutes: Minutes = 5
    least: Count = 20
    keep_share: Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)] | None = 0.5
    shift_s: Annotated[float, Field(ge=60.0, le=86_400.0, allow_inf_nan=False)] = 7_200.0
    raise_caching: bool = False


class ErrorLimits(RuleLimits):
    """Failed calls of one deployment, or failed requests, as a share."""

    share: Share = 0.1
    minutes: Minutes = 5
    least: Count = 20


class FallbackLimits(RuleLimits):
    """Requests that another deployment than the chosen one had to answer, as a share."""

    share: Share = 0.2
    minutes: Minutes = 5
    least: Count = 20


class SpendLimits(RuleLimits):
    """Money: of the last hour, and of the day as it would end at that rate. Null: not looked at."""

    usd_per_hour: Dollars | None = None
    usd_per_day: Dollars | None = None


class BudgetLimits(RuleLimits):
    """Budgets that reach the levels that they name, or will not last by their forecast."""

    forecast: bool = True


class DriftLimits(RuleLimits):
    """A deployment whose quality has changed."""


class SampleRatioLimits(RuleLimits):
    """An experiment whose units are not what was drawn."""


class QueueLimits(RuleLimits):
    """Tickets that wait: how many, and for how long."""

    waiting: Count = 100
    oldest_s: Seconds = 600.0


class ReviewLimits(RuleLimits):
    """Refused requests: those overdue for a person, and their share of the last hour."""

    overdue: Count = 1
    share: Share = 0.05
    least: Count = 100


class ReviewRateLimits(RuleLimits):
    """The share of requests whose task is not sure enough. ``alpha``: the chance of a false alarm a
    day; ``change``: a smaller one is not told; ``least`` requests today, ``least_before`` before.
    """

    alpha: Annotated[float, Field(gt=0.0, le=0.1, allow_inf_nan=False)] = 0.001
    change: Share = 0.02
    least: Count = 200
    least_before: Count = 1_000


class UnevenRatingLimits(RuleLimits):
    """Ratings that come for one deployment's answers more than for another's."""


class PropensityLimits(RuleLimits):
    """The audit of the logged propensities."""


class OutageLimits(RuleLimits):
    """No deployment can answer."""


class BurnLimits(RuleLimits):
    """The error budget is spent so many times too fast, in a long window and in a short one (SRE
    workbook, chapter 5). ``least``: requests in the long window below which nothing is said.
    """

    factor: Annotated[float, Field(gt=0.0, le=1_000.0, allow_inf_nan=False)]
    long_minutes: Annotated[int, Field(ge=1, le=4_320)]
    short_minutes: Annotated[int, Field(ge=1, le=4_320)]
    least: Count = 100

    @model_validator(mode="after")
    def _ordered(self) -> BurnLimits:
        if self.short_minutes >= self.long_minutes:
            raise ValueError("short_minutes must be less than long_minutes")
        return self


class FastBurnLimits(BurnLimits):
    """Two per cent of a month's budget in an hour."""

    factor: Annotated[float, Field(gt=0.0, le=1_000.0, allow_inf_nan=False)] = 14.4
    long_minutes: Annotated[int, Field(ge=1, le=4_320)] = 60
    short_minutes: Annotated[int, Field(ge=1, le=4_320)] = 5


class SlowBurnLimits(BurnLimits):
    """Five per cent of it in six hours."""

    factor: Annotated[float, Field(gt=0.0, le=1_000.0, allow_inf_nan=False)] = 6.0
    long_minutes: Annotated[int, Field(ge=1, le=4_320)] = 360
    short_minutes: Annotated[int, Field(ge=1, le=4_320)] = 30


class LongBurnLimits(BurnLimits):
    """A tenth of it in three days."""

    factor: Annotated[float, Field(gt=0.0, le=1_000.0, allow_inf_nan=False)] = 1.0
    long_minutes: Annotated[int, Field(ge=1, le=4_320)] = 4_320
    short_minutes: Annotated[int, Field(ge=1, le=4_320)] = 360


class ChannelPlan(Strict):
    """Somebody who is told. Addresses and secrets come by the environment."""

    name: Name
    kind: Literal["webhook", "slack", "pagerduty", "email"]
    severities: list[Literal["page", "ticket", "info"]] = Field(
        default=["page", "ticket", "info"], min_length=1
    )
    url_env: Variable | None = None
    secret_env: Variable | None = None
    routing_key_env: Variable | None = None
    smtp_host: Host | None = None
    smtp_port: Annotated[int, Field(ge=1, le=65_535)] = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    username_env: Variable | None = None
    password_env: Variable | None = None
    sender: Address | None = None
    recipients: list[Address] = Field(default=[], max_length=50)

    @property
    def variables(self) -> tuple[tuple[str, str], ...]:
        """The keys that name a variable, each with the variable."""
        keys = ("url_env", "secret_env", "routing_key_env", "username_env", "password_env")
        return tuple((key, getattr(self, key)) for key in keys if getattr(self, key))

    @model_validator(mode="after")
    def _fits(self) -> ChannelPlan:
        needs = {
            "webhook": ("url_env", "secret_env"),
            "slack": ("url_env",),
            "pagerduty": ("url_env", "routing_key_env"),
            "email": ("smtp_host", "sender", "recipients"),
        }
        missing = [key for key in needs[self.kind] if not getattr(self, key)]
        if missing:
            raise ValueError(f"a channel of the kind {self.kind} needs {' and '.join(missing)}")
        known = {"name", "kind", "severities", *needs[self.kind]}
        if self.kind == "email":
            known |= {"smtp_port", "tls", "username_env", "password_env"}
        idle = sorted(self.model_fields_set - known)
        if idle:
            raise ValueError(f"a channel of the kind {self.kind} takes no {' or '.join(idle)}")
        if (self.username_env is None) != (self.password_env is None):
            raise ValueError("username_env and password_env go together")
        if self.tls == "none" and self.username_env is not None:
            raise ValueError("a password is not sent without TLS: use starttls or tls")
        return self


class AlertsPlan(Strict):
    """What alerts, from which threshold on; what is done about it by itself; who is told."""

    enabled: bool = True
    console_url: Link | None = None
    runbook_url: Link | None = None
    page_after_minutes: Minutes = 30
    clear_after_minutes: Minutes = 10
    clear_below: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)] = 0.9
    cool_down_minutes: Annotated[int, Field(ge=0, le=1_440)] = 15
    digest_at: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] | None = "08:00"
    channels: list[ChannelPlan] = Field(default=[], max_length=16)

    latency: LatencyLimits = LatencyLimits()
    errors: ErrorLimits = ErrorLimits()
    fallback_rate: FallbackLimits = FallbackLimits()
    spend: SpendLimits = SpendLimits()
    budgets: BudgetLimits = BudgetLimits()
    drift: DriftLimits = DriftLimits()
    sample_ratio: SampleRatioLimits = SampleRatioLimits()
    tickets: QueueLimits = QueueLimits()
    reviews: ReviewLimits = ReviewLimits()
    review_rate: ReviewRateLimits = ReviewRateLimits()
    uneven_ratings: UnevenRatingLimits = UnevenRatingLimits()
    propensities: PropensityLimits = PropensityLimits()
    outage: OutageLimits = OutageLimits()
    burn_fast: FastBurnLimits = FastBurnLimits()
    burn_slow: SlowBurnLimits = SlowBurnLimits()
    burn_long: LongBurnLimits = LongBurnLimits()

    @model_validator(mode="after")
    def _named_once(self) -> AlertsPlan:
        names = [each.name for each in self.channels]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the channel {twice[0]} is given twice; rename one")
        return self

    @property
    def digest_minute(self) -> int | None:
        """The minute of the day, UTC, at which the digest is sent."""
        if self.digest_at is None:
            return None
        return int(self.digest_at[:2]) * 60 + int(self.digest_at[3:])


SECTIONS: Mapping[str, type[BaseModel]] = {
    "slo": SloPlan,
    "alerts": AlertsPlan,
    "channels": ChannelPlan,
    **{
        f"alerts.{name}": type(field.default)
        for name, field in AlertsPlan.model_fields.items()
        if isinstance(field.default, RuleLimits)
    },
}
