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
        self._jobs = {job.name: job for job in jobs}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._started = False
        self.failures: dict[str, str] = {}

    @property
    def jobs(self) -> tuple[Job, ...]:
        """What is done by the clock."""
        return tuple(self._jobs.values())

    def start(self) -> None:
        """Start all jobs on the running loop."""
        self._started = True
        for job in self._jobs.values():
            self._tasks[job.name] = asyncio.create_task(self._repeat(job), name=job.name)

    def put(self, job: Job) -> None:
        """Do a job from now on, in place of the one of that name; with no time it is ended."""
        before = self._jobs.pop(job.name, None)
        if job.every_s:
            self._jobs[job.name] = job
        if before is not None and before.every_s == job.every_s:
            return  # the one that runs may be at its work
        task = self._tasks.pop(job.name, None)
        if task is not None:
            task.cancel()
        if job.every_s and self._started:
            self._tasks[job.name] = asyncio.create_task(self._repeat(job), name=job.name)

    async def stop(self) -> None:
        """End all jobs."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
