"""A service whose deployment offers batches, on a clock turned by hand, beside its provider."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.batching.desk import Wanted
from service.domain.batches import CHAT_ENDPOINT, Batch
from service.providers.simulated import Stream, Weather
from service.simulate import SimulatedProviders
from service.simulate_batches import Trouble
from service.storage.batch_savings import SavingsAsked, batch_savings
from tests.conftest import KEY, HandClock, Server, make_runtime

PLAN = """
deployments:
  - {{name: mill, provider: p, base_url: "{url}/v1", model: mill, context_window: 64000,
     price: {{input_usd_per_mtok: 3, output_usd_per_mtok: 7, batch_factor: 0.5}},
     batch: {{window_s: 3600, cancel_s: 300, poll_s: 30{offer}}}}}
  - {{name: brook, provider: q, base_url: "{url}/v1", model: brook, context_window: 64000,
     price: {{input_usd_per_mtok: 3, output_usd_per_mtok: 7}}}}
policy: {{kind: fixed, parameters: {{arm: mill}}}}
batches: {{longest_s: 172800, most_at_once: 8, most_per_key: 8, first_guess_s: 5}}
console: {{enabled: false}}
budgets: {{named: [{{name: all, scope: global, period: month, hard_usd: {usd}}}]}}
"""


class Provider:
    """The simulated provider, in a thread of its own; it never fails by chance."""

    def __init__(self) -> None:
        world = Stream(seed=3, speed=200.0)
        for name in world.models:
            world.set_weather(name, Weather(error_rate=0.0))
        self.simulated = SimulatedProviders(world)

    @property
    def batches(self) -> Any:
        return self.simulated.batches

    def calm(self, trouble: Trouble | None = None) -> None:
        """Nothing has happened yet; ``trouble``: what goes wrong from now on."""
        self.batches.trouble = trouble or Trouble()
        self.batches.batches.clear()
        self.batches.files.clear()
        self.batches.seen.clear()
        self.batches.submitted = 0
        self.simulated.calls.clear()


@contextmanager
def provider() -> Iterator[tuple[Provider, str]]:
    made = Provider()
    with Server(made.simulated.app()) as server:
        yield made, server.url


class Away:
    """The service's inside, moved on by ``turns``."""

    def __init__(self, state: Path, world: tuple[Provider, str], usd: str = "100") -> None:
        self.clock, self.provider = HandClock(), world[0]
        self.state, self.text = state, PLAN.format(url=world[1], usd=usd, offer="")
        self.open()

    def open(self) -> None:
        self.runtime = make_runtime(self.state, self.text, clock=self.clock)
        assert self.runtime.batches is not None
        self.batching = self.runtime.batches
        found = self.runtime.kept.keys.find(KEY)
        assert found is not None
        self.key = found

    async def begin(self, count: int, window: str = "24h") -> Batch:
        lines = [
            json.dumps({"custom_id": f"n-{n}", "method": "POST", "url": CHAT_ENDPOINT, "body": {
                "model": "auto", "max_tokens": 100,
                "messages": [{"role": "user", "content": f"say {n}"}]}})
            for n in range(count)
        ]  # fmt: skip
        desk = self.batching.desk
        file = await desk.upload(self.key, "f", "\n".join(lines).encode(), None)
        return await desk.create(self.key, Wanted(file.id, CHAT_ENDPOINT, window, 1, {}, ""))

    async def turns(self, count: int = 1, seconds: float = 60.0) -> None:
        """So many turns, each to its end, with time between them."""
        for _ in range(count):
            while True:
                await self.batching.workers.turn()
                if not self.batching.workers.running:
                    break
                await asyncio.sleep(0.002)
            await self.batching.parcels.turn()
            await self.batching.parcels.settled()
            self.clock.advance(seconds)

    async def ended(self, batch: Batch, seconds: float = 60.0, waits: bool = True) -> Batch:
        """Its end. ``waits``: no time passes here while the provider works."""
        for _ in range(300):
            if waits:
                await until(lambda: not self.provider.batches.working)
            found = await self.batching.desk.batch(None, batch.id)
            if found.ended_us is not None:
                return found
            await self.turns(1, seconds)
            await asyncio.sleep(0.005)
        raise AssertionError("it does not end")

    async def told(self, batch: Batch) -> dict[str, dict[str, Any]]:
        """The lines of its files, by their names; each once."""
        found: dict[str, dict[str, Any]] = {}
        for name in (batch.output_file, batch.error_file):
            content = await self.batching.desk.content(self.key, name) if name else b""
            for each in map(json.loads, content.splitlines()):
                assert each["custom_id"] not in found
                found[each["custom_id"]] = each
        return found

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Of the log, all that was told it."""
        self.runtime.kept.log.flush().result(10)
        return self.runtime.kept.database.cursor().execute(sql).fetchall()

    def savings(self) -> dict[str, Any]:
        self.runtime.kept.log.flush().result(10)
        cursor = self.runtime.kept.database.cursor()
        found: dict[str, Any] = batch_savings(cursor, SavingsAsked(0, 1 << 52))["total"]
        return found

    def reserved(self) -> int:
        return sum(each.reserved for each in self.runtime.budgets.book._counters.values())

    def spent(self) -> int:
        return sum(each.spent for each in self.runtime.budgets.book._counters.values())

    async def stop(self) -> None:
        await self.runtime.stop()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for the provider, by the machine's clock."""
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.005)


__all__ = ["PLAN", "Away", "Provider", "provider", "until"]
