"""Conversations over HTTP: carried on, one turn at a time, each tenant's own, erased for good."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.domain.clock import new_id
from service.domain.records import Key
from service.providers.simulated import Stream
from service.simulate import SimulatedProviders
from service.storage.keys import digest
from tests.conftest import KEY, HandClock, Server, Service, make_runtime
from tests.service.cli.test_commands import run
from tests.upstream import SSE_HEAD, Upstream, event
from tests.upstream import say as say_raw

CANARY = "canary-zephyr-8841"
PLAN = """
deployments:
  - name: claude
    dialect: anthropic
    provider: north
    base_url: {url}/v1
    model: fall
    context_window: 3000
    price: {{input_usd_per_mtok: 3, output_usd_per_mtok: 15}}
  - name: flash
    dialect: gemini
    provider: south
    base_url: {url}/v1beta
    model: river
    price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 4}}
  - name: plain
    provider: west
    base_url: {url}/v1
    model: mill
    price: {{input_usd_per_mtok: 0.4, output_usd_per_mtok: 1.6}}
service: {{most_lag_s: 60}}
conversations: {{enabled: true, keys: [always], reserve_tokens: 300, most_turns: 40}}
"""
ONE = """
deployments:
  - name: only
    base_url: {url}/v1
    model: m
    price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}
