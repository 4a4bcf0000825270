"""The eta follows the line, the measured pace and the earliest moment of a try."""

from __future__ import annotations

import pytest

from service.queueing.pace import FIRST_S, NEWS, Pace
from tests.conftest import HandClock


def test_the_eta_grows_with_the_line_and_with_the_wait() -> None:
    pace = Pace(HandClock(), workers=2)
    assert pace.eta_s(0, 0.0) == FIRST_S / 2
    assert pace.eta_s(9, 0.0) == 10 * pace.eta_s(0, 0.0)
    assert pace.eta_s(9, 30.0) == pace.eta_s(9, 0.0) + 30.0
    assert pace.eta_s(0, -5.0) == pace.eta_s(0, 0.0)


def test_the_pace_is_measured_while_there_is_work() -> None:
    clock = HandClock()
    pace = Pace(clock, workers=1)
    pace.working()
    for _ in range(100):
        clock.advance(0.5)
        pace.completed()
    assert pace.each_s == pytest.approx(0.5, abs=0.01)
    pace.idle()
    clock.advance(3_600.0)
    pace.working()
    clock.advance(0.5)
    pace.completed()
    assert pace.each_s == pytest.approx(0.5, abs=0.01), "the idle hour is nobody's"
    before = pace.each_s
    clock.advance(10.0)
    pace.completed()
    assert pace.each_s == pytest.approx(before + NEWS * (10.0 - before))
