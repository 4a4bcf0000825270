"""The plan's bounds of the service itself."""

from __future__ import annotations

from pydantic import Field

from service.plan.words import Seconds, Strict


class ServicePlan(Strict):
    """Bounds of the service itself."""

    body_bytes: int = Field(default=10_000_000, ge=1_000, le=200_000_000)
    attempt_timeouts_s: list[Seconds] = Field(default=[30.0, 25.0, 20.0], min_length=1)
    stream_idle_s: Seconds = 20.0
    stream_s: Seconds = 900.0
    deadline_s: Seconds = 75.0
    connections: int = Field(default=4_000, ge=1, le=100_000)
    head_s: Seconds = 10.0
    body_s: Seconds = 30.0
    write_s: Seconds = 30.0
    most_under_way: int = Field(default=2_000, ge=1, le=1_000_000)
    most_held_bytes: int = Field(default=24_000_000, ge=1_000)
    most_lag_s: Seconds = 0.5
    key_requests_per_minute: int = Field(default=0, ge=0, le=10_000_000)
    key_tokens_per_minute: int = Field(default=0, ge=0, le=10_000_000_000)
