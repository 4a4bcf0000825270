"""Acts of people and of the service, by time, kind and words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from service.domain.records import Act
from service.runtime import Runtime
from service.storage import lookups
from service.storage.errors import StorageError

MOST = 200
HOUR_US = 3_600_000_000
KINDS: Mapping[str, tuple[str, ...]] = {
    "overrides": ("override",), "policy": ("policy", "plan"),
    "experiments": ("experiment", "guardrail"), "health": ("breaker", "outage", "deployment"),
    "alarms": ("alert", "propensities", "trend", "quality"), "reviews": ("review", "refusals"),
}  # fmt: skip


async def acts(runtime: Runtime, hours: int, words: str, kinds: Sequence[str]) -> list[Act] | None:
    """The newest; None where the log cannot be read now."""
    since = runtime.clock.wall_us() - hours * HOUR_US
    cursor, sought = runtime.kept.database.cursor, words.split()[:8]
    try:
        return await asyncio.to_thread(lambda: lookups.acts(cursor(), since, sought, kinds, MOST))
    except StorageError:
        return None
