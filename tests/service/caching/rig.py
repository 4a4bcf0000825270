"""A service that keeps answers, before an upstream that counts its calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from service.app import create_app
from service.caching.desk import Caching
from service.domain.clock import new_id
from service.domain.records import Key
from service.runtime import Runtime
from service.storage.keys import digest
from tests.conftest import KEY, Server, make_runtime
from tests.upstream import SSE_HEAD, USAGE, Upstream, answer_json, event, http

PLAN = """
deployments:
  - {name: first, provider: p1, base_url: URL, model: m1, api_key_env: CHAOS_KEY,
     price: {input_usd_per_mtok: 100, output_usd_per_mtok: 200}}
  - {name: second, provider: p2, base_url: URL, model: m2, api_key_env: CHAOS_KEY,
     price: {input_usd_per_mtok: 100, output_usd_per_mtok: 200}}
tasks: [{name: code, when: has_code}]
policy: {kind: fixed, parameters: {arm: first}}
service: {attempt_timeouts_s: [20, 20, 20], deadline_s: 60, most_lag_s: 60}
cache: {tasks: {code: {enabled: false}},
        raised: {ttl_s: 172800, most_temperature: 1.0, without_temperature: true}}
"""


CLOSE = "connection: close"


class Counting:
    """An upstream whose answer is the number of the call; ``finish`` and ``text`` may be set; while
    it is held it answers nobody.
    """

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.calls = 0
        self.finish, self.text = "stop", "answer"
        self.status = 200
        self.models: list[str] = []
        self._held = False

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        number = self.calls
        asked = json.loads(self.upstream.requests[-1].split(b"\r\n\r\n", 1)[1])
        self.models.append(asked["model"])
        while self._held:
            await asyncio.sleep(0.005)
        said = f"{self.text} {number}" if self.text else ""
        if self.status != 200:
            writer.write(http(self.status, b'{"error": {"message": "no"}}', CLOSE))
        elif asked.get("stream"):
            writer.write(SSE_HEAD)
            for piece in (said[:3], said[3:]):
                writer.write(event(piece))
            end = {"index": 0, "delta": {}, "finish_reason": self.finish}
            last = {"id": "u", "created": 1, "model": "m", "choices": [end]}
            usage = last | {"choices": [], "usage": USAGE}
            for each in (last, usage):
                writer.write(b"data: " + json.dumps(each).encode() + b"\n\n")
            writer.write(b"data: [DONE]\n\n")
        else:
            whole = answer_json(said).replace(b'"stop"', f'"{self.finish}"'.encode())
            writer.write(http(200, whole, CLOSE))
        await writer.drain()

    def hold(self) -> None:
        self._held = True

    def let_go(self) -> None:
        self._held = False


class Rig:
    """The service and its upstream."""

    def __init__(self, runtime: Runtime, url: str, upstream: Counting) -> None:
        self.runtime, self.url, self.upstream = runtime, url, upstream
        self.client = httpx.Client(base_url=url, timeout=30.0, verify=False)

    @property
    def caching(self) -> Caching:
        assert self.runtime.caching is not None
        return self.runtime.caching

    def ask(self, text: str = "hello", key: str = KEY, **more: Any) -> httpx.Response:
        body = {"model": "auto", "messages": [{"role": "user", "content": text}],
                "temperature": 0} | more  # fmt: skip
        body = {name: value for name, value in body.items() if value is not None}
        path = "/v1/chat/completions"
        return self.client.post(path, json=body, headers={"Authorization": f"Bearer {key}"})

    def admin(self, path: str, **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {KEY}"}
        if not body:
            return self.client.get(path, headers=headers)
        return self.client.post(path, json=body, headers=headers)

    def key(self, tenant: str = "", name: str = "other") -> str:
        secret = f"hg-{name}-{tenant}-{new_id()}"
        self.runtime.kept.keys._put(Key(new_id(), 0, name, "caller", tenant, "", digest(secret)))
        return secret


@contextmanager
def counting() -> Iterator[Counting]:
    """An upstream that outlives a service."""
    with Upstream() as up:
        up.act = made = Counting(up)
        yield made


@contextmanager
def serving(
    state: Path, plan: str = PLAN, clock: Any = None, upstream: Counting | None = None
) -> Iterator[Rig]:
    """It, running."""
    with ExitStack() as stack:
        upstream = upstream or stack.enter_context(counting())
        up = upstream.upstream
        runtime = make_runtime(state, plan.replace("URL", up.url), clock=clock)
        server = stack.enter_context(Server(create_app(runtime)))
        made = Rig(runtime, server.url, upstream)
        stack.callback(made.client.close)
        yield made


def said(answer: httpx.Response) -> str:
    """The text of an answer, whole or streamed."""
    assert answer.status_code == 200, answer.text
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return str(answer.json()["choices"][0]["message"]["content"])
    found = ""
    for line in answer.text.split("\n"):
        if line.startswith("data: ") and line != "data: [DONE]":
            for choice in json.loads(line[6:])["choices"]:
                found += choice["delta"].get("content") or ""
    return found
