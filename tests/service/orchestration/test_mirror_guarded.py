"""Nobody sees a mirrored prompt, or judges it, who may not: by region, promise, or a reload."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from service.domain.clock import SystemClock
from service.domain.experiments import Shadow, ShadowDecision
from service.orchestration.mirror import Mirror, MirrorParts
from service.routing.dispatch import Bounds, Dispatcher, Means
from service.storage.event_log import EventLog
from tests.service.routing.test_never_crossed import Book, Chancy, event_log, served
from tests.service.routing.world import World, ask, deployment

__all__ = ["event_log"]  # the fixture


@pytest.mark.parametrize(("region", "sees"), [("us", False), ("eu", True)])
def test_nobody_judges_a_prompt_that_he_may_not_see(
    event_log: EventLog, region: str, sees: bool
) -> None:
    tasks = frozenset({"code"})  # left for a mere preference, he may judge
    catalog = (deployment("one", region="eu"), deployment("two", region="eu"),
               deployment("judge", region=region, tasks=tasks))  # fmt: skip
    world, provider = World(of=(catalog, ())), Chancy([None])
    dispatcher = Dispatcher(
        Means(catalog, {"openai": provider}, world.router.alternatives, world.fleet, Book(),
              SystemClock(), Bounds((5.0,), 5.0, 5.0))
    )  # fmt: skip
    shadow = Shadow("s", 0, "v2", 1.0, 1.0, 10**9, "judge", "ann", "to see what it does")

    async def play() -> None:
        parts = MirrorParts(lambda: dispatcher, list, lambda: False, event_log, SystemClock())
        mirror = Mirror(parts)
        mirror.watch(shadow, 0)
        mirror.pick = lambda _: shadow
        request = ask(headgate={"region": "eu"})
        decision = await served(world, dispatcher, request, mirror)
        other = "two" if decision.deployment == "one" else "one"
        mirror.turn([ShadowDecision(decision.id, 0, "v2", 1, other, 1.0, ("one", "two"),
                                    (0.5, 0.5), 0.5, (), (), True)])  # fmt: skip
        async with asyncio.timeout(30):
            while mirror.under_way:
                await asyncio.sleep(0.001)
        assert (("judge", True) in provider.calls) is sees
        assert (other, False) in provider.calls
        await mirror.stop()

    asyncio.run(play())


def test_a_mirror_does_not_follow_a_deployment_to_another_region(event_log: EventLog) -> None:
    catalog = (deployment("one", region="eu"), deployment("two", region="eu"))
    world, provider = World(of=(catalog, ())), Chancy([None])
    means = Means(catalog, {"openai": provider}, world.router.alternatives, world.fleet, Book(),
                  SystemClock(), Bounds((5.0,), 5.0, 5.0))  # fmt: skip
    moved = tuple(replace(each, region="us") for each in catalog)
    dispatchers = [Dispatcher(means), Dispatcher(replace(means, catalog=moved))]
    shadow = Shadow("s", 0, "v2", 1.0, 1.0, 10**9, "", "ann", "to see what it does")

    async def play() -> None:
        parts = MirrorParts(lambda: dispatchers[0], list, lambda: False, event_log,
                            SystemClock())  # fmt: skip
        mirror = Mirror(parts)
        mirror.watch(shadow, 0)
        mirror.pick = lambda _: shadow
        decision = await served(world, dispatchers[0], ask(headgate={"region": "eu"}), mirror)
        dispatchers.pop(0)  # the plan is read again
        other = "two" if decision.deployment == "one" else "one"
        mirror.turn([ShadowDecision(decision.id, 0, "v2", 1, other, 1.0, ("one", "two"),
                                    (0.5, 0.5), 0.5, (), (), True)])  # fmt: skip
        async with asyncio.timeout(30):
            while mirror.under_way:
                await asyncio.sleep(0.001)
        assert [name for name, _ in provider.calls] == [decision.deployment]
        assert mirror.counts("v2")["its region or data policy has changed"] == 1
        await mirror.stop()

    asyncio.run(play())
