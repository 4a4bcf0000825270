"""Connections are bounded in number, in time, in what they send, and never confuse two requests."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator

import pytest

from tests.service.faults.inbound import (
    ANSWER,
    GOOD,
    Rig,
    head,
    one_answer,
    post,
    rest,
    running,
    status_of,
    wait_for,
)
from tests.upstream import say

BODY = json.dumps(GOOD).encode()
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


def answers(data: bytes) -> int:
    """How many answers came."""
    return len(re.findall(rb"HTTP/1\.1 \d\d\d ", data))


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    bounds = {"connections": 8, "head_s": 0.4, "body_s": 0.6, "write_s": 0.5, "body_bytes": 50_000}
    with running(tmp_path_factory.mktemp("listener"), **bounds) as made:
        yield made
        wait_for(lambda: made.runtime.load.connections == 0)


def test_past_the_cap_one_is_told_to_come_back(rig: Rig) -> None:
    before = rig.refused("connections")
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(rig.connect()) for _ in range(8)]
        wait_for(lambda: rig.runtime.load.connections == 8)
        answer = rig.exchange(b"")
        assert status_of(answer) == 503 and b"retry-after: 1\r\n" in answer
        held[0].sendall(LIVE)
        assert one_answer(held[0])[0] == 200, "those that are in are served"
    assert rig.refused("connections") == before + 1
    wait_for(lambda: rig.runtime.load.connections == 0)
    rig.healthy()


def test_a_silent_connection_is_closed_without_a_word(rig: Rig) -> None:
    before = rig.refused("head_timeout")
    assert rig.exchange(b"") == b""
    assert rig.exchange(b"\r\n\r\n") != b"", "empty lines are the beginning of a head"
    assert rig.refused("head_timeout") == before + 2


def test_empty_lines_keep_no_connection_open(rig: Rig) -> None:
    with rig.connect() as sock:
        sock.sendall(LIVE)
        assert one_answer(sock)[0] == 200
        answer = b""
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                sock.sendall(b"\r\n")
                time.sleep(0.02)
        answer = rest(sock)
    assert status_of(answer) == 408


def test_a_kept_connection_may_rest_longer_than_a_head_may_take(rig: Rig) -> None:
    with rig.connect() as sock:
        for _ in range(2):
            sock.sendall(LIVE)
            assert one_answer(sock)[0] == 200
            time.sleep(0.6)
        sock.sendall(LIVE[:10])
        assert status_of(rest(sock)) == 408


def test_a_second_head_has_its_own_time(rig: Rig) -> None:
    with rig.connect() as sock:
        for _ in range(3):
            sock.sendall(LIVE[:10])
            time.sleep(0.25)
            sock.sendall(LIVE[10:])
            assert one_answer(sock)[0] == 200


@pytest.mark.parametrize(
    "data",
    [head("X: " + "y" * 70_000), head(*(f"X{n}: y" for n in range(101))),
     head(path="/" + "p" * 70_000), head(*(f"X{n}: {'y' * 900}" for n in range(80))),
     b"GET / HTTP/1.1\r\nX: " + b"y" * 400_000],
    ids=["one", "many", "path", "together", "endless"],
)  # fmt: skip
def test_a_head_beyond_the_bound(rig: Rig, data: bytes) -> None:
    before = rig.refused("head_too_large")
    assert status_of(rig.exchange(data)) == 431
    assert rig.refused("head_too_large") == before + 1


SMUGGLED = b"GET /admin/status HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [("Content-Length: 5", "Transfer-Encoding: chunked"),
     ("Transfer-Encoding: chunked", "Content-Length: 5"),
     ("Content-Length: 5", "Content-Length: 5"), ("Content-Length: 5", "Content-Length: 6"),
     ("Content-Length: 5, 5",), ("Content-Length: -5",), ("Content-Length: +5",),
     ("Content-Length: 0x5",), ("Content-Length: 99999999999999999999999",),
     ("Transfer-Encoding: gzip",), ("Transfer-Encoding: xchunked",),
     ("Transfer-Encoding: chunked, identity",), ("Transfer-Encoding: gzip, chunked",),
     ("Transfer-Encoding: identity", "Transfer-Encoding: chunked"),
     ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
     ("Transfer-Encoding : chunked",), ("Transfer-Encoding:\x0bchunked",),
     ("X: a\r\n folded", "Content-Length: 5"), ("X: a\rY: b",), ("X: a\nY: b",), ("X: a\x00b",),
     ("X y: a",), ("Host: other",)],
)  # fmt: skip
def test_a_doubtful_frame_is_refused_and_nothing_after_it_is_read(
    rig: Rig, lines: tuple[str, ...]
) -> None:
    before = rig.refused("bad_http")
    answer = rig.exchange(head(*lines) + b"0\r\n\r\n" + SMUGGLED)
    assert status_of(answer) == 400
    assert answers(answer) == 1 and b"connection: close" in answer
    assert rig.refused("bad_http") == before + 1


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\nhello\r\n0\r\n\r\n", b"3\r\nhello\r\n0\r\n\r\n", b"fffffffffffffffff\r\nx",
     b"5\nhello\n0\n\n", b"5;a\nb\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n",
     b"0\r\nContent-Length: 9\r\n\r\n"],
)  # fmt: skip
def test_a_chunk_that_lies(rig: Rig, chunks: bytes) -> None:
    answer = rig.exchange(head("Transfer-Encoding: chunked") + chunks + SMUGGLED)
    assert status_of(answer) == 400 and answers(answer) == 1
    rig.healthy()


@pytest.mark.parametrize(
    "first",
    ["GET / HTTP/2.0", "GET / HTTP/0.9", "GET /", "PRI * HTTP/2.0", "BREW / HTTP/1.1",
     "CONNECT a:1 HTTP/1.1", "GET /\x00 HTTP/1.1", "GET  HTTP/1.1", "\x16\x03\x01\x02\x00"],
)  # fmt: skip
def test_what_is_not_http_as_spoken_here(rig: Rig, first: str) -> None:
    answer = rig.exchange(first.encode("latin-1") + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert 400 <= status_of(answer) < 500


def test_http_1_0_with_chunks_is_refused(rig: Rig) -> None:
    data = head("Transfer-Encoding: chunked").replace(b"HTTP/1.1", b"HTTP/1.0")
    assert status_of(rig.exchange(data + b"0\r\n\r\n")) == 400


def test_a_wish_for_another_protocol_is_not_followed(rig: Rig) -> None:
    upgrade = (
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    )
    answer = rig.exchange(upgrade + b"\r\n" + SMUGGLED)
    assert answer.startswith(b"HTTP/1.1 200") and answers(answer) == 1


def test_requests_in_a_row_are_answered_in_their_order(rig: Rig) -> None:
    rig.upstream.act = say(ANSWER)
    with rig.connect() as sock:
        sock.sendall(post(BODY) + LIVE + head(path="/v1/models", method="GET", key="wrong"))
        data = b""
        while data.count(b"HTTP/1.1 ") < 3 or not data.endswith(b"}"):
            data += sock.recv(65_536)
    assert [part[:3] for part in data.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"401"]


def test_too_many_requests_in_a_row_are_not_kept(rig: Rig) -> None:
    rig.upstream.act = say(pause_s=0.0, then=None)
    answer = rig.exchange(post(BODY) + LIVE * 2_000)
    assert answers(answer) < 20
    rig.healthy()


def test_a_bad_request_behind_a_good_one_does_not_spoil_its_answer(rig: Rig) -> None:
    rig.upstream.act = say(ANSWER, pause_s=0.1)
    answer = rig.exchange(post(BODY) + b"rubbish\x00\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200") and answers(answer) == 1


def test_a_body_is_thrown_away_only_up_to_the_bound(rig: Rig) -> None:
    sent = 0
    with rig.connect() as sock:
        sock.sendall(head("Content-Length: 100000000", key="wrong"))
        with contextlib.suppress(ConnectionError):
            for _ in range(1_000):
                sock.sendall(b"x" * 100_000)
                sent += 100_000
        assert sent < 30_000_000
    rig.healthy()


def test_a_refused_body_does_not_cost_the_connection(rig: Rig) -> None:
    with rig.connect() as sock:
        sock.sendall(post(b"x" * 60_000))
        status, headers, _ = one_answer(sock)
        assert status == 413 and "connection" not in headers
        sock.sendall(LIVE)
        assert one_answer(sock)[0] == 200
