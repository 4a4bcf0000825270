"""Runs over kill -9, and runs whose caller leaves: nothing is done twice, nothing goes on alone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.storage.restore import open_live
from tests.conftest import KEY
from tests.service.processes import Process
from tests.upstream import Upstream, answer_json, http

pytestmark = pytest.mark.slow  # real processes

AUTH = {"authorization": f"Bearer {KEY}"}
PLAN = """
deployments:
  - {name: only, provider: p, base_url: UPSTREAM, model: m, context_window: 32000,
     price: {input_usd_per_mtok: 1, output_usd_per_mtok: 2}}
policy: {kind: fixed, parameters: {arm: only}}
service: {attempt_timeouts_s: [30], deadline_s: 60, most_lag_s: 60}
workflows: {library: false, files: [three.yaml]}
console: {enabled: false}
"""
THREE = """
name: three
version: 1
purpose: Three steps, one after another, and a map.
inputs: {topic: {type: text}, items: {type: list of text, default: [x, y]}}
outputs: {text: {value: third.text}, each: {type: list of text, value: several.text}}
chat_input: topic
chat_output: text
steps:
  - {id: begin, kind: chat, prompt: "step-one {{ inputs.topic }}", max_tokens: 50}
  - id: several
    kind: chat
    prompt: "step-map {{ begin.text }} {{ item }}"
    max_tokens: 50
    map: {over: inputs.items, at_once: 1}
  - id: third
    kind: chat
    prompt: "step-last {{ several.text | join }}"
    max_tokens: 50
"""


class Held(Upstream):
    """Answers, but holds the last step while it is told to; sees when its caller leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.holds, self.held, self.gone = True, threading.Event(), threading.Event()
        self.act = self._act

    async def _act(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"step-last" in self.requests[-1] and self.holds:
            self.held.set()
            async with asyncio.timeout(30):
                await reader.read()
            self.gone.set()
            return
        writer.write(http(200, answer_json(f"said {len(self.requests)}"), "connection: close"))
        await writer.drain()

    def count(self, mark: bytes) -> int:
        return sum(mark in each for each in self.requests)


@pytest.fixture
def upstream() -> Iterator[Held]:
    with Held() as made:
        yield made


@pytest.fixture
def state(tmp_path: Path, upstream: Held) -> Path:
    (tmp_path / "three.yaml").write_text(THREE, "utf-8")
    (tmp_path / "plan.yaml").write_text(PLAN.replace("UPSTREAM", upstream.url), "utf-8")
    return tmp_path


def serve(state: Path) -> Process:
    made = Process("serve", "--plan", str(state / "plan.yaml"), "--state", str(state / "state"),
                   log=state / "log")  # fmt: skip
    made.ready()
    return made


def call(process: Process, method: str, path: str, **more: Any) -> httpx.Response:
    headers = AUTH | more.pop("headers", {})
    return httpx.request(method, process.url + path, headers=headers, timeout=40.0, **more)


def until(wanted: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 40
    while not (found := wanted()):
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)
    return found


def test_a_run_goes_on_after_kill_9_without_doing_anything_twice(
    state: Path, upstream: Held
) -> None:
    process = serve(state)
    body = {"inputs": {"topic": "tides-canary"}, "mode": "async"}
    run_id = call(process, "POST", "/v1/workflows/three/runs", json=body).json()["id"]
    assert upstream.held.wait(30)
    process.kill()
    upstream.holds = False
    process = serve(state)
    try:
        path = f"/v1/workflows/runs/{run_id}"
        run = until(lambda: _ended(call(process, "GET", path).json()))
        assert run["status"] == "done" and run["resumed"] == 1
        assert upstream.count(b"step-one") == 1 and upstream.count(b"step-map") == 2
        assert upstream.count(b"step-last") == 2  # the one that was cut off, and again
        assert run["outputs"]["each"] == ["said 2", "said 3"]
        replay = call(process, "POST", f"{path}/replay").json()
        assert replay["same"] and len(replay["paths"]) == 4
        assert upstream.count(b"step") == 5
        assert call(process, "DELETE", path).json()["deleted"]
        files = (state / "state").rglob("*")
        process.stop()
        assert not [f for f in files if f.is_file() and b"tides-canary" in f.read_bytes()]
    finally:
        if process.process.poll() is None:
            process.kill()
    database, _ = open_live(state / "state")
    try:
        rows = database.cursor().execute(
            "SELECT r.state, r.resumed, r.steps, count(*), sum(s.cost_micro_usd) = "
            "any_value(r.cost_micro_usd) FROM workflow_runs r JOIN workflow_steps s "
            "ON s.run_id = r.id GROUP BY ALL"
        ).fetchall()  # fmt: skip
    finally:
        database.close()
    assert rows == [("done", 1, 4, 4, True)]


def _ended(run: dict[str, Any]) -> dict[str, Any] | None:
    return None if run["status"] == "running" else run


def test_a_caller_who_leaves_or_cancels_cancels_the_call_upstream(
    state: Path, upstream: Held
) -> None:
    process = serve(state)
    try:
        for mode in ("sync", "stream", "chat", "async"):
            _left(process, upstream, mode)
    finally:
        process.kill()


def _left(process: Process, upstream: Held, mode: str) -> None:
    upstream.held.clear()
    upstream.gone.clear()
    leave = threading.Event()
    asking = threading.Thread(target=_asked, args=(process, mode, leave))
    asking.start()
    assert upstream.held.wait(30)
    run_id = call(process, "GET", "/v1/workflows/runs").json()["data"][0]["id"]
    path = f"/v1/workflows/runs/{run_id}"
    if mode == "async":
        call(process, "POST", f"{path}/cancel")
    leave.set()
    assert upstream.gone.wait(30), f"{mode}: the call upstream goes on"
    asking.join(30)
    shown = until(lambda: _ended(call(process, "GET", path).json()))
    assert shown["status"] == "cancelled", mode
    assert [each["status"] for each in shown["steps"]] == ["done"] * 3 + ["cancelled"]
    assert shown["outputs"]["each"] and shown["outputs"]["text"] is None


def _asked(process: Process, mode: str, leave: threading.Event) -> None:
    """Ask in a way, and leave when told to."""
    path = "/v1/workflows/three/runs"
    body: dict[str, Any] = {"inputs": {"topic": "t"}, "mode": mode}
    if mode == "chat":
        path = "/v1/chat/completions"
        body = {"model": "workflow:three", "messages": [{"role": "user", "content": "t"}]}

    async def ask() -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            way = asyncio.ensure_future(_read(client, process.url + path, body))
            while not leave.is_set() and not (way.done() and mode != "async"):
                await asyncio.sleep(0.02)
            way.cancel()
            await asyncio.gather(way, return_exceptions=True)

    asyncio.run(ask())


async def _read(client: httpx.AsyncClient, url: str, body: dict[str, Any]) -> None:
    async with client.stream("POST", url, json=body, headers=AUTH) as answer:
        async for _ in answer.aiter_bytes():
            continue
