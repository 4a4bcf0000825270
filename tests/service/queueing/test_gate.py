"""One probe while nothing answers, all workers when something does, live requests first."""

from __future__ import annotations

import random

from service.queueing.gate import MOST_S, Gate, Signals, backoff_s
from tests.conftest import HandClock


class Setting:
    """A gate and what it looks at, to be set by hand."""

    def __init__(self, workers: int = 4) -> None:
        self.clock = HandClock()
        self.live, self.answered_s, self.cool_s = 0, float("-inf"), 0.0
        signals = Signals(lambda: self.live, lambda: self.answered_s, lambda: self.cool_s)
        self.gate = Gate(workers, signals, self.clock, random.Random(1))


def test_while_nothing_answers_one_is_tried_at_a_time_ever_more_seldom() -> None:
    here = Setting()
    waits = []
    for _ in range(12):
        assert here.gate.may_start(0) and not here.gate.may_start(1)
        here.gate.refused(None)
        waits.append(here.gate.wait_s())
        assert not here.gate.may_start(0)
        here.clock.advance(waits[-1])
    assert 0.5 <= waits[0] <= 1.0 and MOST_S / 2.0 <= waits[-1] <= MOST_S
    assert waits[:6] == sorted(waits[:6])


def test_what_was_asked_for_is_waited_for_and_so_is_a_cool_down() -> None:
    here = Setting()
    here.gate.refused(40.0)
    here.clock.advance(39.9)
    assert not here.gate.may_start(0)
    here.clock.advance(0.2)
    assert here.gate.may_start(0)
    here.cool_s = 9.0
    assert not here.gate.may_start(0) and here.gate.wait_s() == 9.0


def test_an_answer_opens_it_and_a_failure_shuts_it() -> None:
    here = Setting()
    here.gate.answered()
    assert here.gate.may_start(3) and not here.gate.may_start(4)
    here.gate.refused(None)
    assert not here.gate.open and not here.gate.may_start(0)
    here.answered_s = here.clock.monotonic + 1.0  # a live request was answered after that
    assert here.gate.open and here.gate.wait_s() == 0.0


def test_live_requests_go_first_down_to_one_worker() -> None:
    here = Setting()
    here.gate.answered()
    here.live = 3
    assert here.gate.may_start(0) and not here.gate.may_start(1)
    here.live = 200
    assert here.gate.may_start(0) and not here.gate.may_start(1)


def test_many_failing_callers_do_not_put_the_next_try_off() -> None:
    here = Setting()
    here.gate.callers_refused(5.0)
    first = here.gate.wait_s()
    assert first >= 5.0
    for _ in range(100):
        here.clock.advance(0.02)
        here.gate.callers_refused(5.0)
    assert here.gate.wait_s() <= first - 2.0 + 1e-6


def test_the_wait_doubles_to_its_bound_with_jitter() -> None:
    chance = random.Random(3)
    for turn in range(60):
        whole = min(2.0 * 2.0**turn, 300.0)
        assert whole / 2.0 <= backoff_s(turn, 2.0, 300.0, chance) <= whole
    assert len({backoff_s(5, 2.0, 300.0, chance) for _ in range(10)}) == 10