service: {{most_lag_s: 60}}
conversations: {{enabled: true}}
"""
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {
    "type": "object", "properties": {"place": {"type": "string"}}}}}  # fmt: skip


class Watched(SimulatedProviders):
    """Remembers what each deployment was sent, and may be held up."""

    def __init__(self) -> None:
        super().__init__(Stream(seed=5, speed=200.0))
        self.sent: list[list[dict[str, Any]]] = []
        self.gate: threading.Event | None = None

    async def _shown(self, body: dict[str, Any], model: str, prompt: str) -> Any:
        self.sent.append(body["messages"])
        while self.gate is not None and not self.gate.is_set():
            await asyncio.sleep(0.005)
        return await super()._shown(body, model, prompt)


@pytest.fixture(scope="module")
def watched() -> Watched:
    return Watched()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, watched: Watched) -> Iterator[Service]:
    with Server(watched.app()) as providers:
        state = tmp_path_factory.mktemp("kept")
        runtime = make_runtime(state, PLAN.format(url=providers.url))
        with Server(create_app(runtime)) as server:
            yield Service(runtime, server)


def key_of(service: Service, name: str, tenant: str = "") -> str:
    secret = f"hg-{name}-{new_id()}"
    made = Key(new_id(), 0, name, "caller", tenant, "", digest(secret))
    service.runtime.kept.keys._put(made)
    return secret


def call(service: Service, method: str, path: str, key: str = KEY, **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.request(method, service.url + path, headers=headers, timeout=30, **more)


def say(service: Service, name: str, *messages: Any, key: str = KEY, **more: Any) -> httpx.Response:
    said = [m if isinstance(m, dict) else {"role": "user", "content": m} for m in messages]
    wish = more.pop("conversation", True)
    body = {"model": "auto", "messages": said,
            "headgate": {"session_id": name, "conversation": wish}} | more  # fmt: skip
    return call(service, "POST", "/v1/chat/completions", key, json=body)


def test_a_conversation_with_tools_goes_over_three_dialects_and_back(
    service: Service, watched: Watched
) -> None:
    system = {"role": "system", "content": "Be kind."}
    told = say(service, "tour", system, "Weather?", model="plain", tools=[TOOL])
    assert told.status_code == 200 and told.headers["x-headgate-conversation-kept"] == "yes"
    for name in ("claude", "flash", "plain", "claude"):
        (asked,) = told.json()["choices"][0]["message"]["tool_calls"]
        result = {"role": "tool", "tool_call_id": asked["id"], "content": f"rain by {name}"}
        told = say(service, "tour", result, model=name, tools=[TOOL], tool_choice="none")
        assert told.status_code == 200, told.text
        told = say(service, "tour", "Again?", model=name, tools=[TOOL], stream=name == "flash")
        assert told.status_code == 200, told.text
        last = watched.sent[-1]
        assert "Be kind." in json.dumps(last[0]) and "Weather?" in json.dumps(last)
        if name == "flash":  # a streamed call is put together
            kept = call(service, "GET", "/v1/conversations/tour").json()["turns"][-1]
            told = httpx.Response(200, json={"choices": [{"message": kept["messages"][-1]}]})
    whole = call(service, "GET", "/v1/conversations/tour").json()
    assert [turn["deployment"] for turn in whole["turns"]] == ["plain"] + [
        name for name in ("claude", "flash", "plain", "claude") for _ in range(2)
    ]
    assert whole["schema"] == 1 and whole["system"] == [system]
    (asked,) = told.json()["choices"][0]["message"]["tool_calls"]
    for wrong in ("And now?", {"role": "tool", "tool_call_id": "other", "content": "x"}):
        refused = say(service, "tour", wrong, model="plain", tools=[TOOL])
        assert refused.json()["error"]["code"] == "tool_results_expected", refused.text


def test_each_deployment_is_sent_what_it_can_take(service: Service, watched: Watched) -> None:
    for number in range(12):
        told = say(service, "long", f"In year {1900 + number} the well of Orm was dug. " * 8,
                   model="plain")  # fmt: skip
        assert told.status_code == 200
    sizes = {}
    for name in ("claude", "plain"):
        assert (
            say(service, "long", "And?", model=name, conversation={"store": False}).status_code
            == 200
        )
        sizes[name] = len(json.dumps(watched.sent[-1])) // 3
    assert sizes["claude"] < 2_900 < sizes["plain"]
    notes = json.dumps(watched.sent[-2])
    assert "Notes kept" in notes and "1900" in notes, "what was left out is told of in notes"
    assert len(call(service, "GET", "/v1/conversations/long").json()["turns"]) == 12


def test_pins_stay_and_users_do_not_share_a_session(service: Service, watched: Watched) -> None:
    pin = {"pin": ["The boat is called Selma."]}
    assert say(service, "pin", "Hello.", user="ann", conversation=pin).status_code == 200
    assert say(service, "pin", "And?", user="ann").status_code == 200
    assert "Selma" in json.dumps(watched.sent[-1])
    other = say(service, "pin", "And?", user="bob")
    assert other.json()["error"]["code"] == "conversation_of_another_user"
    assert say(service, "pin", "x", conversation={"pin": ["y" * 501]}).status_code == 400
    history = say(service, "pin", "a", {"role": "assistant", "content": "b"}, "c", user="ann")
    assert history.json()["error"]["code"] == "conversation_known"


def test_off_unless_asked_and_by_key(service: Service, watched: Watched) -> None:
    for wish in (False, None):
        told = say(service, "off", "Hello.", conversation=wish)
        assert told.status_code == 200 and "x-headgate-conversation" not in told.headers
    assert call(service, "GET", "/v1/conversations/off").status_code == 404
    always = key_of(service, "always")
    assert say(service, "on", "Hi.", key=always, conversation=None).headers[
        "x-headgate-conversation-kept"] == "yes"  # fmt: skip
    assert "x-headgate-conversation" not in say(
        service, "on", "Hi.", key=always, conversation=False).headers  # fmt: skip
    refused = say(service, "a/b", "Hi.")
    assert refused.status_code == 400 and "letters, digits" in refused.text


def test_tenants_are_strangers(service: Service, watched: Watched) -> None:
    """The same name is another conversation for each; ids of one lead nowhere for the other."""
    mine, kin = key_of(service, "a", "acme"), key_of(service, "b", "acme")
    theirs, plain = key_of(service, "c", "umbrella"), key_of(service, "d")
    first = say(service, "same", f"{CANARY} of acme", key=mine, user="u")
    response = first.json()["id"].replace("chatcmpl-", "resp_")
    for key in (theirs, plain, KEY):
        assert call(service, "GET", "/v1/conversations/same", key).status_code == 404
        assert call(service, "DELETE", "/v1/conversations/same", key).status_code == 404
        assert call(service, "GET", f"/v1/responses/{response}", key).status_code == 404
        assert call(service, "DELETE", f"/v1/responses/{response}", key).status_code == 404
        gone = call(service, "DELETE", "/v1/users/u/conversations", key).json()
        assert gone["deleted"] == 0
        then = call(service, "POST", "/v1/responses", key, json={
            "model": "auto", "input": "x", "previous_response_id": response})  # fmt: skip
        assert then.status_code == 400
        assert then.json()["error"]["code"] == "previous_response_not_found"
        assert say(service, "same", "What was said?", key=key).status_code == 200
        assert CANARY not in json.dumps(watched.sent[-1])
    assert say(service, "same", "And?", key=kin, user="u").status_code == 200
    assert CANARY in json.dumps(watched.sent[-1]), "another key of the same tenant goes on with it"
    labelled = {"metadata": {"tenant": "acme"}}
    assert say(service, "same", "What?", key=plain, **labelled).status_code == 200
    assert CANARY not in json.dumps(watched.sent[-1]), "a label opens no tenant's conversation"
    assert call(service, "GET", "/v1/conversations/same?tenant=acme", plain).status_code == 200


def test_one_turn_at_a_time(service: Service, watched: Watched) -> None:
    assert say(service, "turns", "One.").status_code == 200
    watched.gate = threading.Event()
    found: list[httpx.Response] = []
    slow = threading.Thread(target=lambda: found.append(say(service, "turns", "Two.")))
    try:
        slow.start()
        desk = service.runtime.conversations
        assert desk is not None
        deadline = time.monotonic() + 20
        while not desk._open and time.monotonic() < deadline:
            time.sleep(0.005)
        refused = say(service, "turns", "Three.")
    finally:
        watched.gate.set()
        slow.join(timeout=30)
        watched.gate = None
    assert refused.status_code == 409 and refused.headers["retry-after"]
    assert refused.json()["error"]["code"] == "conversation_locked"
    assert found[0].status_code == 200 and not desk._open
    turns = call(service, "GET", "/v1/conversations/turns").json()["turns"]
    assert [turn["messages"][0]["content"] for turn in turns] == ["One.", "Two."]


def everything(state: Path) -> bytes:
    return b"\x00".join(p.read_bytes() for p in sorted(state.rglob("*")) if p.is_file())


@pytest.mark.slow
def test_what_is_erased_is_in_no_byte_of_the_state(tmp_path: Path, watched: Watched) -> None:
    """By user, by conversation, by response, and by time."""
    clock = HandClock()
    with Server(watched.app()) as providers:
        runtime = make_runtime(tmp_path, PLAN.format(url=providers.url), clock=clock)
        with Server(create_app(runtime)) as server:
            service = Service(runtime, server)
            words = {"user": f"{CANARY}-a", "name": f"{CANARY}-b", "turn": f"{CANARY}-c",
                     "time": f"{CANARY}-d"}  # fmt: skip
            for number in range(3):
                text = f"{words['user']} my name is Ada {number}. " * 20
                assert say(service, f"u{number}", text, user="ann@example.com").status_code == 200
            assert say(service, "n", words["name"] * 30).status_code == 200
            assert say(service, "t", "Before.").status_code == 200
            told = say(service, "t", words["turn"])
            assert say(service, "t", "After.").status_code == 200
            assert say(service, "old", words["time"]).status_code == 200
            runtime.publish()
            before = everything(tmp_path)
            assert all(word.encode() in before for word in words.values())
            gone = call(service, "DELETE", "/v1/users/ann@example.com/conversations").json()
            assert gone["deleted"] == 3
            assert call(service, "DELETE", "/v1/conversations/n").status_code == 200
            response = told.json()["id"].replace("chatcmpl-", "resp_")
            assert call(service, "DELETE", f"/v1/responses/{response}").json()["deleted"] is True
            kept = call(service, "GET", "/v1/conversations/t").json()["turns"]
            assert [t["messages"][0]["content"] for t in kept] == ["Before.", "After."]
            clock.advance(31 * 86_400.0)
            desk = runtime.conversations
            assert desk is not None
            deadline = time.monotonic() + 30
            while call(service, "GET", "/v1/conversations/old").status_code != 404:
                assert time.monotonic() < deadline
                asyncio.run(desk.expire())
            runtime.publish()
            live = everything(tmp_path)
    after = everything(tmp_path)
    for name, word in words.items():
        assert word.encode() not in live and word.encode() not in after, name
    assert b"ann@example.com" not in after


@pytest.mark.slow
def test_a_restart_goes_on_where_it_was(tmp_path: Path, watched: Watched) -> None:
    with Server(watched.app()) as providers:
        plan = PLAN.format(url=providers.url)
        for text in (f"{CANARY} one", "two"):
            runtime = make_runtime(tmp_path, plan)
            with Server(create_app(runtime)) as server:
                assert say(Service(runtime, server), "r", text).status_code == 200
    assert CANARY in json.dumps(watched.sent[-1])


def test_a_half_answer_is_not_kept(tmp_path: Path) -> None:
    """Nor what it was asked with: the turn is sent again, and follows the last whole one."""
    with Upstream() as upstream:
        text = ONE.format(url=upstream.url)
        runtime = make_runtime(tmp_path / "state", text)
        with Server(create_app(runtime)) as server:
            service = Service(runtime, server)
            assert say(service, "h", "One.").status_code == 200
            upstream.act = say_raw(SSE_HEAD, event("half a"))
            broken = say(service, "h", "Two.", stream=True)
            assert "stream_interrupted" in broken.text
            turns = call(service, "GET", "/v1/conversations/h").json()["turns"]
            assert [turn["messages"][0]["content"] for turn in turns] == ["One."]
            upstream.act = say_raw(SSE_HEAD, event("whole"), b"data: [DONE]\n\n")
            assert "[DONE]" in say(service, "h", "Two.", stream=True).text
            turns = call(service, "GET", "/v1/conversations/h").json()["turns"]
            assert [turn["messages"][-1]["content"] for turn in turns][-1] == "whole"


@pytest.mark.slow
def test_the_commands(service: Service, watched: Watched, tmp_path: Path) -> None:
    for name in ("cli", "cli2"):
        assert say(service, name, "My name is Ada Byron.", user="eve").status_code == 200
    code, out, err = run("conversation", "show", "cli", "--url", service.url)
    assert code == 0 and "My name is Ada Byron." in out, err
    file = tmp_path / "c.json"
    code, out, err = run("conversation", "export", "cli", str(file), "--url", service.url, "--json")
    assert code == 0 and json.loads(out)["turns"] == 1, err
    assert json.loads(file.read_text("utf-8"))["entities"]["name"] == ["Ada Byron"]
    assert file.stat().st_mode & 0o077 == 0
    code, out, _ = run("conversation", "delete", "cli", "--url", service.url)
    assert code == 0 and "erased: 1" in out
    assert run("conversation", "show", "cli", "--url", service.url)[0] == 2
    assert run("conversation", "delete", "--url", service.url)[0] == 2
    code, out, _ = run("conversation", "delete", "--user", "eve", "--everywhere", "--url",
                       service.url, "--json")  # fmt: skip
    assert code == 0 and json.loads(out)["deleted"] == 1
    code, out, err = run("cost", "caches", "--url", service.url, "--json")
    assert code == 0 and json.loads(out)["total"]["saved_micro_usd"] == 0, err
