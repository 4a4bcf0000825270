"""Jobs run by the clock; one that fails says so and goes on."""

from __future__ import annotations

import asyncio

from service.scheduler import Job, Scheduler


async def test_a_failing_job_goes_on_and_is_told() -> None:
    runs = []

    async def work() -> None:
        runs.append(len(runs))
        if len(runs) == 2:
            raise ValueError("once")

    scheduler = Scheduler([Job("work", 0.01, work)])
    scheduler.start()
    while len(runs) < 2:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0)
    assert scheduler.failures == {"work": "ValueError"}
    while len(runs) < 4:
        await asyncio.sleep(0.005)
    assert scheduler.failures == {}
    await scheduler.stop()
    count = len(runs)
    await asyncio.sleep(0.05)
    assert len(runs) == count
