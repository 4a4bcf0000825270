"""A whole service with a queue, in front of one raw upstream that does what a test says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from service.app import create_app
from service.domain.clock import new_id
from service.domain.records import Key
from service.runtime import Runtime
from service.storage.cases import rows_of
from service.storage.keys import digest
from tests.conftest import KEY, Server, make_runtime
from tests.upstream import Upstream, answer_json, http, say

PLAN = """
deployments:
  - name: one
    base_url: URL
    model: m
    price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}
  - name: two
    base_url: URL
    model: m
    price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}
queue: QUEUE
"""
QUEUE = "{enabled: true, workers: 3, tries: 3}"
DOWN = say(http(503, b"{}", "retry-after: 1"))
UP = say(http(200, answer_json("at last")))


class Rig:
    """The service, its inside, and the upstream."""

    def __init__(self, runtime: Runtime, url: str, upstream: Upstream) -> None:
        self.runtime, self.url, self.upstream = runtime, url, upstream

    def call(
        self, method: str, path: str, key: str = KEY, body: Any = None, **headers: str
    ) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.request(
            method, self.url + path, json=body, timeout=30.0,
            headers={"Authorization": f"Bearer {key}"} | named,
        )  # fmt: skip

    def ask(
        self, key: str = KEY, text: str = "hello", stream: bool = False, queue: bool = True,
        mark: str = "", **options: Any,
    ) -> httpx.Response:  # fmt: skip
        body: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": text}]}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if queue:
            body["headgate"] = {"queue": True} | options
        headers = {"Idempotency_Key": mark} if mark else {}
        return self.call("POST", "/v1/chat/completions", key, body, **headers)

    def key(self, tenant: str = "", role: str = "caller") -> str:
        secret = f"hg-{role}-{tenant}-{new_id()}"
        self.runtime.kept.keys._put(Key(new_id(), 0, role, role, tenant, "", digest(secret)))
        return secret

    def ticket(self, ticket_id: str, key: str = KEY) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/v1/tickets/{ticket_id}", key).json()
        return found

    def ended(self, ticket_id: str, key: str = KEY) -> dict[str, Any]:
        """A ticket once it is neither queued nor running."""
        return until(
            lambda: self.ticket(ticket_id, key),
            lambda found: found["status"] not in ("queued", "running"),
        )

    def acts(self, *names: str) -> list[str]:
        """The acts of these names, as logged."""
        kept = self.runtime.kept
        kept.log.flush().result(5)
        rows = rows_of(kept.database.cursor(), "SELECT act FROM acts ORDER BY log_seq")
        return [row["act"] for row in rows if row["act"] in names]


def until(look: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    """What is looked at, once it is good; half a minute at most."""
    deadline = time.monotonic() + 30
    while True:
        found = look()
        if good(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@contextmanager
def rig(state: Path, queue: str = QUEUE, more: str = "") -> Iterator[Rig]:
    """A running service with that queue."""
    with Upstream() as upstream:
        upstream.act = DOWN
        text = PLAN.replace("URL", upstream.url).replace("QUEUE", queue) + more
        runtime = make_runtime(state, text)
        with Server(create_app(runtime)) as server:
            yield Rig(runtime, server.url, upstream)
