"""The plan's part on outages: the queue, and who is told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from service.plan.words import Seconds, Strict

_VARIABLE = r"^[A-Z_][A-Z0-9_]*$"
_HOST = r"^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$"
Kept = Annotated[float, Field(gt=0.0, le=2_592_000.0, allow_inf_nan=False)]


class QueuePlan(Strict):
    """Requests that no deployment can answer, kept on disk until one can, for who asks for it."""

    enabled: bool = False
    most_waiting: int = Field(default=1_000, ge=1, le=100_000)
    most_per_key: int = Field(default=250, ge=1, le=100_000)
    most_bytes: int = Field(default=1_000_000_000, ge=1_000_000, le=1_000_000_000_000)
    workers: int = Field(default=4, ge=1, le=64)
    lease_s: Annotated[float, Field(ge=1.0, le=3_600.0, allow_inf_nan=False)] = 60.0
    tries: int = Field(default=8, ge=1, le=1_000)
    deadline_s: Seconds = 14_400.0
    keep_answers_s: Kept = 86_400.0
    keep_dead_s: Kept = 604_800.0
    webhook_hosts: list[Annotated[str, Field(pattern=_HOST, max_length=260)]] = []


class NotifyPlan(Strict):
    """Who is told of an outage, and how. The address is a secret: it comes by the environment."""

    webhook_env: str | None = Field(default=None, pattern=_VARIABLE)
    shape: Literal["plain", "slack", "pagerduty"] = "plain"
    routing_key_env: str | None = Field(default=None, pattern=_VARIABLE)
    runbook_url: str | None = Field(default=None, pattern=r"^https?://[^\s<>|]+$", max_length=500)

    @model_validator(mode="after")
    def _fits(self) -> NotifyPlan:
        if self.shape == "pagerduty" and self.routing_key_env is None:
            raise ValueError("the shape pagerduty needs routing_key_env as well")
        return self
