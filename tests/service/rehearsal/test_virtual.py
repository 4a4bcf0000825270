"""Made time: it jumps where nothing works, stands where something does, and runs the same twice."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

from service.domain.clock import Ids, id_time_us, new_id
from service.rehearsal.virtual import SeededIds, VirtualClock, VirtualLoop, play


def made(seed: int = 1) -> tuple[VirtualClock, VirtualLoop, SeededIds]:
    clock = VirtualClock(1_000_000_000_000_000)
    return clock, VirtualLoop(clock), SeededIds(clock, seed)


def test_a_day_passes_at_once_and_timeouts_end_in_their_order() -> None:
    clock, loop, ids = made()
    heard: list[tuple[str, float]] = []

    async def say(word: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        heard.append((word, clock.now_s))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10.0):
                await asyncio.gather(say("one", 3.0), say("two", 7.5), say("never", 86_400.0))
        await asyncio.sleep(86_400.0)

    play(main(), loop, ids)
    assert heard == [("one", 3.0), ("two", 7.5)]
    assert clock.now_s == pytest.approx(86_410.0, abs=1e-6)
    assert clock.wall_us() == 1_000_000_000_000_000 + int(clock.now_s * 1e6)


def test_time_stands_while_a_child_computes_or_a_call_goes_to_a_thread() -> None:
    clock, loop, ids = made()

    async def main() -> str:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import time; time.sleep(0.2)"
        )
        ticking = asyncio.create_task(asyncio.sleep(3_600.0))
        await child.wait()
        assert clock.now_s == 0.0 and not ticking.done()
        ticking.cancel()
        with pytest.raises(KeyError):
            await asyncio.to_thread({}.__getitem__, "missing")
        return await asyncio.to_thread(lambda: "done")

    assert play(main(), loop, ids) == "done"
    assert clock.now_s == 0.0


def test_what_is_to_be_done_before_time_goes_on_is_done_first() -> None:
    clock, loop, ids = made()
    left = [1, 2, 3]
    seen: list[float] = []

    def act() -> bool:
        if not left:
            return False
        left.pop()
        seen.append(clock.now_s)
        return True

    loop.before_time(act)
    play(asyncio.sleep(5.0), loop, ids)
    assert seen == [0.0, 0.0, 0.0] and clock.now_s == 5.0


def test_ids_are_the_same_for_a_seed_in_order_and_of_the_made_time() -> None:
    def drawn(seed: int) -> list[str]:
        _, loop, ids = made(seed)

        async def main() -> list[str]:
            found = [new_id(), new_id()]
            await asyncio.sleep(1.0)
            return [*found, new_id()]

        return play(main(), loop, ids)

    one, other = drawn(1), drawn(2)
    assert one == drawn(1) != other and len(set(one)) == 3 and one == sorted(one)
    assert id_time_us(one[2]) == 1_000_000_001_000_000
    now_us = time.time_ns() // 1000
    assert Ids.make is not None and abs(id_time_us(new_id()) - now_us) < 60_000_000
