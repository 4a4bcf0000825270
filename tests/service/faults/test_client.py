"""Callers who leave, dawdle or lie about lengths: dropped, and they cost the others nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator

import pytest

from service.domain.records import ErrorKind
from service.storage.cases import Case
from tests.service.faults.inbound import (
    ANSWER,
    GOOD,
    PATH,
    Rig,
    head,
    one_answer,
    post,
    rest,
    rss_mb,
    running,
    status_of,
    wait_for,
)
from tests.upstream import SSE_HEAD, Act, event, hang, say

BODY = json.dumps(GOOD).encode()
STREAM = json.dumps(GOOD | {"stream": True}).encode()
EVENT = event("x" * 10_000)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("client"), head_s=0.5, body_s=0.8, write_s=1.0) as made:
        yield made


def latest(rig: Rig) -> Case:
    """The newest case, once it has its outcome."""
    case: Case = next(reversed(rig.runtime.kept.cases._recent.values()))
    wait_for(lambda: case.outcome is not None)
    return case


def flood(count: list[int], most: int) -> Act:
    """A stream of ``most`` events of ten kilobytes, as fast as they are taken; counts the bytes."""

    async def act(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE_HEAD)
        for _ in range(most):
            writer.write(EVENT)
            await writer.drain()
            count[0] += len(EVENT)
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()

    return act


@pytest.mark.parametrize(
    ("body", "act"),
    [(BODY, hang), (STREAM, hang), (STREAM, say(SSE_HEAD, event("x" * 400), then=hang))],
    ids=["whole", "before the first byte", "mid-stream"],
)
def test_C01_a_caller_who_leaves_cancels_the_call_and_its_cost_is_logged(
    rig: Rig, body: bytes, act: Act
) -> None:
    rig.upstream.act = act
    rig.upstream.left.clear()
    before, asked = rig.runtime.board.requests, len(rig.upstream.requests)
    with rig.connect() as sock:
        sock.sendall(post(body))
        if act is not hang:
            while b"xxx" not in sock.recv(65_536):
                pass
        wait_for(lambda: len(rig.upstream.requests) > asked)
        time.sleep(0.1)
    assert rig.upstream.left.wait(3), "the provider is let go"
    wait_for(lambda: rig.runtime.board.requests == before + 1)
    case = latest(rig)
    assert case.outcome is not None and case.outcome.status == 499
    assert case.outcome.error_kind is ErrorKind.CANCELLED
    usage = case.outcome.usage
    assert usage.estimated and usage.cost_micro_usd > 0
    assert usage.tokens_out == (100 if act is not hang else 0)
    assert len(case.attempts) == 1, "nobody else is asked"
    rig.healthy()


def test_C02_a_caller_who_does_not_read_pauses_the_provider_and_is_dropped(rig: Rig) -> None:
    sent = [0]
    rig.upstream.act = flood(sent, 6_000)
    before, memory = rig.refused("slow_reader"), rss_mb()
    with rig.connect(receive_buffer=16_384) as sock:
        sock.sendall(post(STREAM))
        wait_for(lambda: rig.refused("slow_reader") == before + 1)
        paused = sent[0]
        assert rest(sock).startswith(b"HTTP/1.1 200"), "what had come until then"
    assert paused < 30_000_000, "sixty megabytes were to be had"
    assert rss_mb() - memory < 60.0
    case = latest(rig)
    assert case.outcome is not None and case.outcome.status == 499
    assert case.outcome.usage.cost_micro_usd > 0
    rig.healthy()


def test_C02_what_waits_for_a_caller_is_bounded(rig: Rig) -> None:
    sent = [0]
    rig.upstream.act = flood(sent, 3_000)
    with rig.connect(receive_buffer=16_384) as sock:
        sock.sendall(post(STREAM))
        wait_for(lambda: sent[0] > 1_000_000)
        held = 0
        for _ in range(40):
            for connection in list(rig.server.state.connections):
                held = max(held, connection.transport.get_write_buffer_size())
            time.sleep(0.01)
    assert 0 < held < 300_000, "the high-water mark, and what is passed on at a time"
    rig.healthy()


def test_C02_a_slow_caller_who_does_read_gets_all_of_it(rig: Rig) -> None:
    sent = [0]
    rig.upstream.act = flood(sent, 400)
    before, data = rig.refused("slow_reader"), b""
    with rig.connect(receive_buffer=16_384) as sock:
        sock.sendall(post(STREAM))
        while not data.endswith(b"0\r\n\r\n"):
            data += sock.recv(65_536)
            time.sleep(0.002)
    assert data.count(b"x" * 10_000) == 400 and b"data: [DONE]" in data
    assert rig.refused("slow_reader") == before


def test_C02_a_caller_who_takes_no_whole_answer_is_dropped(rig: Rig) -> None:
    """The answer is done and the connection is to be closed, but its bytes are never taken."""
    rig.upstream.act = say(ANSWER)
    before = rig.refused("slow_reader")
    assert rig.client.get("/openapi.json").status_code == 200  # the first look at it takes longer
    with rig.connect(receive_buffer=4_096) as sock:
        for _ in range(60):
            try:
                sock.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
            except ConnectionError:  # dropped while it still asks
                break
            time.sleep(0.005)
        wait_for(lambda: rig.refused("slow_reader") == before + 1)
        wait_for(lambda: rig.runtime.load.connections == 0)
    rig.healthy()


def drip(rig: Rig, first: bytes, slow: bytes, pause_s: float) -> tuple[bytes, float]:
    """Send the first part, then a byte at a time; the answer, and after how long it came."""
    began = time.monotonic()
    with rig.connect() as sock:
        sock.sendall(first)
        sock.settimeout(pause_s)
        answer = b""
        for byte in slow:
            with contextlib.suppress(ConnectionError):
                sock.send(bytes([byte]))
            try:
                answer += sock.recv(65_536)
                break
            except TimeoutError:
                continue
            except ConnectionError:
                break
    return answer, time.monotonic() - began


@pytest.mark.parametrize(
    ("first", "slow", "reason"),
    [(b"", head() * 2, "head_timeout"),
     (head("Content-Length: 5000"), b"x" * 5_000, "body_timeout"),
     (head("Transfer-Encoding: chunked"), b"1\r\nx\r\n" * 1_000, "body_timeout")],
    ids=["head", "body", "chunks"],
)  # fmt: skip
def test_C03_a_request_that_drips_is_ended_in_time(
    rig: Rig, first: bytes, slow: bytes, reason: str
) -> None:
    before = rig.refused(reason)
    answer, took_s = drip(rig, first, slow, 0.05)
    assert status_of(answer) == 408 and b"connection: close" in answer
    assert took_s < 5.0 and rig.refused(reason) == before + 1
    rig.healthy()


def test_C03_many_that_drip_leave_the_honest_unharmed(rig: Rig) -> None:
    rig.upstream.act = say(ANSWER)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(rig.connect()) for _ in range(150)]
        for each in slow:
            each.sendall(head("Content-Length: 5000")[:60])
        for _ in range(5):
            assert rig.client.post(PATH, json=GOOD).status_code == 200
        assert {status_of(rest(each)) for each in slow} == {408}
    wait_for(lambda: rig.runtime.load.connections == 0)


@pytest.mark.parametrize("size", [10_000_001, 1_000_000_000])
def test_C04_a_length_beyond_the_bound_is_refused_before_the_body(rig: Rig, size: int) -> None:
    with rig.connect() as sock:
        sock.sendall(head(f"Content-Length: {size}"))
        assert one_answer(sock)[0] == 413
    rig.healthy()


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
@pytest.mark.parametrize("size", [10_000_000, 12_000_000, 1_000_000_000])
def test_C04_huge_bodies_take_no_huge_memory(rig: Rig, size: int, declared: bool) -> None:
    line = f"Content-Length: {size}" if declared else "Transfer-Encoding: chunked"
    part = b"x" * 100_000
    wire = part if declared else b"186a0\r\n" + part + b"\r\n"
    rig.healthy()
    memory, sent, greatest = rss_mb(), 0, 0.0
    with rig.connect() as sock:
        sock.sendall(head(line))
        with contextlib.suppress(ConnectionError):
            while sent < min(size, 100_000_000):
                sock.sendall(wire)
                sent += len(part)
                greatest = max(greatest, rss_mb() - memory)
            sock.sendall(b"" if declared else b"0\r\n\r\n")
            status = one_answer(sock)[0]
            assert status == (400 if size == 10_000_000 else 413)  # it is no JSON
    assert sent < 60_000_000 and greatest < 100.0
    rig.healthy()


@pytest.mark.parametrize(
    "data",
    [head("Content-Length: 100") + b"x" * 50, head("Transfer-Encoding: chunked") + b"ffffff\r\nxx",
     head("Transfer-Encoding: chunked") + b"3b9aca00\r\n" + b"x" * 1_000, BODY[:10]],
    ids=["length", "chunk", "chunk of a gigabyte", "no http"],
)  # fmt: skip
def test_C04_a_length_that_lies(rig: Rig, data: bytes) -> None:
    with rig.connect() as sock:
        sock.sendall(data)
    with rig.connect() as sock:
        sock.sendall(data)
        answer = rest(sock)
        assert 400 <= status_of(answer) < 500
    rig.healthy()


def test_C04_bytes_beyond_the_length_are_not_taken_for_a_request(rig: Rig) -> None:
    rig.upstream.act = say(ANSWER)
    with rig.connect() as sock:
        sock.sendall(post(BODY) + b'{"model": "auto"}')
        data = rest(sock)
    assert data.startswith(b"HTTP/1.1 200") and data.count(b"HTTP/1.1 ") == 1
    rig.healthy()


@pytest.mark.slow
def test_C04_all_bodies_together_are_bounded(tmp_path_factory: pytest.TempPathFactory) -> None:
    bounds = {"most_held_bytes": 1_000_000, "body_s": 2.0}
    with running(tmp_path_factory.mktemp("held"), **bounds) as rig, contextlib.ExitStack() as stack:
        half = [stack.enter_context(rig.connect()) for _ in range(3)]
        for each in half[:2]:
            each.sendall(head("Content-Length: 500000") + b"x" * 450_000)
        wait_for(lambda: rig.runtime.load.held_bytes > 800_000)
        half[2].sendall(head("Content-Length: 500000") + b"x" * 500_000)
        status, headers, body = one_answer(half[2])
        assert status == 503 and headers["retry-after"] == "1"
        assert json.loads(body)["error"]["code"] == "overloaded"
        assert {status_of(rest(each)) for each in half[:2]} == {408}
        rig.healthy()
