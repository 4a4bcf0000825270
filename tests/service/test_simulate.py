"""The simulated providers speak the wire; their bill equals our ledger."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from service.providers.simulated import Stream
from service.simulate import SimulatedProviders
from tests.conftest import KEY, Server, Service


def ask(url: str, **more: Any) -> httpx.Response:
    body = {"model": "mill", "messages": [{"role": "user", "content": "Describe a kite."}]} | more
    return httpx.post(url + "/v1/chat/completions", json=body)


def test_the_wire(providers: Server) -> None:
    found = httpx.get(providers.url + "/v1/models").json()["data"]
    assert [m["id"] for m in found] == ["brook", "mill", "river", "fall"]
    assert ask(providers.url, model="nobody").status_code == 404
    assert httpx.post(providers.url + "/v1/chat/completions", content=b"{").status_code == 400
    events = ask(providers.url, stream=True, stream_options={"include_usage": True}).text
    last = json.loads(events.split("data: ")[-2])
    assert events.endswith("data: [DONE]\n\n") and last["usage"]["completion_tokens"] > 0


def test_weather_by_the_wire() -> None:
    with Server(SimulatedProviders(Stream(speed=50.0)).app()) as server:
        assert ask(server.url).status_code == 200
        httpx.post(server.url + "/control", json={"model": "mill", "error_rate": 1.0})
        assert ask(server.url).status_code == 503
        httpx.post(server.url + "/control", json={"model": "mill"})
        assert ask(server.url).status_code == 200


def test_the_providers_bill_equals_the_ledger(service: Service, providers: Server) -> None:
    """Calls and tokens that the providers counted are the attempts that we logged."""
    before = httpx.get(providers.url + "/calls").json()
    start = service.runtime.kept.log.last_seq
    for index in range(40):
        body = {
            "model": "auto",
            "messages": [{"role": "user", "content": f"Describe kite {index}"}],
        }
        httpx.post(service.url + "/v1/chat/completions", json=body,
                   headers={"Authorization": f"Bearer {KEY}"})  # fmt: skip
    after = httpx.get(providers.url + "/calls").json()
    service.runtime.kept.log.flush().result(5)
    rows = service.runtime.kept.database.cursor().execute(
        "SELECT deployment, count(*), sum(tokens_in), sum(tokens_out) FROM attempts "
        "WHERE log_seq > ? GROUP BY 1", [start]
    ).fetchall()  # fmt: skip
    assert sum(row[1] for row in rows) >= 40
    for name, calls, tokens_in, tokens_out in rows:
        grown = {
            key: after["tokens"].get(f"{name}:{key}", 0) - before["tokens"].get(f"{name}:{key}", 0)
            for key in ("in", "out")
        }
        assert after["calls"][name] - before["calls"].get(name, 0) == calls
        assert grown == {"in": tokens_in, "out": tokens_out}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_gives_the_same_answer(seed: int) -> None:
    texts = []
    for _ in range(2):
        with Server(SimulatedProviders(Stream(seed=seed, speed=50.0)).app()) as server:
            texts.append(ask(server.url).json()["choices"][0]["message"]["content"])
    assert texts[0] == texts[1]
