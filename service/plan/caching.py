"""The plan's word on keeping answers: whose, for how long, how many, and what raises it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from service.domain.caching import LONGEST_S
from service.plan.words import Name, Share, Strict

Lasting = Annotated[float, Field(gt=0.0, le=LONGEST_S, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=0.0, le=2.0, allow_inf_nan=False)]

Bound = Annotated[float, Field(ge=0.001, le=0.5)]
Watched = Annotated[float, Field(ge=0.01, le=1.0)]
Apart = Annotated[float, Field(ge=0.0, le=0.5)]


class CacheTaskPlan(Strict):
    """What is otherwise for a task; what is left out is as the section says."""

    enabled: bool | None = None
    ttl_s: Lasting | None = None
    most_temperature: Temperature | None = None
    without_temperature: bool | None = None
    tools: bool | None = None


class LikeTaskPlan(Strict):
    """What is otherwise for a task; what is left out is as the section says."""

    delta: Bound | None = None
    most_false: Bound | None = None
    shadow_share: Watched | None = None
    most_apart: Apart | None = None
    judge: bool | None = None


class SemanticPlan(Strict):
    """An answer may stand for a like question, in the tasks that are named. ``delta``: of all
    questions that have a like one, how many may be answered wrongly; ``most_false``: of the answers
    that are given; ``shadow_share``: of these, how many are regenerated to measure that;
    ``most_apart``: the share of words in which two answers that say the same may differ; ``judge``:
    whether a proven judge of the panel is asked about those that differ;
    ``most_unseen``: how often an answer is given before it is looked at again.
    """

    tasks: dict[Name, LikeTaskPlan] = Field(min_length=1)
    delta: Bound = 0.05
    most_false: Bound = 0.1
    shadow_share: Watched = 0.05
    most_apart: Apart = 0.0
    judge: bool = False
    most_chars: int = Field(default=600, ge=10, le=4_000)
    max_entries: int = Field(default=10_000, ge=10, le=100_000)
    most_unseen: int = Field(default=50, ge=1, le=10_000)
    usd_per_day: float = Field(default=1.0, ge=0.0, le=1e6, allow_inf_nan=False)


class CachePlan(Strict):
    """Answers are kept and given again. ``most_temperature``: of requests that name one;
    ``without_temperature``: whether those that name none count; ``tools``: whether those that offer
    tools do; ``within``: who shares answers; ``version``: another one forgets all; ``evict_below``:
    the quality of a rating that throws an answer out; ``raised``: what an operator or an alert may
    raise it to for a while.
    """

    enabled: bool = True
    ttl_s: Lasting = 86_400.0
    most_temperature: Temperature = 0.0
    without_temperature: bool = False
    tools: bool = False
    within: Literal["tenant", "key", "user"] = "tenant"
    max_bytes: int = Field(default=64_000_000, ge=100_000, le=64_000_000_000)
    entry_bytes: int = Field(default=262_144, ge=1_000, le=64_000_000)
    disk: bool = True
    disk_bytes: int = Field(default=256_000_000, ge=1_000_000, le=1_000_000_000_000)
    version: int = Field(default=1, ge=1, le=1_000_000_000)
    evict_below: Share = 0.5
    tasks: dict[Name, CacheTaskPlan] = {}
    raised: CacheTaskPlan | None = None
    semantic: SemanticPlan | None = None

    @model_validator(mode="after")
    def _fits(self) -> CachePlan:
        if self.entry_bytes > self.max_bytes:
            raise ValueError("entry_bytes is more than max_bytes, so that no answer of it fits")
        return self


def cache_problems(
    cache: CachePlan | None, tasks: Sequence[str], raised_by_alert: bool
) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """What is wrong with the section beside the rest of the plan: where, what, and the mend."""
    if raised_by_alert and (cache is None or cache.raised is None):
        yield (
            ("alerts", "latency", "raise_caching"),
            "the plan does not say to what caching is raised",
            "name it under cache.raised, or leave raise_caching out",
        )
    if cache is None:
        return
    for name in cache.tasks:
        if name not in tasks:
            yield ("cache", "tasks", name), "no task of that name", f"known: {', '.join(tasks)}"
    for name in () if cache.semantic is None else cache.semantic.tasks:
        if name not in tasks:
            where = ("cache", "semantic", "tasks", name)
            yield where, "no task of that name", f"known: {', '.join(tasks)}"
        elif not _keeps(cache, name) and cache.raised is None:
            where = ("cache", "semantic", "tasks", name)
            yield (
                where,
                "no answer of it is kept",
                f"set cache.tasks.{name}.enabled, or leave it out",
            )
    if not cache.enabled and cache.raised is None and not any(
        each.enabled for each in cache.tasks.values()
    ):  # fmt: skip
        yield (
            ("cache", "enabled"),
            "nothing is kept: it is off, for every task, and nothing raises it",
            "leave the section out, or name a task or cache.raised",
        )


def _keeps(cache: CachePlan, task: str) -> bool:
    said = cache.tasks[task].enabled if task in cache.tasks else None
    return cache.enabled if said is None else said
