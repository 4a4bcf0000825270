"""A plan as the cast of a made-up past: its deployments, tasks, tiers, rules and reward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.offline.past_cast import (
    PROMPTS,
    Cast,
    Member,
    Prompts,
    Tenant,
    Told,
    prompts_of,
    truth_of,
)
from experiments.offline.past_columns import Flags, id_text, ids_at
from experiments.offline.past_policy import LEAST_FLOOR
from learning.features import inspect
from service.domain.catalog import Deployment
from service.domain.errors import PlanInvalid, Problem
from service.plan.whole import Plan
from service.routing.asked import cost_dial

TENANTS = ("northwind", "harbour", "linden", "quarry", "meadow", "foundry", "atlas", "ember")
FEATURES = ("assistant", "search", "editor", "reports", "helpdesk", "batch")
TAGS = (("web",), ("web", "mobile"), (), ("internal",), ("beta", "web"), ("mobile",), (), ("web",))
OFTEN, SELDOM = 0.14, 0.04  # who rates, at the first task and at the last


def cast_of(plan: Plan, catalog: Sequence[Deployment], seed: int, end_us: int) -> Cast:
    """The cast; raises PlanInvalid where the plan's reward has no numbers."""
    members = tuple(
        Member(
            each.name, each.provider, each.price_at(end_us).input_micro_usd_mtok,
            each.price_at(end_us).output_micro_usd_mtok, max(each.prior_latency_s, 0.01),
        )
        for each in catalog
    )  # fmt: skip
    tiers = tuple(plan.tiers) or ("",)
    dials = [plan.dials.tiers.get(tier) for tier in tiers]
    prompts = prompts_of(plan.task_names, seed)
    quality, slope = truth_of(members, len(plan.task_names), seed)
    return Cast(
        members=members,
        tasks=plan.task_names,
        tiers=tiers,
        dials=np.array([1.0 if dial is None else cost_dial(dial) for dial in dials]),
        told=_told(plan),
        floor=min(max(float(plan.policy.parameters.get("floor", 0.0)), LEAST_FLOOR),
                  0.5 / len(members)),
        tenants=_tenants(len(tiers), seed, end_us),
        features=FEATURES,
        prompts=prompts,
        allowed=_allowed(plan, catalog, prompts, tiers),
        quality=quality,
        slope=slope,
        rating_rate=np.round(np.linspace(OFTEN, SELDOM, len(plan.task_names)), 4),
    )  # fmt: skip


def _told(plan: Plan) -> Told:
    metrics = {name: each.scale for name, each in plan.feedback.metrics.items()}
    scale = metrics.get(plan.reward.metric, "labels")
    if scale == "labels":
        problem = Problem(
            "reward.metric", f"{plan.reward.metric} has no numbers to generate",
            "name a metric whose scale is unit or stars",
        )  # fmt: skip
        raise PlanInvalid("the plan", [problem])
    others = [(n, s) for n, s in metrics.items() if n != plan.reward.metric and s != "labels"]
    judged, judged_scale = others[0] if others else ("", "unit")
    return Told(
        plan.reward.metric, scale, judged, judged_scale, plan.reward.worth_usd,
        plan.reward.patience_s,
    )  # fmt: skip


def _tenants(tiers: int, seed: int, end_us: int) -> tuple[Tenant, ...]:
    shares = 1.0 / np.arange(1.0, len(TENANTS) + 1.0) ** 0.9
    rng = np.random.default_rng([seed, 6])
    keys = ids_at(np.full(len(TENANTS), end_us - 400 * 86_400_000_000), rng)
    return tuple(
        Tenant(
            name, float(shares[at] / shares.sum()), at % tiers, id_text(keys[at]),
            (at % len(FEATURES), (at + 1) % len(FEATURES), (at + 3) % len(FEATURES)), TAGS[at],
        )
        for at, name in enumerate(TENANTS)
    )  # fmt: skip


def _allowed(
    plan: Plan, catalog: Sequence[Deployment], prompts: Prompts, tiers: Sequence[str]
) -> Flags:
    """Who may answer each prompt of each task in each tier; where the plan leaves nobody, all."""
    tasks = plan.task_names
    found = np.ones((len(tasks), PROMPTS, len(tiers), len(catalog)), bool)
    names = [each.name for each in catalog]
    conditions = [(rule, rule.condition) for rule in plan.rules]
    for at, each in enumerate(catalog):
        if each.tasks:
            found[[task not in each.tasks for task in tasks], :, :, at] = False
        found[(prompts.tokens_in + prompts.limit) > each.context_window, :, at] = False
    for task, name in enumerate(tasks):
        for number, shape in enumerate(prompts.shapes[task]):
            told = _names(shape)
            for tier, named in enumerate(tiers):
                told["tier"] = named
                for rule, condition in conditions:
                    if rule.task not in (None, name) or (condition and not condition(told)):
                        continue
                    kept = [
                        (not rule.use or each in rule.use) and each not in rule.exclude
                        for each in names
                    ]
                    found[task, number, tier] &= kept
                    break  # the first that holds decides
    found[~found.any(axis=3)] = True
    return found


def _names(shape: Any) -> dict[str, Any]:
    """The values that rules may read, of a request that carries no label."""
    signals = inspect(shape)
    return {
        "word_count": signals.word_count, "tokens": shape.tokens_in, "turns": shape.turns,
        "images": shape.images, "tools": shape.tools, "max_tokens": shape.tokens_out_limit,
        "has_code": signals.has_code, "has_maths": signals.has_maths,
        "json_mode": shape.json_mode, "stream": False, "system": shape.system, "type": "",
        "tenant": "", "feature": "", "tags": (),
    }  # fmt: skip
