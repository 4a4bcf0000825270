"""The latest start: begun then, every deadline is kept; learned durations lie above the most."""

from __future__ import annotations

import heapq
import random

from hypothesis import given, settings
from hypothesis import strategies as some

from service.batching.slack import Due, Durations, Lanes, latest_starts


def test_what_is_quick_keeps_time_for_another_try() -> None:
    due = [Due("a", "k", 7_200_000_000, 1), Due("b", "k", 7_200_000_000, 300)]
    starts = latest_starts(due[:1], Lanes(4, 2, 0.3, 2.0, 30.0))
    assert starts == {"a": 7_170_000_000}
    assert latest_starts(due, Lanes(4, 2, 0.3, 2.0, 30.0))["b"] == 7_109_400_000


@settings(max_examples=120, derandomize=True, deadline=None)
@given(
    wanted=some.lists(
        some.tuples(some.integers(1, 30), some.integers(0, 400)), min_size=1, max_size=6
    ),
    lanes=some.integers(1, 5),
)
def test_begun_at_the_latest_start_by_the_earliest_deadline_nothing_is_late(
    wanted: list[tuple[int, int]], lanes: int
) -> None:
    """One lane for each request; those of a batch begin when it is urgent and a lane is free."""
    batches = [Due(str(i), "k", spare * 1_000_000, left) for i, (left, spare) in enumerate(wanted)]
    starts = latest_starts(batches, Lanes(lanes, lanes, 3.0))
    free = [min(starts.values())] * lanes  # when each lane is free
    line = sorted(batches, key=lambda each: (each.deadline_us, each.id))
    for each in line:
        for _ in range(each.left):
            begins = max(heapq.heappop(free), starts[each.id])
            ends = begins + 3_000_000
            heapq.heappush(free, ends)
            assert ends <= each.deadline_us
    assert [starts[each.id] for each in line] == sorted(starts.values())


def test_one_keys_lanes_bound_it_alone() -> None:
    batches = [Due("a", "k", 100_000_000, 10), Due("b", "other", 100_000_000, 1)]
    starts = latest_starts(batches, Lanes(10, 1, 5.0))
    assert starts["a"] == 50_000_000 and starts["b"] == 90_000_000
    assert latest_starts(batches, Lanes(10, 1, 5.0, safety=2.0))["a"] == 0


def test_durations_are_learned_and_bound_nearly_all() -> None:
    chance, durations = random.Random(4), Durations(20.0)
    assert durations.most_s == 20.0
    over = 0
    for turn in range(2_000):
        took = chance.lognormvariate(0.0, 0.5)
        over += turn > 50 and took > durations.most_s
        durations.took(took)
    assert over < 100 and durations.most_s < 6.0
