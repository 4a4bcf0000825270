"""Server-sent events are read alike whatever the boundaries they come in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.providers.events import MAX_EVENT_BYTES, EventSplitter, EventTooLong

STREAM = (
    b"\xef\xbb\xbfdata: one\r\n\r\n: a comment\n\ndata: two\ndata: lines\n\n"
    b"event: x\ndata:three\n\n"
    b"id: 4\r\rdata: caf\xc3\xa9\r\n\r\ndata: [DONE]\n\n"
)
EXPECTED = [b"one", b"two\nlines", b"three", "café".encode(), b"[DONE]"]


def test_every_single_split() -> None:
    for at in range(len(STREAM) + 1):
        splitter = EventSplitter()
        assert splitter.feed(STREAM[:at]) + splitter.feed(STREAM[at:]) == EXPECTED


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_splits(cuts: list[int]) -> None:
    splitter, found, before = EventSplitter(), [], 0
    for cut in [*sorted(cuts), len(STREAM)]:
        found += splitter.feed(STREAM[before:cut])
        before = cut
    assert found == EXPECTED and splitter.finish() == []


@given(st.binary(max_size=400), st.integers(1, 7))
def test_any_bytes_are_survived(data: bytes, size: int) -> None:
    whole, parts = EventSplitter(), EventSplitter()
    expected = whole.feed(data)
    found = [e for at in range(0, len(data), size) for e in parts.feed(data[at : at + size])]
    assert found + parts.finish() == expected + whole.finish()


def test_an_event_without_its_last_line_is_given_at_the_end() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: last") == []
    assert splitter.finish() == [b"last"]


def test_an_endless_event_is_refused() -> None:
    splitter = EventSplitter()
    with pytest.raises(EventTooLong):
        for _ in range(MAX_EVENT_BYTES // 65_536 + 2):
            splitter.feed(b"x" * 65_536)
