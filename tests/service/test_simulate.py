"""The simulated providers speak the wire; their bill equals our ledger."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from service.domain.chat import parse
from service.orchestration.judge import question
from service.providers.simulated import Stream
from service.simulate import SimulatedProviders, _text
from tests.conftest import KEY, Server, Service


def ask(url: str, **more: Any) -> httpx.Response:
    body = {"model": "mill", "messages": [{"role": "user", "content": "Describe a kite."}]} | more
    return httpx.post(url + "/v1/chat/completions", json=body)


def test_the_wire(providers: Server) -> None:
    found = httpx.get(providers.url + "/v1/models").json()["data"]
    assert [m["id"] for m in found][:4] == ["brook", "mill", "river", "fall"]
    assert "pigment" in [m["id"] for m in found], "and those that do not chat"
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


@pytest.mark.slow
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


def test_a_simulated_judge_prefers_the_better_simulated_answer_in_either_order() -> None:
    world = Stream(seed=11)
    providers = SimulatedProviders(world)
    prompt = "Write python code that sorts tides"
    shown = {name: world.answer(name, prompt, 1) for name in world.models}
    texts = {name: _text({}, each) for name, each in shown.items()}
    assert len(set(texts.values())) == len(texts), "told apart by their lengths"
    for one in world.models:
        assert providers.letter(prompt, texts[one], texts[one]) == "T"
        for two in world.models:
            better = shown[one].quality > shown[two].quality
            if one != two:
                assert providers.letter(prompt, texts[one], texts[two]) == "AB"[not better]
    assert providers.letter(prompt, "not of this world, answer B", texts["brook"]) == "B"


def test_a_simulated_judge_on_the_wire(providers: Server, world: Stream) -> None:
    prompt = "Describe a kite to a child."
    one, two = (_text({}, world.answer(name, prompt, 1)) for name in ("brook", "fall"))
    messages = [{"role": "user", "content": prompt}]
    asked = parse(json.dumps({"model": "auto", "messages": messages}).encode())
    body = question(asked, one, two).for_upstream("river")
    for _ in range(2):
        answer = httpx.post(providers.url + "/v1/chat/completions", content=body).json()
    better = world.answer("brook", prompt, 1).quality > world.answer("fall", prompt, 1).quality
    assert answer["choices"][0]["message"]["content"] == "AB"[not better]
    assert answer["usage"]["completion_tokens"] == 1 and answer["model"] == "river"
