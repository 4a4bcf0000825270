"""Single flight: one leads; who waits is given its answer, goes alone, or leads after it."""

from __future__ import annotations

import asyncio

import pytest

from service.caching.flights import Alone, Flights


def test_who_waits_is_given_the_answer_and_later_ends_change_nothing() -> None:
    async def go() -> None:
        flights: Flights[str] = Flights()
        flight = flights.begin("a")
        waiting = [asyncio.create_task(flight.wait(5.0)) for _ in range(50)]
        await asyncio.sleep(0)
        assert flight.waiting == 50 and flights.of("a") is flight
        flight.give("it")
        flight.fail()
        flight.alone()
        assert await asyncio.gather(*waiting) == ["it"] * 50
        assert flights.of("a") is None and flight.waiting == 0

    asyncio.run(go())


def test_one_leads_after_a_failure_and_one_that_leaves_takes_nobody_along() -> None:
    async def go() -> None:
        flights: Flights[str] = Flights()
        first = flights.begin("a")
        led: list[int] = []

        async def follow(number: int) -> str:
            while (flight := flights.of("a")) is not None:
                found = await flight.wait(5.0)
                if found is not None:
                    return found
            flight = flights.begin("a")
            led.append(number)
            await asyncio.sleep(0)
            flight.give(f"of {number}")
            return "led"

        tasks = [asyncio.create_task(follow(number)) for number in range(5)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        first.fail()
        found = await asyncio.gather(*tasks[1:])
        assert led == [1] and sorted(found) == ["led", "of 1", "of 1", "of 1"]
        assert len(flights) == 0

    asyncio.run(go())


def test_time_runs_out_and_what_is_not_for_others() -> None:
    async def go() -> None:
        flights: Flights[str] = Flights()
        flight = flights.begin("a")
        with pytest.raises(TimeoutError):
            await flight.wait(0.0)
        waiting = asyncio.create_task(flight.wait(5.0))
        await asyncio.sleep(0)
        flight.alone()
        with pytest.raises(Alone):
            await waiting

    asyncio.run(go())
