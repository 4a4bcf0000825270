"""What an operator is warned of now, and what happened that was worth an alert."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from service.domain.records import Act
from service.runtime import Runtime
from service.storage import lookups
from service.storage.errors import StorageError

TOLD = (
    "alert", "outage", "breaker.open", "guardrail", "trend.severe", "propensities",
    "refusals.limited", "plan.refused", "quality",
)  # fmt: skip
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning that stands. ``source``: which part of the service says so."""

    source: str
    text: str


def warnings(runtime: Runtime) -> list[Warned]:
    """What stands now, the gravest first."""
    found: list[tuple[str, list[str]]] = [
        ("service", runtime.ready()),
        ("outage", runtime.outage.warnings()),
        ("propensities", runtime.propensities.warnings()),
        ("guardrails", runtime.experiments.guard.warnings()),
        ("approvals", runtime.kept.approvals.warnings()),
        ("reviews", runtime.refusals.warnings()),
        ("ratings", runtime.responses.warnings()),
        ("trends", runtime.trends.warnings()),
        ("channels", [f"the channel {name} could not be told: {why}"
                      for name, why in runtime.alerts.channels.failures.items()]),
        ("overrides", [*(f"the version pinned by override {each} does not draw yet: {why}"
                         for each, why in runtime.operating.troubles.items()),
                       *runtime.operating.warnings()]),
        ("jobs", [f"the job {name} fails now ({why}); it is tried again at its next turn"
                  for name, why in runtime.scheduler.failures.items()]),
    ]  # fmt: skip
    now_s = runtime.clock.monotonic_s()
    for each in runtime.fleet.standings(now_s):
        if each.state != "closed":
            found.append(
                ("breaker", [f"{each.deployment} is left alone: {each.why or each.state}"])
            )
    return [Warned(source, text) for source, texts in found for text in texts]


async def happened(runtime: Runtime, days: int, most: int) -> list[Act] | None:
    """What the service told of by itself; None where the log cannot be read now."""
    since = runtime.clock.wall_us() - days * DAY_US
    log = runtime.kept.database.cursor
    try:
        return await asyncio.to_thread(lambda: lookups.acts(log(), since, (), TOLD, most))
    except StorageError:
        return None
