"""Extra calls stay a tenth of the requests; who is overloaded is held back from."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.routing.retries import RetryBudget, Throttle


def test_a_tenth_of_the_requests_and_a_reserve() -> None:
    budget = RetryBudget(share=0.1, reserve=20.0, per_s=0.0)
    for number in range(10_000):
        budget.requested(number / 1_000)
        budget.spend(number / 1_000)
    assert 1_000 <= budget.spent <= 1_020 and budget.refused == 10_000 - budget.spent


def test_deposits_expire_and_the_reserve_comes_back() -> None:
    budget = RetryBudget(share=0.1, reserve=2.0, per_s=0.5)
    for _ in range(100):
        budget.requested(0.0)
    assert budget.balance(9.0) == pytest.approx(12.0)
    assert budget.balance(11.0) == pytest.approx(2.0)
    assert budget.spend(11.0) and budget.spend(11.0) and not budget.spend(11.0)
    assert not budget.spend(12.0) and budget.spend(13.0)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 3.0)), max_size=200))
def test_no_history_of_calls_spends_more_than_it_may(steps: list[tuple[bool, float]]) -> None:
    budget, now_s, requests = RetryBudget(0.1, 5.0, 0.5), 0.0, 0
    for request, pause_s in steps:
        now_s += pause_s
        if request:
            budget.requested(now_s)
            requests += 1
        else:
            budget.spend(now_s)
        assert budget.spent <= 0.1 * requests + 5.0 + 0.5 * now_s + 1e-6
        assert budget.balance(now_s) >= 0.0


def test_throttling_follows_the_formula() -> None:
    throttle = Throttle(k=2.0)
    for _ in range(100):
        throttle.ended(True, 0.0)
    assert throttle.chance(0.0) == 0.0
    for _ in range(300):
        throttle.ended(False, 5.0)
    assert throttle.chance(5.0) == (400 - 200) / 401
    assert throttle.chance(115.0) == (400 - 200) / 401
    assert throttle.chance(121.0) == 0.0  # two minutes forget
    for _ in range(19):
        throttle.ended(False, 130.0)
    assert throttle.chance(130.0) == 0.0  # too few to say
    throttle.ended(False, 130.0)
    assert throttle.chance(130.0) == 20 / 21
    assert throttle.chance(10_000.0) == 0.0
