"""A small benchmark against a service in this process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from service.benchmarking.findings import Setting, setting_of
from service.benchmarking.journal import Journal
from service.benchmarking.planning import Design
from service.benchmarking.prompts import Item, PromptFile, parse
from service.benchmarking.pupils import Pupils
from service.benchmarking.running import Bounds, Ended, Means, Run
from service.benchmarking.scoring import HttpJudge, Scorers
from service.client import AsyncClient
from service.domain.clock import SystemClock
from service.providers.simulated import Simulated, Stream, Weather

ARMS = ("brook", "fall", "mill", "river")


def prompts(count: int, tasks: Sequence[str] = ("code", "maths")) -> PromptFile:
    """So many a task, exact, each with its two examples."""
    rows: list[dict[str, Any]] = [
        {"id": f"{task}-{at}", "task": task, "prompt": f"Case {at} of {task}: say yes.",
         "scorer": "exact", "reference": "yes", "right": "yes", "wrong": "no", "max_tokens": 200}
        for task in tasks for at in range(count)
    ]  # fmt: skip
    return parse("\n".join(map(json.dumps, rows)).encode(), "made up")


def setting(url: str, key: str) -> Setting:
    """What the service says."""
    found = httpx.get(f"{url}/admin/benchmarks/setting", headers={"Authorization": f"Bearer {key}"})
    assert found.status_code == 200, found.text
    return setting_of(found.json())


def design(file: PromptFile, run_id: str = "run-1", arms: Sequence[str] = ARMS) -> Design:
    """All prompts of a file, once each."""
    ids = tuple(each.id for each in file.items)
    return Design(run_id, file.digest, file.source, file.tasks, tuple(arms), ids, 1, 7, "here")


async def run(
    journal: Journal, file: PromptFile, url: str, key: str, bounds: Bounds | None = None
) -> Ended:
    """Go through it."""
    http = AsyncClient(url, key)
    known = setting(url, key)
    items: dict[str, Item] = {each.id: each for each in file.items}
    means = Means(http, SystemClock(), Scorers(HttpJudge(http)), items, known.candidates,
                  frozenset(known.tasks), known.panel)  # fmt: skip
    try:
        return await Run(journal, means, bounds or Bounds(most_usd=10.0), lambda count: None).go()
    finally:
        await http.close()


def begun(state: Path, file: PromptFile, **more: Any) -> Journal:
    """A new run's journal."""
    return Journal.begun(state, design(file, **more))


class Counting(Pupils):
    """Pupils that keep what each was asked."""

    asked: Counter[tuple[str, str]]

    def answer(self, model: str, prompt: str, tokens_in: int) -> Simulated:
        self.asked[model, prompt] += 1
        return super().answer(model, prompt, tokens_in)


def counting(file: PromptFile, speed: float) -> Counting:
    """Such pupils for a file's prompts, who never fail."""
    world = Counting(Stream(seed=3, speed=speed), file.items)
    world.asked = Counter()
    for name in ARMS:
        world.set_weather(name, Weather(error_rate=0.0))
    return world
