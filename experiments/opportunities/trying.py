"""How a change is tried: an experiment's design, or what to put into the plan."""

from __future__ import annotations

import re
from dataclasses import dataclass

from experiments.design import Experiment, Guardrail, Variant
from experiments.opportunities.changes import Batch, Cache, Cap, Change, Price, Skip, Tier


@dataclass(frozen=True, slots=True)
class Trial:
    """``design``: of an experiment; None where the plan is changed. ``plan``: the fragment (YAML).
    ``words``: what to do with it.
    """

    design: Experiment | None
    plan: str
    words: str


def trial(change: Change) -> Trial:
    """The one step by which a change is tried."""
    if isinstance(change, Tier):
        return Trial(_design(change), "", "a draft; nobody is exposed before it is started")
    if isinstance(change, Cache):
        return Trial(None, _cache(change), "put it into the plan and reload; headgate cache show "
                     "tells what it saves")  # fmt: skip
    if isinstance(change, Skip):
        skip = (f"prediction:\n  acceptable: {change.acceptable:g}\n  skip: {{above: "
                f"{change.above:g}, audit: {change.audit:g}, most_bad: 0.1}}\n")  # fmt: skip
        return Trial(None, skip, "put it into the plan and reload; it skips nothing before it has "
                     "proven itself, of all tasks: headgate prediction show")  # fmt: skip
    if isinstance(change, Batch):
        return Trial(None, "", "send these requests as a batch (tags "
                     f"{', '.join(change.tags)}); the deployment's price needs batch_factor: "
                     f"{change.factor:g} for its bill to say so")  # fmt: skip
    if isinstance(change, Cap):
        return Trial(None, _cap(change), "put it into the plan and reload; headgate budget list "
                     "tells what is spent")  # fmt: skip
    assert isinstance(change, Price)
    return Trial(None, "", "nothing to try: it is the provider who sets prices")


def _design(change: Tier) -> Experiment:
    slug = re.sub(r"[^a-z0-9_-]+", "-", f"tier-{change.task}-{change.deployment}".lower())[:64]
    return Experiment(
        slug=slug,
        hypothesis=f"{change.deployment} answers {change.task} as well as the mix, for less",
        variants=(
            Variant("control", 0.5),
            Variant("tier", 0.5, (("tier", f"{change.task}={change.deployment}"),)),
        ),
        goals=("cost_per_request", "quality"),
        guardrails=(
            Guardrail("error_rate", tolerance=0.1, least=50),
            Guardrail("latency_p95", tolerance=0.25, least=50),
        ),
    )  # fmt: skip


def _cache(change: Cache) -> str:
    ttl = f"{change.ttl_s:g}"
    if change.task == "*":
        return f"cache:\n  ttl_s: {ttl}\n  without_temperature: true\n"
    return (
        f"cache:\n  enabled: false\n  tasks:\n    {change.task}: {{enabled: true, ttl_s: {ttl}, "
        "without_temperature: true}\n"
    )


def _cap(change: Cap) -> str:
    of = "" if change.scope == "global" else f", of: {change.name}"
    rest = f"period: {change.per}, hard_usd: {change.cap_micro / 1e6:g}"
    return f"budgets:\n  named:\n    - {{name: tried, scope: {change.scope}{of}, {rest}}}\n"
