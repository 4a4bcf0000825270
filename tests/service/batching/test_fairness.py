"""Deficit round robin: equal shares whatever requests cost."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some

from service.batching.fairness import Rounds


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    costs=some.lists(
        some.lists(some.integers(1, 9_000), min_size=1, max_size=9), min_size=2, max_size=5
    ),
    turns=some.integers(1, 300),
)  # fmt: skip
def test_who_is_in_line_all_the_time_gets_the_same(costs: list[list[int]], turns: int) -> None:
    rounds, served = Rounds(2_000), [0] * len(costs)
    at = [0] * len(costs)
    for _ in range(turns):
        heads = {str(i): float(each[at[i] % len(each)]) for i, each in enumerate(costs)}
        i = int(rounds.next(heads) or 0)
        served[i] += int(heads[str(i)])
        at[i] += 1
    most = max(max(each) for each in costs)
    assert max(served) - min(served) <= 2 * 2_000 + most


def test_a_big_request_is_served_in_the_end_and_waiting_saves_nothing_up() -> None:
    rounds = Rounds(10)
    assert rounds.next({"a": 1e9}) == "a"
    assert rounds.next({}) is None
    picks = [rounds.next({"a": 10.0, "b": 10.0}) for _ in range(6)]
    assert picks.count("a") == 3
    for _ in range(50):
        assert rounds.next({"a": 10.0}) == "a"
    assert [rounds.next({"a": 10.0, "b": 10.0}) for _ in range(4)].count("b") == 2
