"""The limit shrinks when answers slow down and grows back when they do not."""

from __future__ import annotations

from service.routing.concurrency import LEAST, START, AdaptiveLimit


def answers(limit: AdaptiveLimit, latency_s: float, windows: int, now_s: float, busy: int) -> float:
    """So many windows of answers with ``busy`` calls in flight; the time after it."""
    for _ in range(windows * 20):
        while limit.in_flight < busy:
            limit.began(now_s)
        now_s += 0.011
        limit.ended(now_s, latency_s)
    return now_s


def test_steady_answers_leave_room_and_slow_ones_take_it() -> None:
    limit = AdaptiveLimit(most=500)
    now_s = answers(limit, 1.0, 5, 0.0, busy=150)
    grown = limit.limit
    assert START < grown <= 500
    now_s = answers(limit, 4.0, 10, now_s, busy=150)
    assert limit.limit < grown / 3
    now_s = answers(limit, 1.0, 40, now_s, busy=150)
    assert limit.limit > grown / 2


def test_an_idle_limit_does_not_grow() -> None:
    limit = AdaptiveLimit()
    answers(limit, 1.0, 10, 0.0, busy=2)
    assert limit.limit == START


def test_refusals_for_load_take_a_tenth_and_never_all() -> None:
    limit = AdaptiveLimit()
    limit.began(0.0)
    limit.ended(0.0, overloaded=True)
    assert limit.limit == START * 0.9
    limit.ended(0.1, overloaded=True)  # the same moment's storm counts once
    assert limit.limit == START * 0.9
    for second in range(1, 200):
        limit.ended(float(second), overloaded=True)
    assert limit.limit == LEAST and not limit.full
    for _ in range(LEAST):
        limit.began(200.0)
    assert limit.full


def test_many_that_wait_in_silence_are_noticed_and_any_sign_ends_it() -> None:
    limit = AdaptiveLimit()
    now_s = answers(limit, 0.5, 3, 0.0, busy=1)
    assert abs((limit.p95(now_s + 1.0) or 0.0) - 0.5) < 1e-9
    for _ in range(8):
        limit.began(now_s)
    assert not limit.silent(now_s + 0.9, 8, 0.5)
    assert limit.silent(now_s + 1.1, 8, 0.5) and not limit.silent(now_s + 1.1, 9, 0.5)
    assert not limit.silent(now_s + 1.1, 8, 1.2)
    limit.heard(now_s + 1.1)
    assert not limit.silent(now_s + 1.1, 8, 0.5)
