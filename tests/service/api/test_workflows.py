"""Workflows over HTTP: listed, estimated, run, followed, called off, replayed, each its owner's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from service.app import create_app
from service.check import load_checked
from service.domain.clock import new_id
from service.domain.errors import PlanInvalid
from tests.conftest import Server, Service, make_runtime, plan_text

pytestmark = pytest.mark.slow

OWN = """
name: two-views
version: 2
purpose: Two answers side by side, and one of both.
inputs:
  topic: {type: text, max_length: 2000}
  more: {type: list of text, default: []}
outputs:
  text: {value: "first(both.text, one.text)"}
  others: {type: list of text, value: others.text}
chat_input: topic
chat_output: text
limits: {max_steps: 20, max_cost_usd: 2, max_time_s: 60}
steps:
  - {id: one, kind: chat, prompt: "Say one thing about {{ inputs.topic }}", max_tokens: 200}
  - {id: two, kind: chat, prompt: "Another about {{ inputs.topic }}", max_tokens: 200}
  - id: others
    kind: chat
    map: {over: inputs.more}
    prompt: "About {{ item }}"
    max_tokens: 100
  - id: both
    kind: chat
    prompt: "Join: {{ one.text }} and {{ two.text }}"
    max_tokens: 200
"""


@pytest.fixture(scope="module")
def flows(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a workflow of its own."""
    state = tmp_path_factory.mktemp("flows")
    (state / "flows").mkdir()
    (state / "flows" / "two-views.yaml").write_text(OWN, "utf-8")
    calm = {"deadline_s: 75": "deadline_s: 75\n  most_lag_s: 60"}
    text = plan_text(providers.url, **calm) + "\nworkflows: {dir: flows}\n"
    runtime = make_runtime(state, text)
    with Server(create_app(runtime)) as server:
        yield Service(runtime, server)


def call(flows: Service, method: str, path: str, key: str = "", **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key or flows.key}", **more.pop("headers", {})}
    url = f"{flows.url}/v1/workflows{path}"
    return httpx.request(method, url, headers=headers, timeout=60.0, **more)


def a_key(flows: Service, tenant: str = "", name: str = "") -> str:
    made = httpx.post(
        f"{flows.url}/admin/keys", headers={"authorization": f"Bearer {flows.key}"},
        json={"name": name or f"w-{new_id()}", "role": "caller", "tenant": tenant, "reason": "t"},
    )  # fmt: skip
    assert made.status_code in (200, 201), made.text
    return str(made.json()["key"])


def test_what_there_is_is_listed_and_shown_with_its_graph(flows: Service) -> None:
    names = [each["name"] for each in call(flows, "GET", "").json()["data"]]
    assert "two-views" in names and "draft-refine-check" in names
    shown = call(flows, "GET", "/two-views").json()
    nodes = {each["id"]: each for each in shown["graph"]}
    assert nodes["both"]["needs"] == ["one", "two"] and shown["inputs"]["topic"]["required"]
    missing = call(flows, "GET", "/nothing")
    assert missing.status_code == 404 and missing.json()["error"]["code"] == "workflow_not_found"


def test_a_sync_run_tells_its_outputs_its_steps_and_what_they_cost(flows: Service) -> None:
    body = {"inputs": {"topic": "rivers", "more": ["a", "b"]}}
    answer = call(flows, "POST", "/two-views/runs", json=body)
    run = answer.json()
    assert answer.status_code == 200 and run["status"] == "done", run
    assert run["outputs"]["text"] and len(run["outputs"]["others"]) == 2
    assert run["usage"]["calls"] == 5
    assert run["cost_usd"] == pytest.approx(sum(each["cost_usd"] for each in run["steps"]))
    assert answer.headers["x-headgate-run-id"] == run["id"]
    decision = run["steps"][0]["decisions"][0]
    seen = httpx.get(
        f"{flows.url}/v1/decisions/{decision}", headers={"authorization": f"Bearer {flows.key}"}
    ).json()
    assert seen["attempts"][0]["role"] == "step"


