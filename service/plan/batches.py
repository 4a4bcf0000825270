"""The plan's part on batches: when they are answered, how many at once, how long all is kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from service.domain.off_peak import parse_window
from service.plan.words import Strict

Kept = Annotated[float, Field(ge=3_600.0, le=2_592_000.0, allow_inf_nan=False)]


def _window(text: str) -> str:
    parse_window(text)
    return text


WindowText = Annotated[str, Field(max_length=80), AfterValidator(_window)]


class BatchPlan(Strict):
    """Batches are taken. ``windows``: off-peak hours, as 03:00-06:00 Europe/Berlin; without any
    they are answered at once. ``longest_s``: the greatest completion window. ``safety``: by how
    much what is learned of durations is multiplied before a deadline counts as at risk.
    """

    windows: list[WindowText] = Field(default=[], max_length=50)
    longest_s: Annotated[float, Field(ge=60.0, le=1_209_600.0, allow_inf_nan=False)] = 86_400.0
    most_at_once: int = Field(default=4, ge=1, le=256)
    most_per_key: int = Field(default=2, ge=1, le=256)
    most_requests: int = Field(default=50_000, ge=1, le=200_000)
    most_live: int = Field(default=100, ge=1, le=10_000)
    safety: Annotated[float, Field(ge=1.0, le=20.0, allow_inf_nan=False)] = 2.0
    first_guess_s: Annotated[float, Field(gt=0.0, le=3_600.0, allow_inf_nan=False)] = 20.0
    tries: int = Field(default=4, ge=1, le=100)
    keep_s: Kept = 604_800.0
    owner_bytes: int = Field(default=200_000_000, ge=1_000, le=1_000_000_000_000)
    most_bytes: int = Field(default=2_000_000_000, ge=1_000, le=1_000_000_000_000)
