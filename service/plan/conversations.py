"""The plan's part on conversations that are kept: whose, how long, how much, and how compacted."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from service.plan.words import Label, Money, Name, Seconds, Strict


class SummaryPlan(Strict):
    """A deployment that sums up what no longer fits, after the answer; without it sentences are
    taken out of it by rules. ``after_tokens``: once so much has been left out since the last one.
    """

    deployment: Name
    usd_per_day: Money = 1.0
    after_tokens: int = Field(default=2_000, ge=100, le=1_000_000)
    most_tokens: int = Field(default=400, ge=50, le=8_000)
    timeout_s: Seconds = 30.0


class ConversationPlan(Strict):
    """Prompts and answers are stored here, where this is enabled and a request, or its key, asks
    for it. ``keys``: names or ids of keys whose requests with a session are kept without asking.
    """

    enabled: bool = False
    keys: list[Label] = Field(default=[], max_length=1_000)
    keep_days: Annotated[float, Field(gt=0.0, le=3_650.0, allow_inf_nan=False)] = 30.0
    most_tokens: int = Field(default=32_000, ge=500, le=2_000_000)
    reserve_tokens: int = Field(default=1_024, ge=64, le=200_000)
    most_turns: int = Field(default=1_000, ge=1, le=100_000)
    most_conversations: int = Field(default=10_000, ge=1, le=10_000_000)
    most_bytes: int = Field(default=500_000_000, ge=100_000, le=1_000_000_000_000)
    summary: SummaryPlan | None = None