def test_as_a_model_it_is_refused_by_a_budget_as_any_request_is(flows: Service) -> None:
    name, admin = f"poor-{new_id()}", {"authorization": f"Bearer {flows.key}"}
    key = a_key(flows, name=name)
    put = httpx.post(
        f"{flows.url}/admin/keys/{name}/budget", headers=admin,
        json={"period": "day", "hard_usd": 0.000001, "reason": "it has next to nothing"},
    )  # fmt: skip
    assert put.status_code == 200, put.text
    with (
        openai.OpenAI(base_url=f"{flows.url}/v1", api_key=key, max_retries=0) as client,
        pytest.raises(openai.RateLimitError) as refused,
    ):
        client.chat.completions.create(
            model="workflow:two-views", messages=[{"role": "user", "content": "sea"}]
        )
    assert refused.value.code == "budget_exceeded"
    assert "headgate.queue" not in refused.value.message
    assert refused.value.response.headers["x-should-retry"] == "false"


def test_inputs_are_refused_by_name_before_anything_is_called(flows: Service) -> None:
    for inputs, param in (
        ({}, "inputs.topic"), ({"topic": 3}, "inputs.topic"), ({"topic": "x", "y": 1}, "inputs.y"),
        ({"topic": "x" * 2001}, "inputs.topic"), ({"topic": "x", "more": ["a", 1]}, "inputs.more"),
    ):  # fmt: skip
        answer = call(flows, "POST", "/two-views/runs", json={"inputs": inputs})
        assert answer.status_code == 400 and answer.json()["error"]["param"] == param
    assert call(flows, "POST", "/two-views/runs", json={"modus": 1}).status_code == 422
    head = {"content-type": "application/json"}
    body = b'{"inputs": {"topic": "\\ud800"}}'
    half = call(flows, "POST", "/two-views/runs", content=body, headers=head)
    assert half.status_code == 400 and half.json()["error"]["param"] == "inputs.topic"


def test_an_async_run_is_followed_replayed_and_erased(flows: Service) -> None:
    body = {"inputs": {"topic": "hills"}, "mode": "async"}
    head = {"idempotency-key": f"k-{new_id()}"}
    made = call(flows, "POST", "/two-views/runs", json=body, headers=head)
    run_id = made.json()["id"]
    assert made.status_code == 202
    told = call(flows, "GET", f"/runs/{run_id}/events").text
    names = [line[7:] for line in told.splitlines() if line.startswith("event: ")]
    assert names[0] == "run.started" and names[-1] == "run.done"
    assert names.count("step.done") == 3
    again = call(flows, "POST", "/two-views/runs", json=body, headers=head)
    assert again.json()["id"] == run_id
    other = call(flows, "POST", "/two-views/runs", headers=head,
                 json={"inputs": {"topic": "else"}, "mode": "async"})  # fmt: skip
    assert other.status_code == 409
    replay = call(flows, "POST", f"/runs/{run_id}/replay").json()
    assert replay["same"] and set(replay["paths"]) == {"one", "two", "both"}
    assert run_id in [each["id"] for each in call(flows, "GET", "/runs").json()["data"]]
    assert call(flows, "DELETE", f"/runs/{run_id}").json()["deleted"]
    assert call(flows, "POST", f"/runs/{run_id}/replay").status_code == 404
    assert not call(flows, "GET", f"/runs/{run_id}").json()["outputs"]


def test_a_stream_tells_each_step_and_ends_with_the_run(flows: Service) -> None:
    body = {"inputs": {"topic": "lakes"}, "mode": "stream"}
    told = call(flows, "POST", "/two-views/runs", json=body)
    assert told.headers["content-type"].startswith("text/event-stream")
    last = json.loads(told.text.strip().split("data: ")[-1])
    assert last["status"] == "done" and last["outputs"]["text"]


