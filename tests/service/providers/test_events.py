"""Server-sent events are read alike whatever the boundaries they come in."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.providers.events import MAX_EVENT_BYTES, EventSplitter, EventTooLong, NamedEvent

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


@settings(derandomize=True)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_splits(cuts: list[int]) -> None:
    splitter, found, before = EventSplitter(), [], 0
    for cut in [*sorted(cuts), len(STREAM)]:
        found += splitter.feed(STREAM[before:cut])
        before = cut
    assert found == EXPECTED and splitter.finish() == []


CORPUS = [
    b"data: a\n\ndata: b\n\n", b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n", b"data\n\ndata:\n\n",
    b"data: a\r\n\r\ndata: b\r\r\ndata: c\n\r\n", b"\n\n\n\n\r\r\r\r", b"data: a\rdata: b\n\r\n",
    b"event: error\ndata: {}\n\n", b"event:error\r\ndata:\r\n\r\n", b"\xef\xbb",
    b"\xef\xbbdata: x\n\n",
    b"id: 1\nretry: 5\n: c\n\n", b"data: \xff\xfe\n\n", b"data: a\x00b\n\n", b" data: a\n\n",
    b"data: [DONE]", b"data: [DONE]\n", b"data: [DONE]\r\n\r", b"d\nata: a\n\n",
]  # fmt: skip
ANY = st.one_of(
    st.binary(max_size=400),
    st.lists(
        st.sampled_from([b"data: ", b"data:", b"event: x", b"\n", b"\r", b"\r\n", b"ab", b":",
                         b"\xff", b"\xef\xbb\xbf", b"[DONE]"]), max_size=40,
    ).map(b"".join),
)  # fmt: skip


def whole(data: bytes) -> list[bytes]:
    splitter = EventSplitter()
    return splitter.feed(data) + splitter.finish()


def in_parts(data: bytes, size: int) -> list[bytes]:
    splitter = EventSplitter()
    found = [e for at in range(0, len(data), size) for e in splitter.feed(data[at : at + size])]
    return found + splitter.finish()


@settings(derandomize=True, max_examples=500)
@given(ANY, st.integers(1, 7))
@example(b"data: a\r", 1)
def test_any_bytes_in_any_parts_give_the_same(data: bytes, size: int) -> None:
    assert in_parts(data, size) == whole(data)


@pytest.mark.parametrize("data", CORPUS)
def test_the_corpus_in_any_parts_gives_the_same(data: bytes) -> None:
    for size in range(1, len(data) + 1):
        assert in_parts(data, size) == whole(data)


def test_the_name_of_an_event_is_known() -> None:
    found = whole(b"event: error\ndata: {}\n\nevent: message\n\ndata: x\n\n")
    assert found == [b"{}", b"x"]
    assert isinstance(found[0], NamedEvent) and found[0].name == b"error"
    assert not isinstance(found[1], NamedEvent)


def test_an_event_without_its_last_line_is_given_at_the_end() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: last") == []
    assert splitter.finish() == [b"last"]


def test_an_endless_event_is_refused() -> None:
    splitter = EventSplitter()
    with pytest.raises(EventTooLong):
        for _ in range(MAX_EVENT_BYTES // 65_536 + 2):
            splitter.feed(b"x" * 65_536)


def test_a_long_event_in_small_parts_is_joined_once() -> None:
    splitter, part = EventSplitter(), b"x" * 100
    assert splitter.feed(b"data: \n") == []
    for _ in range(20_000):
        assert splitter.feed(part) == []
    assert len(splitter._more) == 20_000  # kept apart: no copy of all that came with every part
    assert splitter.feed(b"\ndata: end\n\n") == [b"\nend"]
