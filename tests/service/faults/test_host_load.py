"""A starved or full gateway sheds what is new, serves what runs it, and recovers by itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Server
from tests.service.faults.inbound import (
    ANSWER,
    GOOD,
    PATH,
    Rig,
    head,
    one_answer,
    running,
    wait_for,
)
from tests.service.test_restart import check, kills
from tests.upstream import say

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("load"), most_lag_s=0.3, most_under_way=3) as made:
        yield made


def hold_the_loop(rig: Rig, seconds: float) -> None:
    """Something keeps the event loop for so long."""
    with rig.connect() as sock:
        sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        one_answer(sock)
        (connection, *_) = rig.server.state.connections
        connection.loop.call_soon_threadsafe(time.sleep, seconds)


def test_H08_a_held_loop_is_seen_and_sheds_until_it_has_caught_up(rig: Rig) -> None:
    rig.healthy()
    decision = rig.client.post(PATH, json=GOOD).headers["x-headgate-decision-id"]
    before, lag = rig.refused("lag"), rig.runtime.load.lag
    hold_the_loop(rig, 1.2)
    wait_for(lambda: lag.greatest_s > 1.0)
    for path in (PATH, "/v1/route"):
        shed = rig.client.post(path, content=b"never parsed")
        assert shed.status_code == 503 and shed.json()["error"]["code"] == "overloaded"
        assert int(shed.headers["retry-after"]) >= 1
    assert rig.client.get("/health/live").status_code == 200
    assert rig.client.get("/health/ready").status_code == 200
    assert rig.client.post("/v1/feedback", json={"id": decision, "value": 1}).status_code == 202
    status = rig.client.get("/admin/status").json()["load"]
    assert status["loop_lag_s"]["greatest"] > 1.0 and status["refused"]["lag"] == before + 2
    text = rig.client.get("/metrics").text
    assert f'headgate_refused_total{{reason="lag"}} {before + 2}.0' in text
    greatest = text.split("\nheadgate_loop_lag_greatest_seconds ")[1].split("\n")[0]
    assert float(greatest) == lag.greatest_s
    wait_for(lambda: lag.average_s < 0.3)
    rig.healthy()


def test_H08_a_starved_interpreter_is_seen(rig: Rig) -> None:
    """Threads that compute leave the loop less and less: its lateness tells."""
    lag, halt = rig.runtime.load.lag, threading.Event()
    lag.greatest_s = 0.0

    def burn() -> None:
        while not halt.is_set():
            sorted(range(2_000_000), key=lambda n: -n)

    threads = [threading.Thread(target=burn) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: lag.greatest_s > 0.03, 20)
    finally:
        halt.set()
        for thread in threads:
            thread.join()
    wait_for(lambda: lag.average_s < 0.1, 20)
    rig.healthy()


def test_H07_no_more_are_taken_into_work_than_the_bound(rig: Rig) -> None:
    free = threading.Event()
    rig.healthy()

    async def wait(reader: object, writer: object) -> None:
        while not free.is_set():
            await asyncio.sleep(0.02)
        await say(ANSWER)(reader, writer)  # type: ignore[arg-type]

    rig.upstream.act = wait
    before = rig.refused("under_way")
    with ThreadPoolExecutor(12) as callers:
        asked = [callers.submit(rig.client.post, PATH, json=GOOD) for _ in range(12)]
        wait_for(lambda: rig.refused("under_way") == before + 9)
        assert rig.runtime.load.under_way == 3
        assert rig.client.get("/health/ready").status_code == 200
        free.set()
        told = sorted(each.result().status_code for each in asked)
    assert told == [200] * 3 + [503] * 9
    rig.healthy()


def test_H07_many_half_sent_bodies_hold_a_bounded_memory(tmp_path: Path) -> None:
    bounds = {"most_held_bytes": 20_000_000, "body_s": 1.5}
    with running(tmp_path / "state", **bounds) as rig, contextlib.ExitStack() as stack:
        for _ in range(40):
            sock = stack.enter_context(rig.connect())
            with contextlib.suppress(ConnectionError):
                sock.sendall(head("Content-Length: 1000000") + b"x" * 900_000)
        assert rig.runtime.load.held_bytes <= 20_000_000
        wait_for(lambda: rig.refused("held_bytes") > 0)
        wait_for(lambda: rig.runtime.load.held_bytes == 0)
        rig.healthy()
        status = rig.client.get("/admin/status").json()["load"]
        assert status["held_bytes"] == 0 and json.dumps(status["refused"])


def test_H07_killed_for_its_memory_it_loses_nothing_acknowledged(
    tmp_path: Path, providers: Server
) -> None:
    """The kernel's killer sends SIGKILL, as here: at a random moment under load."""
    check(kills(tmp_path, providers, 1, seed=70), 1)
