"""Off-peak windows: what the clocks of a zone show, over every change of them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from service.domain.off_peak import DAY_US, Window, next_open_us, open_at, parse_window

ZONES = (
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kolkata",
    "Africa/Casablanca", "Pacific/Apia", "America/St_Johns", "Asia/Kathmandu", "Pacific/Chatham",
    "Europe/Dublin", "UTC",
)  # fmt: skip
HOUR_US = 3_600_000_000


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def hours(window: str, first: str, last: str) -> list[float]:
    return [(b - a) / HOUR_US for a, b in parse_window(window).spans(us(first), us(last))]


def test_a_window_is_where_the_clocks_say() -> None:
    night = parse_window("03:00-06:00 Europe/Berlin")
    assert not night.open_at(us("2026-01-15T01:59")) and night.open_at(us("2026-01-15T02:00"))
    assert night.open_at(us("2026-07-15T01:00")) and not night.open_at(us("2026-07-15T04:00"))
    assert next_open_us([night], us("2026-03-28T12:00")) == us("2026-03-29T01:00")
    assert next_open_us([night], us("2026-03-27T12:00")) == us("2026-03-28T02:00")


def test_hours_left_out_and_repeated() -> None:
    """On 29 March 2026 Berlin's clocks go from 2 to 3, on 25 October from 3 back to 2."""
    spring, autumn = (
        ("2026-03-28T12:00", "2026-03-29T12:00"),
        ("2026-10-24T12:00", "2026-10-25T12:00"),
    )
    assert hours("03:00-06:00 Europe/Berlin", *spring) == [3.0]
    assert hours("01:00-04:00 Europe/Berlin", *spring) == [1.0, 1.0]
    assert hours("02:00-03:00 Europe/Berlin", *spring) == []
    assert hours("03:00-06:00 Europe/Berlin", *autumn) == [3.0]
    assert hours("02:00-02:30 Europe/Berlin", *autumn) == [0.5, 0.5]
    assert sum(hours("01:00-04:00 Europe/Berlin", *autumn)) == 4.0
    assert sum(hours("22:00-06:00 Europe/Berlin", *spring)) == 7.0


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    zone=some.sampled_from(ZONES), begins=some.integers(0, 1439), ends=some.integers(1, 1440),
    from_us=some.integers(us("2020-01-01"), us("2036-01-01")),
    days=some.integers(0, 400), parts=some.lists(some.floats(0, 1), min_size=1, max_size=12),
)  # fmt: skip
def test_spans_and_moments_agree(
    zone: str, begins: int, ends: int, from_us: int, days: int, parts: list[float]
) -> None:
    if begins == ends:
        ends += 1
    window, to_us = Window(begins, ends, ZoneInfo(zone)), from_us + days * DAY_US + 1
    spans = list(window.spans(from_us, to_us))
    assert all(a < b for a, b in spans)
    assert all(b <= c for (_, b), (c, _) in pairwise(spans))
    moments = [from_us + int(part * (to_us - 1 - from_us)) for part in parts]
    moments += [edge + by for a, b in spans[:20] + spans[-20:] for edge in (a, b) for by in (-1, 0)]
    for at in moments:
        if from_us <= at < to_us:
            inside = any(a <= at < b for a, b in spans)
            local = datetime.fromtimestamp(at / 1e6, UTC).astimezone(ZoneInfo(zone))
            minute = local.hour * 60 + local.minute
            whole = 1e6 * (at // 1_000_000)
            if at - whole < 999_000:  # a float of the time rounds up otherwise
                wanted = begins <= minute < ends if begins < ends else not ends <= minute < begins
                assert window.open_at(at) == wanted
            assert window.open_at(at) == inside
    following = next_open_us([window], from_us)
    if following is not None:
        assert window.open_at(following)
        assert following == from_us or not window.open_at(following - 1)


def test_without_windows_it_is_always_open() -> None:
    assert open_at([], 5) and next_open_us([], 5) == 5


@pytest.mark.parametrize(("text", "told"), [
    ("3-6", "no window"), ("03:00-03:00", "begins when it ends"), ("03:00-24:30", "after 24:00"),
    ("03:00-06:00 Europe/Nowhere", "no time zone"), ("03:00-06:00 /etc/passwd", "no time zone"),
])  # fmt: skip
def test_what_is_no_window_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_window(text)
