"""The board of trends and its job."""

from __future__ import annotations

import asyncio

from experiments.series import Cell
from service.monitoring.trends import ACT, DAY_US, Told, TrendBoard, notice
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.daily import cells_of, told_of

LOOK_EVERY_S = 300.0  # whether a day is over; only then is anything read
BETWEEN_S = 0.2  # days of a long log, so that the first look is no burst
REMEMBERED_US = 90 * DAY_US


def attach_trends(runtime: Runtime) -> None:
    """Give a runtime its board; what was announced is known from the log."""
    kept, clock = runtime.kept, runtime.clock

    def read(day: int, metric: str) -> list[Cell]:
        return cells_of(kept.database.cursor(), day, day + 1, metric)

    details = told_of(kept.database.cursor(), ACT, clock.wall_us() - REMEMBERED_US)
    told = [Told(_key(each["key"]), int(each["since_day"])) for each in details]
    runtime.trends = TrendBoard(read, lambda: runtime.plan.reward.metric, kept.log, clock, told)
    runtime.scheduler.put(Job("trends", LOOK_EVERY_S, lambda: look(runtime)))


async def look(runtime: Runtime) -> None:
    """Read the days that are over, judge, and tell of what is new and severe."""
    for day in runtime.trends.due():
        await asyncio.to_thread(runtime.trends.take, day)
        await asyncio.sleep(BETWEEN_S)
    for each in await asyncio.to_thread(runtime.trends.judge):
        if runtime.notifier is not None:
            runtime.notifier.announce(notice(each))


def _key(parts: list[object]) -> tuple[str, str, str, bool]:
    metric, deployment, task, rose = parts
    return str(metric), str(deployment), str(task), bool(rose)
