"""What the API's routes tell somebody at a page, read again after a while."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from service.console.calling import Refused
from service.console.looker import Gone, Looker

EVERY_S = 4.0
PATIENCE_S = 0.5


async def told(looker: Looker, path: str, every_s: float = EVERY_S) -> Any:
    """What a route shows at once; raises Refused."""
    kept, now_s = looker.kept.get(path), looker.runtime.clock.monotonic_s()
    if kept is None or now_s - kept[0] >= every_s:
        kept = now_s, (await looker.look(path)).content
        looker.kept[path] = kept
    return kept[1]


@dataclass(slots=True)
class Report:
    """What a route shows that takes its time. ``content``: None until it is there, and where it
    cannot be had.
    """

    content: Any = None
    begun_s: float = 0.0
    task: asyncio.Task[Any] | None = None

    @property
    def pending(self) -> bool:
        """Whether it is being read."""
        return self.task is not None and not self.task.done()


async def report(looker: Looker, name: str, path: str, every_s: float) -> Report:
    """It is read beside the page, which waits for a moment alone. ``name``: under which it is kept,
    since its path changes with the time.
    """
    kept: Report = looker.kept.setdefault(name, Report())
    now_s = looker.runtime.clock.monotonic_s()
    if kept.task is None or (kept.task.done() and now_s - kept.begun_s >= every_s):
        kept.begun_s, kept.task = now_s, asyncio.create_task(_read(looker, path))
    if kept.content is None:
        await asyncio.wait({kept.task}, timeout=PATIENCE_S)
    if kept.task.done():
        kept.content = kept.task.result()
    return kept


async def _read(looker: Looker, path: str) -> Any:
    try:
        return (await looker.look(path)).content
    except (Refused, Gone):
        return None
