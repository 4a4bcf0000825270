"""What happens by the clock: weights, expiries, publication, refits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

log = logging.getLogger("headgate.scheduler")


@dataclass(frozen=True, slots=True)
class Job:
    """Something done every so many seconds."""

    name: str
    every_s: float
    run: Callable[[], Awaitable[None]]


class Scheduler:
    """One task a job; a job that fails says so and goes on at its next turn."""

    def __init__(self, jobs: list[Job]) -> None:
        self._jobs = jobs
        self._tasks: list[asyncio.Task[None]] = []
        self.failures: dict[str, str] = {}

    def start(self) -> None:
        """Start all jobs on the running loop."""
        self._tasks = [asyncio.create_task(self._repeat(job), name=job.name) for job in self._jobs]

    async def stop(self) -> None:
        """End all jobs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repeat(self, job: Job) -> None:
        while True:
            await asyncio.sleep(job.every_s)
            try:
                await job.run()
                self.failures.pop(job.name, None)
            except Exception as error:  # the clock goes on whatever one job meets
                if job.name not in self.failures:
                    log.exception("the job %s failed", job.name)
                self.failures[job.name] = type(error).__name__
