"""Decisions sought and listed, and one of them told as a story: who, why, why not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from learning.reward import Reward, RewardScale, value
from service.domain.clock import parse_id
from service.feedback.credit import rated_quality
from service.runtime import Runtime
from service.storage import lookups
from service.storage.cases import Case
from service.storage.errors import StorageError
from service.storage.lookups import Found, Sought

MOST = 100
HOUR_US = 3_600_000_000
SPANS = {"1": "the last hour", "24": "the last day", "168": "the last week"}


def latest(runtime: Runtime, most: int) -> list[Found]:
    """The newest decisions that are in memory."""
    return [_found(each) for each in runtime.kept.cases.latest(most)]


def _found(case: Case) -> Found:
    made, outcome = case.decision, case.outcome
    came = (None, None, None, None) if outcome is None else (
        outcome.deployment, outcome.status, outcome.latency_s, outcome.usage.cost_micro_usd
    )  # fmt: skip
    return Found(
        made.id, made.at_us, made.task, made.caller.tenant, made.deployment, made.propensity,
        made.mode.value, *came,
    )  # fmt: skip


async def sought(runtime: Runtime, asked: Mapping[str, str]) -> list[Found] | None:
    """What is sought, newest first; None where the log cannot be read now."""
    hours = int(asked["hours"]) if asked.get("hours") in SPANS else 1
    now_us = runtime.clock.wall_us()
    equal = {name: asked[name] for name in lookups.SOUGHT if asked.get(name)}
    wanted = Sought(now_us - hours * HOUR_US, now_us, equal, asked.get("failed") == "1")
    cursor = runtime.kept.database.cursor
    try:
        return await asyncio.to_thread(lambda: lookups.decisions(cursor(), wanted, MOST))
    except StorageError:
        return None


def named(asked: Mapping[str, str]) -> str | None:
    """The decision whose id (or response id) was given, if one was."""
    return parse_id(asked.get("id", "").strip())


_OUT = {
    "override": "an operator excludes it now",
    "rate_limit": "its provider's limit a minute was used up",
    "context_window": "the request is longer than its context window",
    "max_output_tokens": "the answer may be longer than it can give",
    "task": "the plan does not let it serve this task",
    "rule": "a rule of the plan keeps it from such requests",
    "caller": "the caller left it out",
    "bounds": "it is beyond the bounds that the request sets",
    "soft_budget": "a budget is spent to its soft limit, and this one is dearer than the cheapest",
    "later_tier": "its tier waits behind the one that was drawn from",
    "in_no_tier": "it stands in no tier",
    "experiment": "an experiment's variant leaves it out",
    "unknown_to_version": "the version that decided does not know it yet",
    "ejected": "its breaker was open: it had failed too often",
    "probing": "its breaker was half open, and its one try was under way",
    "silent": "it did not answer the calls that were under way",
    "cooling": "it had asked to be left alone for a while",
    "busy": "as many calls as it can take were under way",
    "filling": "it was nearly full",
    "throttled": "its provider failed so often that calls were held back",
}  # fmt: skip
_REASONS = {
    "policy": "the policy thought most of it",
    "exploration": "others had a greater chance; it was drawn to go on learning about it",
    "experiment": "an experiment's variant decides this",
    "holdout": "it belongs to the part of the traffic that no experiment touches",
}


def why_out(reason: str) -> str:
    """Why somebody left before the draw, in plain words."""
    if reason.startswith("lacks "):
        return f"it cannot do what is asked: {reason.removeprefix('lacks ')}"
    return _OUT.get(reason, reason.replace("_", " "))


def why(reason: str) -> str:
    """Why the chosen one was chosen, in plain words."""
    return _REASONS.get(reason, reason.replace("_", " "))


@dataclass(frozen=True, slots=True)
class Stood:
    """One that could be drawn, and what was thought of it."""

    deployment: str
    propensity: float
    quality: float | None
    cost_usd: float | None
    latency_s: float | None
    error_rate: float | None
    utility: float | None


def stood(case: Case) -> list[Stood]:
    """Who stood how, the likeliest first."""
    c = case.decision.candidates
    known = bool(c.utility)
    rows = [
        Stood(
            name, c.propensities[i],
            *((part[i] if known else None) for part in
              (c.quality, c.cost_usd, c.latency_s, c.error_rate, c.utility)),
        )
        for i, name in enumerate(c.names)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: -row.propensity)


def reward(runtime: Runtime, case: Case) -> tuple[float | None, float | None] | None:
    """What is learned of it so far: the reward and the quality in it; None under way."""
    rules, outcome = runtime.plan.reward, case.outcome
    if outcome is None:
        return None
    quality = rated_quality(case.feedback, rules.metric)
    parts = Reward(quality, outcome.usage.cost_micro_usd / 1e6, outcome.latency_s, None,
                   outcome.status >= 500)  # fmt: skip
    return value(parts, RewardScale(rules.worth_usd, rules.patience_s)), quality
