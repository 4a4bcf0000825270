"""Places in traces as the W3C writes them, and ids that are the same every time."""

from __future__ import annotations

import pytest

from service.domain.clock import new_id
from service.tracing.context import Place, own, read, span_id, written

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_caller_s_place_is_read() -> None:
    place = read(f"00-{TRACE}-{SPAN}-01")
    assert place == Place(int(TRACE, 16), int(SPAN, 16), True)
    assert written(place, place.parent_id) == f"00-{TRACE}-{SPAN}-01"
    unsampled = read(f"00-{TRACE}-{SPAN}-02")
    assert unsampled is not None and not unsampled.sampled
    later = read(f"01-{TRACE}-{SPAN}-03-what-is-to-come")
    assert later is not None and later.sampled


@pytest.mark.parametrize(
    "text",
    [
        "", "00", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}-01-more", f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1", f"00-{TRACE[1:]}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-0\u0661", "x" * 60_000,
    ],
)  # fmt: skip
def test_what_is_none_is_not_read(text: str) -> None:
    assert read(text) is None


def test_our_own_trace_is_the_decision() -> None:
    decision = new_id()
    place = own(decision, 1.0)
    assert written(place, span_id(decision, 0)).split("-")[1] == decision.replace("-", "")
    assert place.sampled and place.parent_id == 0 and not own(decision, 0.0).sampled


def test_the_share_is_kept() -> None:
    """False alarm: 0.25 of 4,000 strays by more than 150 once in 10^7."""
    recorded = sum(own(new_id(), 0.25).sampled for _ in range(4_000))
    assert abs(recorded - 1_000) < 150


def test_the_ids_of_spans_are_the_same_every_time() -> None:
    ids = [span_id("01920000-0000-7000-8000-000000000000", number) for number in range(5)]
    assert len(set(ids)) == 5 and all(0 < each < 2**64 for each in ids)
    assert ids[0] == 0x0094276D01B4B44D
