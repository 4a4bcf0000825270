"""SIGTERM, SIGINT and both twice: what is in work is answered, what is new is not taken, exit 0."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service.storage.cases import rows_of
from service.storage.restore import open_live
from tests.service.faults.inbound import (
    ANSWER,
    AUTH,
    GOOD,
    PATH,
    PLAN,
    one_answer,
    post,
    rest,
    wait_for,
)
from tests.service.processes import Process
from tests.upstream import SSE_HEAD, Act, Upstream, event, hang, say

pytestmark = pytest.mark.slow  # real processes, disks and clocks

STREAM = GOOD | {"stream": True}
READY = b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n"


def after(seconds: float, then: Act) -> Act:
    """The same, later."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await then(reader, writer)

    return act


SLOW_STREAM = say(SSE_HEAD, *(event(f"part {n}") for n in range(8)), b"data: [DONE]\n\n",
                  pause_s=0.2)  # fmt: skip


@dataclass
class Running:
    """A service in a process of its own, its provider, and callers in threads."""

    process: Process
    upstream: Upstream
    callers: ThreadPoolExecutor
    state: Path

    @property
    def port(self) -> int:
        return int(self.process.url.rsplit(":", 1)[1])

    def ask(self, body: dict[str, object]) -> Future[httpx.Response]:
        """Ask; returns when the provider has been asked."""
        before = len(self.upstream.requests)
        told = self.callers.submit(
            httpx.post, self.process.url + PATH, json=body, headers=AUTH, timeout=40
        )
        wait_for(lambda: len(self.upstream.requests) > before)
        return told

    def tell(self, number: int) -> None:
        self.process.process.send_signal(number)

    def code(self) -> int:
        return self.process.process.wait(40)

    def connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), 10)
        made.settimeout(10)
        return made


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    plan, state = tmp_path / "plan.yaml", tmp_path / "state"
    with Upstream() as upstream, ThreadPoolExecutor(8) as callers:
        plan.write_text(PLAN.replace("URL", upstream.url), "utf-8")
        process = Process("serve", "--plan", str(plan), "--state", str(state), log=tmp_path / "log")
        process.ready()
        try:
            yield Running(process, upstream, callers, state)
        finally:
            process.kill()


def outcomes(state: Path) -> list[int]:
    """The statuses in the log, once the process is gone."""
    database, mended = open_live(state)
    assert mended is None
    found = rows_of(database.cursor(), "SELECT status FROM outcomes ORDER BY log_seq")
    database.close()
    return [row["status"] for row in found]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_H02_what_is_in_work_is_answered_and_nothing_new_is_taken(
    running: Running, number: signal.Signals
) -> None:
    running.upstream.act = after(1.5, say(ANSWER))
    whole = [running.ask(GOOD) for _ in range(2)]
    running.upstream.act = SLOW_STREAM
    streams = [running.ask(STREAM) for _ in range(2)]
    with running.connect() as kept:
        kept.sendall(READY)
        assert one_answer(kept)[0] == 200
        running.tell(number)
        time.sleep(0.15)
        kept.sendall(READY)
        status, headers, body = one_answer(kept)
        assert status == 503 and json.loads(body)["because"] == ["stopping"]
        assert headers["connection"] == "close"
    with pytest.raises(ConnectionError):
        for _ in range(100):
            running.connect().close()
            time.sleep(0.02)
    assert [each.result().status_code for each in whole] == [200, 200]
    for stream in streams:
        answer = stream.result()
        assert answer.status_code == 200 and answer.text.endswith("data: [DONE]\n\n")
        assert answer.text.count("part ") == 8
    assert running.code() == 0
    assert outcomes(running.state) == [200] * 4


def test_H02_a_second_sigterm_changes_nothing(running: Running) -> None:
    running.upstream.act = after(1.5, say(ANSWER))
    told = running.ask(GOOD)
    for _ in range(3):
        running.tell(signal.SIGTERM)
        time.sleep(0.2)
    assert told.result().status_code == 200
    running.tell(signal.SIGTERM)
    assert running.code() == 0 and outcomes(running.state) == [200]


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_H02_a_second_sigint_hastens_and_all_is_still_kept(
    running: Running, first: signal.Signals
) -> None:
    running.upstream.act = hang
    whole = running.ask(GOOD)
    running.upstream.act = say(SSE_HEAD, event("half"), then=hang)
    with running.connect() as stream:
        stream.sendall(post(json.dumps(STREAM).encode()))
        while b"half" not in stream.recv(65_536):
            pass
        began = time.monotonic()
        running.tell(first)
        time.sleep(0.3)
        running.tell(signal.SIGINT)
        cut = rest(stream)
    assert b"event: error" in cut and b"[DONE]" not in cut
    answer = whole.result()
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "overloaded"
    assert "stopping" in answer.text and answer.headers["retry-after"] == "1"
    assert running.code() == 0
    assert time.monotonic() - began < 20.0, "thirty seconds were not waited for"
    assert outcomes(running.state) == [499, 499]


def test_H02_told_while_it_starts_it_still_stops(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN.replace("URL", "http://127.0.0.1:9"), "utf-8")
    process = Process("serve", "--plan", str(plan), "--state", str(tmp_path / "state"),
                      log=tmp_path / "log")  # fmt: skip
    assert process.stop() == 0, "as soon as it says that it listens"


def test_H02_idle_it_stops_at_once_and_keeps_feedback(running: Running) -> None:
    running.upstream.act = say(ANSWER)
    decision = running.ask(GOOD).result().headers["x-headgate-decision-id"]
    taken = httpx.post(running.process.url + "/v1/feedback", json={"id": decision, "value": 1},
                       headers=AUTH)  # fmt: skip
    assert taken.status_code == 202
    with running.connect():  # one that says nothing does not hold it up
        began = time.monotonic()
        running.tell(signal.SIGTERM)
        assert running.code() == 0
        assert time.monotonic() - began < 15.0
    database, _ = open_live(running.state)
    assert len(rows_of(database.cursor(), "SELECT id FROM feedback")) == 1
    database.close()
