"""Names to addresses: one look-up at a time, bounded, from memory when names fail."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp.abc import ResolveResult

from service.providers.resolver import Resolver


def address(host: str, port: int) -> list[ResolveResult]:
    return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET,
                          proto=0, flags=0)]  # fmt: skip


class Names:
    """A resolver to be slowed and broken by hand."""

    def __init__(self) -> None:
        self.asked = 0
        self.down = False
        self.wait = asyncio.Event()
        self.wait.set()

    async def __call__(self, host: str, port: int, family: int) -> list[ResolveResult]:
        self.asked += 1
        await self.wait.wait()
        if self.down:
            raise OSError("no such name")
        return address(host, port)


async def test_callers_of_one_name_share_one_look_up() -> None:
    names = Names()
    names.wait.clear()
    resolver = Resolver(names)
    tasks = [asyncio.create_task(resolver.resolve("a.test", 80)) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[0].cancel()  # one that leaves takes nothing from the others
    await asyncio.sleep(0)
    names.wait.set()
    found = await asyncio.gather(*tasks[1:])
    assert names.asked == 1 and found == [address("a.test", 80)] * 4


async def test_a_slow_look_up_is_bounded_and_goes_on_alone() -> None:
    names = Names()
    names.wait.clear()
    resolver = Resolver(names, bound_s=0.01)
    for _ in range(3):
        with pytest.raises(OSError, match="could not be resolved"):
            await resolver.resolve("a.test", 80)
    assert names.asked == 1, "a name that hangs holds one look-up"
    names.wait.set()
    await asyncio.sleep(0)
    assert await resolver.resolve("a.test", 80) == address("a.test", 80)


async def test_what_was_known_serves_while_names_fail() -> None:
    names = Names()
    resolver = Resolver(names, bound_s=0.05)
    assert await resolver.resolve("a.test", 80) == address("a.test", 80)
    names.down = True
    assert await resolver.resolve("a.test", 80) == address("a.test", 80)
    with pytest.raises(OSError):
        await resolver.resolve("b.test", 80)
    names.wait.clear()
    assert await resolver.resolve("a.test", 80) == address("a.test", 80)
    await resolver.close()


async def test_the_systems_own_resolver() -> None:
    resolver = Resolver()
    found = await resolver.resolve("localhost", 80)
    await resolver.close()
    assert {each["host"] for each in found} <= {"127.0.0.1", "::1"} and found[0]["port"] == 80
