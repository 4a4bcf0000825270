"""The plan's bounds of the service itself."""

from __future__ import annotations

from pydantic import Field

from service.plan.words import Seconds, Strict


class ServicePlan(Strict):
    """Bounds of the service itself."""

    body_bytes: int = Field(default=10_000_000, ge=1_000, le=200_000_000)
    attempt_timeouts_s: list[Seconds] = Field(default=[30.0, 25.0, 20.0], min_length=1)
    stream_idle_s: Seconds = 20.0
    deadline_s: Seconds = 75.0
