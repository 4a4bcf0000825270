"""A schedule without collisions: no bucket is held twice on a day."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.design import BUCKETS
from experiments.errors import CannotSay
from experiments.reviewing.scheduling import SHARES, Held, Sized, Traffic, placed, shown_in, sized

TRAFFIC = Traffic(5_000.0, 0.3, (0.002, 0.002), (0.8, 0.4))


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.floats(1.0, 40.0), max_size=8), st.booleans())
def test_no_bucket_is_held_twice(lengths: list[float], taken: bool) -> None:
    held = [Held("old", 0, 4_000, 1, 10_000)] if taken else []
    for days in lengths:
        found = placed(Sized(0.1, tuple(days / share for share in SHARES)), held, 30)
        if isinstance(found, CannotSay):
            continue
        slot, share = found
        assert slot.stop - slot.first == round(share * BUCKETS) and slot.stop <= BUCKETS
        assert slot.from_day >= 1 and slot.to_day <= 30 and slot.to_day - slot.from_day >= 6
        held.append(slot)
    for one, two in itertools.combinations(held, 2):
        apart = one.to_day < two.from_day or two.to_day < one.from_day
        assert apart or one.stop <= two.first or two.stop <= one.first


def test_more_to_show_takes_longer_and_a_larger_share_less() -> None:
    small, large = sized(0.02, TRAFFIC), sized(0.2, TRAFFIC)
    assert isinstance(small, Sized) and isinstance(large, Sized)
    assert all(a > b for a, b in zip(small.days, large.days, strict=True))  # type: ignore[operator]
    assert large.days[0] > large.days[-1]  # type: ignore[operator]


def test_what_cannot_be_sized_or_placed_is_said() -> None:
    assert isinstance(sized(0.1, Traffic(10.0, 0.1, (0.0, 0.0), (0.0, 0.0))), CannotSay)
    stopped = sized(0.1, Traffic(0.0, 0.1, (1.0, 1.0), (0.0, 0.0)))
    assert isinstance(stopped, Sized) and isinstance(placed(stopped, [], 30), CannotSay)
    full = [Held("all", 0, BUCKETS, 1, 10_000)]
    assert isinstance(placed(Sized(0.1, (5.0, 5.0, 5.0)), full, 30), CannotSay)
    assert isinstance(placed(Sized(0.1, (99.0, 99.0, 99.0)), [], 30), CannotSay)
    assert isinstance(shown_in(7, 0.5, Traffic(10.0, 0.0, (1.0, 1.0), (0.8, 0.4))), CannotSay)
    assert 0.0 < float(shown_in(7, 0.5, TRAFFIC)) < 0.1  # type: ignore[arg-type]
