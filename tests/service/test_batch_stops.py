"""Batches over kill -9: every request gets exactly one line, and what had its result is not asked
again.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

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
batches: {most_at_once: 2, most_per_key: 2}
console: {enabled: false}
"""


class Held(Upstream):
    """Answers, but holds the seventh request and those after it while it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.holds, self.held = True, threading.Event()
        self.act = self._act

    async def _act(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self.requests) >= 7 and self.holds:
            self.held.set()
            async with asyncio.timeout(30):
                await reader.read()
            return
        writer.write(http(200, answer_json(f"said {len(self.requests)}"), "connection: close"))
        await writer.drain()


def serve(state: Path) -> Process:
    made = Process("serve", "--plan", str(state / "plan.yaml"), "--state", str(state / "state"),
                   log=state / "log")  # fmt: skip
    made.ready()
    return made


def call(process: Process, method: str, path: str, **more: Any) -> httpx.Response:
    return httpx.request(method, process.url + path, headers=AUTH, timeout=40.0, **more)


def test_kill_9_in_the_middle_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with Held() as upstream:
        (tmp_path / "plan.yaml").write_text(PLAN.replace("UPSTREAM", upstream.url), "utf-8")
        process = serve(tmp_path)
        lines = [
            {"custom_id": f"n-{n}", "url": "/v1/chat/completions",
             "body": {"model": "auto", "messages": [{"role": "user", "content": f"mark-{n}."}]}}
            for n in range(12)
        ]  # fmt: skip
        content = "\n".join(json.dumps(each) for each in lines)
        file_id = call(process, "POST", "/v1/files", data={"purpose": "batch"},
                       files={"file": ("in.jsonl", content)}).json()["id"]  # fmt: skip
        body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions",
                "completion_window": "1h"}  # fmt: skip
        batch_id = call(process, "POST", "/v1/batches", json=body).json()["id"]
        assert upstream.held.wait(30)
        before = call(process, "GET", f"/v1/batches/{batch_id}").json()["request_counts"]
        process.kill()
        upstream.holds = False
        process = serve(tmp_path)
        try:
            until = time.monotonic() + 60
            while (found := call(process, "GET", f"/v1/batches/{batch_id}").json())[
                "status"
            ] == "in_progress":
                assert time.monotonic() < until, found
                time.sleep(0.05)
            assert found["status"] == "completed" and found["error_file_id"] is None
            output = call(process, "GET", f"/v1/files/{found['output_file_id']}/content").text
            names = [json.loads(each)["custom_id"] for each in output.splitlines()]
            assert names == [f"n-{n}" for n in range(12)]
            asked = [sum(f"mark-{n}.".encode() in each for each in upstream.requests)
                     for n in range(12)]  # fmt: skip
            # What was under way at the kill is asked again (at most as many as run at once, and
            # one whose answer was being written); what had its result is not.
            assert min(asked) == 1 and sum(asked) <= 12 + 2 + 1
            assert before["completed"] >= 4
            # What has its line is in the ledger, however soon after it the kill came.
            (row,) = call(process, "GET", "/admin/batches/savings").json()["rows"]
            told = [json.loads(each)["headgate"] for each in output.splitlines()]
            assert row["requests"] == row["completed"] == 12
            assert row["paid_micro_usd"] >= sum(round(each["cost_usd"] * 1e6) for each in told) > 0
        finally:
            assert process.stop() == 0
