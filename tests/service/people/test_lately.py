"""What happened within a day is counted, what is older is forgotten, and little is kept."""

from __future__ import annotations

from service.people.lately import HOURS, Lately
from tests.conftest import HandClock


def test_a_day_is_counted_and_no_more_is_kept() -> None:
    clock = HandClock()
    clock.monotonic = 0.0
    lately = Lately(clock)
    assert lately.counts() == {}
    lately.add("judge")
    for _ in range(3 * HOURS):
        lately.add("policy")
        lately.add("policy")
        clock.advance(3_600.0)
    assert lately.counts() == {"policy": 2 * HOURS} and len(lately._hours) <= HOURS + 1
    clock.advance(23 * 3_600.0)
    assert lately.counts() == {"policy": 2}
    clock.advance(3_600.0)
    assert lately.counts() == {}
