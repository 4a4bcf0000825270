"""Pictures, sound and vectors of a workflow's steps: on the way of live requests, as its chats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.app import create_app
from tests.conftest import Server, Service, make_runtime
from tests.service.api.test_chat import ended
from tests.service.api.test_modal import modal_plan

pytestmark = pytest.mark.slow

TRIO = """
name: trio
version: 1
purpose: One of each.
inputs: {text: {type: text}}
outputs:
  image: {type: image, value: drawn.image}
  audio: {type: audio, value: said.audio}
  vectors: {type: any, value: placed.vectors}
limits: {max_steps: 9, max_cost_usd: LIMIT, max_time_s: 60}
steps:
  - {id: drawn, kind: image, prompt: "{{ inputs.text }}", size: 64x64, model: fresco}
  - {id: said, kind: speech, text: "{{ inputs.text }}"}
  - {id: placed, kind: embed, of: "[inputs.text, 'another']"}
"""


@pytest.fixture(scope="module")
def service(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    state = tmp_path_factory.mktemp("trio")
    (state / "flows").mkdir()
    (state / "flows" / "trio.yaml").write_text(TRIO.replace("LIMIT", "1"), "utf-8")
    poor = TRIO.replace("LIMIT", "0.03").replace("name: trio", "name: poor")
    (state / "flows" / "poor.yaml").write_text(poor, "utf-8")
    text = modal_plan(providers.url) + "\nworkflows: {dir: flows}\n"
    with Server(create_app(runtime := make_runtime(state, text))) as server:
        yield Service(runtime, server)


def asked(service: Service, path: str, **body: Any) -> dict[str, Any]:
    answer = httpx.post(
        f"{service.url}/v1/workflows{path}", json=body, timeout=60.0,
        headers={"authorization": f"Bearer {service.key}"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_they_are_decided_billed_and_counted_as_steps_of_the_run(service: Service) -> None:
    run = asked(service, "/trio/runs", inputs={"text": "A mill at dawn."})
    assert run["status"] == "done", run
    assert run["outputs"]["image"]["media_type"] == "image/png"
    assert run["outputs"]["audio"]["media_type"] == "audio/wav"
    assert [len(each) for each in run["outputs"]["vectors"]] == [256, 256]
    for step in run["steps"]:
        case = ended(service, step["decisions"][0])
        assert case.outcome is not None
        assert case.attempts[0].role.value == "step"
        assert case.decision.caller.feature == "workflow:trio"
        assert case.outcome.usage.cost_micro_usd == round(step["cost_usd"] * 1e6)


def test_a_picture_that_is_too_dear_for_what_is_left_is_not_asked_for(service: Service) -> None:
    run = asked(service, "/poor/runs", inputs={"text": "A mill at dawn."})
    assert run["status"] == "limit" and run["error"]["code"] == "max_cost_usd"
    assert "$0.040000" in run["error"]["message"] and run["cost_usd"] < 0.03


def test_an_estimate_foresees_the_price_of_a_picture_and_of_speech(service: Service) -> None:
    text = "A mill at dawn. " * 100
    steps = {
        each["step"]: each
        for each in asked(service, "/trio/estimate", inputs={"text": text})["steps"]
    }
    assert steps["drawn"]["cost_usd"] == pytest.approx(0.04)
    assert 0.004 * 1.5 <= steps["said"]["cost_usd"] <= 0.015 * 1.7
    assert 0 < steps["placed"]["cost_usd"] < 0.0001