def test_S13_a_run_is_its_owners_and_its_tenants(flows: Service) -> None:
    owner, mate = a_key(flows, "acme"), a_key(flows, "acme")
    other, alone = a_key(flows, "umbrella"), a_key(flows)
    run_id = call(flows, "POST", "/two-views/runs", owner,
                  json={"inputs": {"topic": "secret"}, "keep": True}).json()["id"]  # fmt: skip
    for key, status in ((owner, 200), (mate, 200), (other, 404), (alone, 404)):
        for path in (f"/runs/{run_id}", f"/runs/{run_id}/events"):
            assert call(flows, "GET", path, key).status_code == status
        assert call(flows, "POST", f"/runs/{run_id}/replay", key).status_code == status
        mine = [each["id"] for each in call(flows, "GET", "/runs", key).json()["data"]]
        assert (run_id in mine) == (status == 200)
    for key in (other, alone):
        for method, path in (("POST", f"/runs/{run_id}/cancel"), ("DELETE", f"/runs/{run_id}")):
            assert call(flows, method, path, key).status_code == 404


def test_the_official_client_asks_a_workflow_as_a_model(flows: Service) -> None:
    client = openai.OpenAI(api_key=flows.key, base_url=f"{flows.url}/v1", max_retries=0)
    with client:
        assert "workflow:two-views" in [each.id for each in client.models.list()]
        ask: Any = {"model": "workflow:two-views", "messages": [{"role": "user", "content": "sea"}]}
        raw = client.chat.completions.with_raw_response.create(**ask)
        answer = raw.parse()
        assert answer.choices[0].message.content and answer.model == "workflow:two-views"
        assert answer.usage is not None and answer.usage.total_tokens > 0
        run_id = raw.headers["x-headgate-decision-id"]
        run = call(flows, "GET", f"/runs/{run_id}").json()
        assert float(raw.headers["x-headgate-cost"]) == pytest.approx(run["cost_usd"], abs=1e-6)
        assert int(raw.headers["x-headgate-attempts"]) == run["usage"]["calls"] == 3
        stream = client.chat.completions.create(
            **ask, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert chunks[-1].usage is not None and chunks[-1].usage.total_tokens > 0
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**(ask | {"model": "workflow:none"}))


def test_an_estimate_calls_nothing_and_is_learned(flows: Service, providers: Server) -> None:
    before = httpx.get(f"{providers.url}/calls").json()["calls"]
    body = {"inputs": {"topic": "estimates", "more": ["a", "b", "c"]}}
    shown = call(flows, "POST", "/two-views/estimate", json=body).json()
    assert httpx.get(f"{providers.url}/calls").json()["calls"] == before
    counts = {each["step"]: each["executions"] for each in shown["steps"]}
    assert counts == {"one": 1, "two": 1, "others": 3, "both": 1}
    assert 0 < shown["cost_usd"]["low"] <= shown["cost_usd"]["mean"] <= shown["cost_usd"]["high"]


def test_a_plan_with_a_bad_workflow_is_refused_with_file_and_line(
    providers: Server, tmp_path: Path
) -> None:
    bad = OWN.replace("two-views", "bad").replace("one.text", "one.txt")
    (tmp_path / "bad.yaml").write_text(bad)
    plan = tmp_path / "plan.yaml"
    plan.write_text(plan_text(providers.url) + "\nworkflows: {files: [bad.yaml]}\n")
    with pytest.raises(PlanInvalid) as found:
        load_checked(plan)
    told = str(found.value)
    assert "bad.yaml: outputs.text.value" in told and "did you mean text?" in told


@pytest.mark.parametrize(("more", "param"), [
    ({"headgate": {"data_policy": ["no_training"]}}, "headgate.data_policy"),
    ({"headgate": {"max_cost_usd": 0.01}}, "headgate.max_cost_usd"),
    ({"headgate": {"queue": True}}, "headgate.queue"), ({"n": 2}, "n"),
    ({"response_format": {"type": "json_object"}}, None),
])  # fmt: skip
def test_what_would_be_left_out_in_silence_is_refused_by_name(
    flows: Service, more: dict[str, Any], param: str | None
) -> None:
    said = [{"role": "user", "content": "rivers"}]
    answer = httpx.post(
        f"{flows.url}/v1/chat/completions", headers={"authorization": f"Bearer {flows.key}"},
        json={"model": "workflow:two-views", "messages": said, **more}, timeout=60,
    )  # fmt: skip
    assert answer.status_code == 400 and answer.json()["error"]["param"] == param
