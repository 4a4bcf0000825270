"""Caches, batches, prices and budgets replayed, each beside the plainest way to count it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.errors import CannotSay
from experiments.opportunities.changes import Batch, Cache, Cap, Price
from experiments.opportunities.replaying import batched, hits, patient, refused, repriced
from tests.experiments.opportunities.worlds import FIRST, traffic_of, with_calls, world

S = 1_000_000


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(-1, 3), st.integers(1, 4),
                          st.booleans()), max_size=30), st.integers(1, 20))  # fmt: skip
def test_a_cache_hits_what_a_plain_one_would(
    rows: list[tuple[int, int, int, bool]], ttl: int
) -> None:
    rows.sort(key=lambda row: row[0])
    at = np.array([FIRST + row[0] * S for row in rows], dtype=np.int64)
    took = np.array([row[2] * S for row in rows], dtype=np.int64)
    made = traffic_of(
        at, np.ones(len(rows), np.int64), same=np.array([row[1] for row in rows], np.int64),
        ended_us=at + took, keepable=np.array([row[3] for row in rows], bool),
    )  # fmt: skip
    until: dict[int, int] = {}
    expected = []
    for (_, same, _, good), start, lasted in zip(rows, at.tolist(), took.tolist(), strict=True):
        hit = same >= 0 and start < until.get(same, -1)
        expected.append(hit)
        if same >= 0 and not hit and good:
            until[same] = start + lasted + ttl * S
    assert hits(made, Cache("code", float(ttl))).tolist() == expected
    assert not hits(made, Cache("other", float(ttl))).any()


def test_only_marked_requests_that_nobody_waits_for_are_batched() -> None:
    at = FIRST + np.arange(4, dtype=np.int64)
    made = traffic_of(
        at, np.array([10, 11, 12, 13]), labels=np.array([0, 1, 1, 1]),
        stream=np.array([False, False, True, False]), held=np.array([False, False, False, True]),
    )  # fmt: skip
    rows = patient(made, Batch("code"))
    assert not isinstance(rows, CannotSay) and rows.tolist() == [False, True, False, False]
    assert batched(made.cost, rows, 0.5).tolist() == [0, 5, 0, 0]  # 11 is billed as 6: half up
    tiers = patient(made, Batch("*", tags=(), tiers=("free",)))
    assert not isinstance(tiers, CannotSay) and tiers.tolist() == [True, True, False, False]
    said = patient(made, Batch("code", tags=("slow",)))
    assert isinstance(said, CannotSay) and "mark of patience" in str(said)


def test_new_prices_bill_the_same_tokens_to_the_micro_dollar() -> None:
    made = with_calls(world(1, days=7, a_day=30).traffic)
    taken = repriced(made, Price("wide", 0, 1_000_000))
    assert not isinstance(taken, CannotSay)
    mine = made.deployment == "wide"
    assert (taken[mine] == made.cost[mine] - made.cost[mine] // 2).all()
    assert (taken[~mine] == 0).all()
    assert isinstance(repriced(made, Price("fall", 1, 1)), CannotSay)


def test_a_budget_refuses_what_comes_after_it_is_spent() -> None:
    day = 86_400 * S
    at = FIRST + np.array([0, 1, 2, day, day + 1], dtype=np.int64)
    made = traffic_of(at, np.array([60, 60, 1, 99, 5]))
    cap = Cap("tenant", "acme", 100)
    assert refused(made, made.cost, cap).tolist() == [False, False, True, False, False]
    assert refused(made, made.cost, Cap("global", "", 100, "month")).tolist() == [
        False, False, True, True, True,
    ]  # fmt: skip
    assert not refused(made, made.cost, Cap("key", "other", 1)).any()
