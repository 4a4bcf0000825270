"""What saves money: in a time by the log, and as kept answers and batches stand now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from service.console.looker import Looker
from service.console.reading.routes import Report, report
from service.domain.records import Override
from service.domain.will import Action
from service.runtime import Runtime

CACHE, BATCHES = "/admin/cache", "/admin/batches?limit=60"
REPORT_S = 60.0
LIVE = ("in_progress", "cancelling")
ENDED = 5  # batches that are shown after they have ended
HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Kept:
    """How answers of a task are kept: whether, for how long, and what that brought."""

    task: str
    enabled: bool
    raised: bool
    ttl_s: float
    hits: int
    shared: int
    misses: int
    saved_usd: float

    @property
    def hit_rate(self) -> float | None:
        """Of its requests that asked; None without any."""
        asked = self.hits + self.shared + self.misses
        return (self.hits + self.shared) / asked if asked else None


async def since(looker: Looker, path: str, hours: int) -> Report:
    """What a route tells of the last hours."""
    at_us = looker.runtime.clock.wall_us() - hours * HOUR_US
    moment = datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return await report(looker, path, f"{path}?since={moment}", REPORT_S)


def raising(runtime: Runtime) -> list[Override]:
    """The overrides that raise caching now."""
    return [each for each in runtime.operating.holding if each.action == Action.RAISE_CACHING]


def kept_by_task(runtime: Runtime, found: Mapping[str, Any]) -> list[Kept]:
    """Every task of the plan, with what the route tells of it."""
    caching = runtime.caching
    if caching is None:
        return []
    seen = {each["task"]: each for each in found["tasks"]}
    laid = {each.task for each in raising(runtime) if not each.tenant and not each.tier}
    rows = []
    for task in runtime.plan.task_names:
        mine = seen.get(task, {})
        up = not laid.isdisjoint(("", task))
        rule = caching.rules.of(task, up)
        rows.append(
            Kept(task, rule.enabled, up, rule.ttl_s, mine.get("hits", 0), mine.get("shared", 0),
                 mine.get("misses", 0), mine.get("saved_usd_estimate", 0.0))
        )  # fmt: skip
    return rows


def by_deployment(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of days added up by deployment, those that saved most first."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        mine = found.setdefault(row["deployment"], {"deployment": row["deployment"]})
        for name, value in row.items():
            if name not in ("day", "deployment"):
                mine[name] = mine.get(name, 0) + value
    return sorted(found.values(), key=lambda each: (-each["net_micro_usd"], each["deployment"]))


def shown_batches(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those under way, the first due first; then the latest that have ended."""
    live = [each for each in found["batches"] if each["status"] in LIVE]
    ended = [each for each in found["batches"] if each not in live]
    return [*sorted(live, key=lambda each: each["expires_at"]), *ended[:ENDED]]
