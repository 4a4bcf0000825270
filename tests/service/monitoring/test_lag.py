"""The lag watch sees a loop that is held, by how long, and forgets it in a second."""

from __future__ import annotations

import asyncio
import time

import pytest

from service.monitoring.lag import EVERY_S, LoopLag


async def test_it_sees_a_held_loop_and_a_free_one() -> None:
    lag = LoopLag()
    lag.start()
    await asyncio.sleep(2.5 * EVERY_S)
    time.sleep(0.4)  # the loop is held
    await asyncio.sleep(1.5 * EVERY_S)
    lag.stop()
    assert lag.greatest_s > 0.25
    assert 0.0 < lag.average_s < lag.greatest_s
    seen = lag.greatest_s
    await asyncio.sleep(1.5 * EVERY_S)
    assert lag.greatest_s == seen, "it has stopped"


def test_a_long_stall_weighs_by_its_length() -> None:
    lag = LoopLag()
    lag.saw(3.0)
    assert lag.average_s == pytest.approx(3.0 * (1.0 - 0.045), rel=0.01)
    for _ in range(round(1.0 / EVERY_S)):
        lag.saw(0.0)
    assert lag.average_s == pytest.approx(3.0 * 0.955 * 0.368, rel=0.01)
    assert (lag.last_s, lag.greatest_s) == (0.0, 3.0)


def test_steady_lateness_is_the_average() -> None:
    lag = LoopLag()
    for _ in range(200):
        lag.saw(0.05)
    assert lag.average_s == pytest.approx(0.05)
