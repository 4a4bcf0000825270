"""What is measured of answers for like questions, and when a task is put off for it."""

from __future__ import annotations

import numpy as np

from service.caching.false_hits import MOST_EVENTS, FalseHits


def fed(rate: float, count: int, seed: int, allowed: float = 0.1) -> FalseHits:
    found, chance = FalseHits(), np.random.default_rng(seed)
    for _ in range(count):
        found.saw(bool(chance.random() < rate))
        if len(found.events) % 20 == 0:
            found.judge(allowed)
    return found


def test_a_task_that_holds_its_bound_stays_on() -> None:
    """At a fifth of what is allowed; each play is put off wrongly with 5% at the very most."""
    found = fed(0.02, 300, 1)
    assert not found.off and found.rate is not None and found.rate.held
    assert found.rate.interval.high <= 0.1


def test_a_task_whose_answers_are_wrong_too_often_is_off_and_stays_so() -> None:
    found = fed(0.4, 200, 2)
    assert found.off
    why = found.off
    for _ in range(100):
        found.saw(False)
    assert found.judge(0.1) == "" and found.off == why
    found.again()
    assert not found.off and not found.events


def test_a_task_that_turns_bad_late_is_found_out() -> None:
    found = fed(0.02, 400, 3)
    assert not found.off
    for _ in range(12):
        found.saw(True)
    assert "rose" in found.judge(0.1)


def test_nothing_is_said_of_nothing_and_the_count_is_bounded() -> None:
    found = FalseHits()
    assert found.judge(0.1) == "" and found.rate is None
    for _ in range(MOST_EVENTS + 5):
        found.saw(False)
    assert len(found.events) == 5
