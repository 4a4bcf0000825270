"""S03 and S04: canaries in every secret and every prompt, looked for in all that comes out."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from service.app import create_app
from service.storage.database import FILE
from service.storage.tables import NAMES
from tests.conftest import KEY, Server, make_runtime, plan_text
from tests.security.bodies import ROUTES, path_of
from tests.upstream import Upstream, http, say

PROVIDER = "canary-provider-key-5f1c9a"
PROMPT = "canary prompt 77af31 about a very particular kite"
ANSWER = "canary answer 09be44"
WRONG = "canary-wrong-key-aa81c0"
VENDOR = "canary vendor text e1d7"
HASH = "canary-hash-key-1b6f02"


@pytest.fixture
def told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> dict[str, str]:  # fmt: skip
    """All that a service says while it serves, fails and is asked everything, by where."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("CANARY_KEY", PROVIDER)
    monkeypatch.setenv("HEADGATE_HASH_KEY", HASH)
    found: dict[str, str] = {}
    with Upstream() as upstream:
        text = plan_text(upstream.url)
        text = text.replace("    base_url:", "    api_key_env: CANARY_KEY\n    base_url:")
        runtime = make_runtime(tmp_path / "state", text)
        found["repr"] = repr((runtime.catalog, runtime.plan, runtime.kept, runtime.providers,
                              runtime.router, runtime.notifier, runtime))  # fmt: skip
        with (
            Server(create_app(runtime)) as server,
            httpx.Client(base_url=server.url, timeout=30.0, trust_env=False) as client,
        ):
            client.headers["Authorization"] = f"Bearer {KEY}"
            found |= _asked(client, upstream)
            made = client.post("/admin/keys", json={"name": "canary"}).json()
            assert client.get("/v1/models", headers=_bearer(made["key"])).status_code == 200
            found["everything shown"] = "".join(
                client.get(path_of(route)).text
                for method, route in ROUTES
                if method == "GET" and "signing-secret" not in route.path
            )
            assert any(PROVIDER.encode() in sent for sent in upstream.requests), "it is in use"
            found["metrics"] = client.get("/metrics").text
        found["made key"] = made["key"]
    found["logs"] = caplog.text + "".join(capfd.readouterr())
    with duckdb.connect(str(tmp_path / "state" / FILE), read_only=True) as connection:
        found["live file"] = "".join(
            str(connection.execute(f"SELECT * FROM {name}").fetchall()) for name in NAMES
        )
    found["files"] = b"".join(
        p.read_bytes() for p in (tmp_path / "state").rglob("*") if p.is_file()
    ).decode("latin-1")
    return found


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def _asked(client: httpx.Client, upstream: Upstream) -> dict[str, str]:
    """A good answer, failures that name the vendor's words, and what is wrong with requests."""
    answer = json.dumps({"id": "u", "object": "chat.completion", "model": "m", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})  # fmt: skip
    body: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": PROMPT}]}
    errors = []
    for status, content in ((200, answer), (401, VENDOR), (500, VENDOR), (400, VENDOR)):
        text = content if status == 200 else json.dumps({"error": {"message": content + PROVIDER}})
        upstream.act = say(http(status, text.encode()))
        came = client.post("/v1/chat/completions", json=body)
        if status == 200:
            assert ANSWER in came.text
            headers = str(came.headers)
        else:
            errors.append(came.text + str(came.headers))
    errors += [
        client.post("/v1/chat/completions", json={**body, "model": "nobody"}).text,
        client.post("/v1/chat/completions", json={**body, "headgate": {"x": 1}}).text,
        client.get("/admin/status", headers=_bearer(WRONG)).text,
        client.post("/v1/feedback", content=b'{"id": "' + PROMPT.encode()).text,
        client.post("/v1/feedback", json={"id": "x", "value": 1, "x": 1}).text,
    ]
    return {"errors": "".join(errors), "headers": headers}


SECRETS = {"provider": PROVIDER, "bootstrap": KEY, "wrong": WRONG, "hash": HASH}


@pytest.mark.slow
def test_S03_S04_no_canary_comes_out(told: dict[str, str]) -> None:
    for name, secret in {**SECRETS, "made": told.pop("made key")}.items():
        for where, text in told.items():
            assert secret not in text, f"S03: the {name} key stands in {where}"
    for what, words in (("prompt", PROMPT), ("answer", ANSWER), ("vendor's text", VENDOR)):
        for where, text in told.items():
            assert words not in text, f"S04: the {what} stands in {where}"
    assert "headgate_requests_total" in told["metrics"] and "decision" in told["live file"]
