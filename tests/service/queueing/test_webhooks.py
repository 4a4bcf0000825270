"""Webhooks are signed so that the documented sample verifies them, and come at least once."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from service.outbound import signature
from service.queueing import webhooks
from service.queueing.webhooks import signing_secret
from tests.conftest import ROOT
from tests.service.queueing.rig import UP, rig, until
from tests.upstream import http, say

pytestmark = pytest.mark.slow  # real processes, disks and clocks


class Receiver:
    """The caller's own server on loopback, with the statuses that it is to answer in turn."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                status = outer.statuses.pop(0) if outer.statuses else 200
                self.send_response(status)
                if status == 302:
                    self.send_header("location", f"http://127.0.0.1:{outer.port}/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def documented_verify() -> Any:
    """The sample of docs/queue.md, run as it stands there."""
    text = (ROOT / "docs" / "queue.md").read_text("utf-8")
    found = re.search(r"```python\n(.*?def verify.*?)```", text, re.DOTALL)
    assert found is not None
    space: dict[str, Any] = {}
    exec(found[1], space)
    return space["verify"]


def test_a_webhook_is_called_signed_until_it_is_taken(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "FIRST_S", 0.2)
    receiver.statuses = [500, 302]
    hosts = f"{{enabled: true, webhook_hosts: ['127.0.0.1:{receiver.port}']}}"
    with rig(tmp_path, hosts) as world:
        owner = world.key()
        hook = f"http://127.0.0.1:{receiver.port}/hook?x=1"
        ticket = world.ask(owner, "a canary of a prompt", webhook=hook).json()
        secret = world.call("GET", "/v1/tickets/signing-secret", owner).json()["secret"]
        assert secret != world.call("GET", "/v1/tickets/signing-secret").json()["secret"]
        world.upstream.act = UP
        until(lambda: len(receiver.got), lambda n: n == 3)
        until(lambda: world.call("GET", f"/admin/queue/{ticket['id']}").json()["webhook"],
              lambda hook: hook == {"asked": True, "calls": 3, "due": False})  # fmt: skip
    headers, body = receiver.got[-1]
    told = json.loads(body)
    assert (told["id"], told["status"]) == (ticket["id"], "done")
    assert told["answer"]["choices"][0]["message"]["content"] == "at last"
    assert b"canary" not in body and headers["x-headgate-ticket"] == ticket["id"]
    verify = documented_verify()
    assert verify(secret, headers["x-headgate-signature"], body)
    assert not verify(secret, headers["x-headgate-signature"], body + b" ")
    assert not verify("whsec_other", headers["x-headgate-signature"], body)
    old = signature(secret, int(time.time()) - 3_600, body)
    assert not verify(secret, old, body), "an old one may be a replay"


def test_a_dead_ticket_is_told_too(tmp_path: Path, receiver: Receiver) -> None:
    hosts = f"{{enabled: true, webhook_hosts: ['127.0.0.1:{receiver.port}']}}"
    with rig(tmp_path, hosts) as world:
        world.ask(webhook=f"http://127.0.0.1:{receiver.port}/")
        world.upstream.act = say(http(400, b'{"error": {"code": "bad_thing"}}'))
        until(lambda: len(receiver.got), lambda n: n == 1)
    told = json.loads(receiver.got[0][1])
    assert (told["status"], told["code"]) == ("dead", "upstream_refused")


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest", "https://hooks.test@127.0.0.1/", "https://other.test/",
     "http://hooks.test/", "https://[::1]/", "https://0x7f.1/", "file:///etc/passwd",
     "https://hooks.test:8443/", "https://hooks.test\\@127.0.0.1/"],
)  # fmt: skip
def test_S01_a_webhook_elsewhere_is_refused_before_anything_is_done(
    tmp_path: Path, url: str
) -> None:
    with rig(tmp_path, "{enabled: true, webhook_hosts: [hooks.test]}") as world:
        refused = world.ask(webhook=url)
        assert refused.status_code == 400, refused.text
        assert refused.json()["error"]["param"] == "headgate.webhook"
        assert world.upstream.requests == []


def test_the_secret_is_the_keys_own_and_the_signature_is_a_plain_hmac() -> None:
    secret = signing_secret(b"k", "one")
    assert secret != signing_secret(b"k", "two") and secret != signing_secret(b"l", "one")
    expected = hmac.new(secret.encode(), b"17.{}", hashlib.sha256).hexdigest()
    assert signature(secret, 17, b"{}") == f"t=17,v1={expected}"
