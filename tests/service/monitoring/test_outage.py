"""An outage is told once at its beginning and once at its end, however it flaps."""

from __future__ import annotations

import pytest

from service.monitoring.outage import CALM_S, IN_A_ROW, STEADY_S, Outage, OutageWatch
from tests.conftest import HandClock


class Watched:
    """A watch and what it told."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.watch = OutageWatch(self.clock)
        self.told: list[Outage] = []
        self.watch.tell = self.told.append

    def fail(self, times: int = 1, every_s: float = 0.01) -> None:
        for _ in range(times):
            self.clock.advance(every_s)
            self.watch.failed("upstream_unavailable", "all are down")

    def answer(self, times: int = 1, every_s: float = 0.01) -> None:
        for _ in range(times):
            self.clock.advance(every_s)
            self.watch.answered()


@pytest.fixture
def here() -> Watched:
    return Watched()


def test_F30_told_once_at_the_beginning_and_once_at_the_end(here: Watched) -> None:
    here.answer(50)
    here.fail(IN_A_ROW - 1)
    assert here.told == [], "a stray failure among answers is no outage"
    here.fail(500)
    assert len(here.told) == 1 and here.told[0].lasted_s is None
    assert here.told[0].failed == IN_A_ROW and here.told[0].reason == "all are down"
    assert here.watch.current is not None and "all are down" in here.watch.warnings()[0]
    began_s = here.clock.monotonic
    here.answer(10)
    here.clock.advance(STEADY_S - 1.0)
    here.watch.look()
    assert len(here.told) == 1, "not before it has held for a while"
    here.clock.advance(1.0)
    here.watch.look()
    assert len(here.told) == 2 and here.watch.current is None and here.watch.warnings() == []
    ended = here.told[1]
    assert ended.failed == IN_A_ROW + 500 - (IN_A_ROW - (IN_A_ROW - 1))
    assert ended.lasted_s is not None and ended.lasted_s >= here.clock.monotonic - began_s
    here.fail(IN_A_ROW)
    assert len(here.told) == 3, "armed again"


def test_with_nobody_else_answered_the_first_failure_is_news(here: Watched) -> None:
    here.answer()
    here.clock.advance(CALM_S)
    here.fail()
    assert len(here.told) == 1


def test_F31_one_that_flaps_is_one_outage(here: Watched) -> None:
    here.fail(IN_A_ROW)
    for _ in range(2_000):
        here.answer(1, 0.05)
        here.fail(1, 0.05)
        here.watch.look()
    assert len(here.told) == 1
    here.answer(int(3 * STEADY_S / 0.05), 0.05)
    assert len(here.told) == 2


def test_a_stray_failure_does_not_keep_it_open(here: Watched) -> None:
    here.fail(IN_A_ROW)
    for _ in range(40):
        here.answer(25, 0.05)
        here.fail(1, 0.05)
    assert [o.lasted_s is None for o in here.told] == [True, False]


def test_H06_the_wall_clock_moves_nothing(here: Watched) -> None:
    here.fail(IN_A_ROW)
    here.answer()
    here.clock.wall += 86_400_000_000
    here.watch.look()
    assert len(here.told) == 1
    here.clock.wall -= 3 * 86_400_000_000
    here.clock.advance(STEADY_S)
    here.watch.look()
    assert len(here.told) == 2 and here.told[1].lasted_s == pytest.approx(STEADY_S, abs=1.0)
