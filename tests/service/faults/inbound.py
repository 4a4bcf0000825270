"""A service with narrow bounds, its provider on a raw socket, and callers on raw sockets."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from service.app import create_app
from service.runtime import Runtime
from tests.conftest import KEY, Server, make_runtime
from tests.upstream import Upstream, answer_json, http, say

AUTH = {"Authorization": f"Bearer {KEY}"}
PATH = "/v1/chat/completions"
GOOD: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
ANSWER = http(200, answer_json(), "connection: close")
PLAN = """
deployments:
  - {name: one, provider: p1, base_url: URL, model: m, context_window: 10000000,
     price: {input_usd_per_mtok: 100, output_usd_per_mtok: 100}}
policy: {kind: fixed}
"""


class Rig:
    """The service's inside, its address, and its provider."""

    def __init__(self, runtime: Runtime, server: Server, upstream: Upstream) -> None:
        self.runtime, self.server, self.upstream = runtime, server, upstream
        self.url, self.port = server.url, server.port
        self.client = httpx.Client(
            base_url=server.url, headers=AUTH, timeout=30, verify=False, trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )  # fmt: skip

    def refused(self, reason: str) -> int:
        return self.runtime.load.refusals[reason]

    def healthy(self) -> None:
        """It answers an honest caller, and nothing is left of those before."""
        self.upstream.act = say(ANSWER)
        answer = self.client.post(PATH, json=GOOD)
        assert answer.status_code == 200, answer.text
        load = self.runtime.load
        wait_for(lambda: (load.under_way, load.held_bytes) == (0, 0))
        assert self.runtime.kept.log.healthy and self.runtime.ready() == []

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        made = socket.socket()
        if receive_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        made.settimeout(10)
        made.connect(("127.0.0.1", self.port))
        return made

    def exchange(self, data: bytes) -> bytes:
        """Send, then read until the service closes."""
        with self.connect() as sock:
            sock.sendall(data)
            return rest(sock)


@contextlib.contextmanager
def running(state: Path, **service: Any) -> Iterator[Rig]:
    """A service with these bounds in its plan."""
    with Upstream() as upstream:
        text = PLAN.replace("URL", upstream.url) + f"service: {json.dumps(service)}\n"
        runtime = make_runtime(state, text)
        with Server(create_app(runtime)) as server:
            rig = Rig(runtime, server, upstream)
            with rig.client:
                yield rig


def head(*lines: str, path: str = PATH, method: str = "POST", key: str = KEY) -> bytes:
    """A request's head."""
    first = f"{method} {path} HTTP/1.1"
    return "\r\n".join(
        [first, "Host: x", f"Authorization: Bearer {key}", *lines, "", ""]
    ).encode("latin-1")  # fmt: skip


def post(body: bytes, *lines: str, path: str = PATH) -> bytes:
    """A whole request."""
    return head(f"Content-Length: {len(body)}", *lines, path=path) + body


def rest(sock: socket.socket) -> bytes:
    """All that comes until the peer closes."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := sock.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def one_answer(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One answer with a Content-Length, from a connection that stays open."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65_536)
        assert part, data
        data += part
    top, _, body = data.partition(b"\r\n\r\n")
    lines = top.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    while len(body) < int(headers["content-length"]):
        body += sock.recv(65_536)
    return int(lines[0].split()[1]), headers, body


def status_of(answer: bytes) -> int:
    """The status of a raw answer whose body is an error of OpenAI's shape."""
    top, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert set(error) >= {"message", "type", "param", "code"} and error["message"], answer
    assert b"x-request-id: " in top
    return int(top.split()[1])


def wait_for(found: Callable[[], bool], seconds: float = 5.0) -> None:
    """Until it is so; fails when it does not become so."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def rss_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6
