"""A plan of three dialects: every front over every back, and a fallback from one to the other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from service.app import create_app
from service.providers.simulated import Stream, Weather, prompts
from service.simulate import SimulatedProviders
from tests.conftest import KEY, Server, Service, make_runtime
from tests.service.api.test_chat import ended
from tests.service.api.test_shadows import Stage

pytestmark = pytest.mark.slow  # the vendors' clients take seconds to be imported

PLAN = """
deployments:
  - name: claude
    dialect: anthropic
    provider: north
    base_url: {url}/v1
    model: fall
    capabilities: [tools, json, images]
    price: {{input_usd_per_mtok: 3, output_usd_per_mtok: 15}}
  - name: flash
    dialect: gemini
    provider: south
    base_url: {url}/v1beta
    model: river
    capabilities: [tools, json, images, audio]
    price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 4}}
  - name: plain
    provider: west
    base_url: {url}/v1
    model: mill
    price: {{input_usd_per_mtok: 0.4, output_usd_per_mtok: 1.6}}
service: {{most_lag_s: 60}}  # the clients share this process, and take long to be imported
fallbacks:
  - tiers:
      - {{use: [claude], timeout_s: 5}}
      - {{use: [plain, flash], timeout_s: 5}}
"""
TOOL: Any = {"type": "object", "properties": {"place": {"type": "string"}}}
ASKED: Any = [{"role": "user", "content": "Describe the tide."}]
NAMES = ("claude", "flash", "plain")


@pytest.fixture(scope="module")
def world() -> Stream:
    return Stream(seed=5, speed=50.0)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, world: Stream) -> Iterator[Service]:
    with Server(SimulatedProviders(world).app()) as providers:
        state = tmp_path_factory.mktemp("dialects")
        runtime = make_runtime(state, PLAN.format(url=providers.url))
        with Server(create_app(runtime)) as server:
            yield Service(runtime, server)


@pytest.fixture
def oai(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=service.url + "/v1", api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture
def claude(service: Service) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=service.url, api_key=KEY, max_retries=0) as made:
        yield made


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_every_front_over_every_back(
    oai: openai.OpenAI, claude: anthropic.Anthropic, name: str, stream: bool
) -> None:
    if stream:
        chunks = oai.chat.completions.create(model=name, messages=ASKED, stream=True)
        told = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        with claude.messages.stream(model=name, max_tokens=400, messages=ASKED) as opened:
            also = opened.get_final_text()
        with oai.responses.stream(model=name, input=ASKED) as events:
            for _ in events:
                pass
            third = events.get_final_response().output_text
    else:
        answer = oai.chat.completions.create(model=name, messages=ASKED)
        assert answer.model == name and answer.usage is not None
        assert answer.usage.completion_tokens > 0
        told = answer.choices[0].message.content or ""
        block = claude.messages.create(model=name, max_tokens=400, messages=ASKED).content[0]
        also = block.text if block.type == "text" else ""
        third = oai.responses.create(model=name, input=ASKED).output_text
    assert told == also == third and told.startswith("The water finds")


@pytest.mark.parametrize("name", NAMES)
def test_a_tool_loop_across_the_dialects(
    oai: openai.OpenAI, claude: anthropic.Anthropic, name: str
) -> None:
    """Called through one front, answered through another, at any back."""
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": TOOL}}
    first = oai.chat.completions.create(model=name, messages=ASKED, tools=[tool])
    (call,) = first.choices[0].message.tool_calls or ()
    assert call.type == "function" and json.loads(call.function.arguments) == {"place": "Lisbon"}
    assert first.choices[0].finish_reason == "tool_calls"
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    turns: Any = [*ASKED, first.choices[0].message, result]
    for other in NAMES:
        then = oai.chat.completions.create(model=other, messages=turns, tools=[tool])
        assert (then.choices[0].message.content or "").startswith("The water finds")
    use = {"type": "tool_use", "id": call.id, "name": "weather", "input": {"place": "Lisbon"}}
    said: Any = [*ASKED, {"role": "assistant", "content": [use]},
                 {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id,
                                               "content": "rain"}]}]  # fmt: skip
    own: Any = [{"name": "weather", "input_schema": TOOL}]
    answer = claude.messages.create(model=name, max_tokens=99, messages=said, tools=own)
    assert answer.content[0].type == "text"


@pytest.mark.parametrize("name", NAMES)
def test_json_and_refusals(oai: openai.OpenAI, name: str) -> None:
    shown = oai.chat.completions.create(
        model=name, messages=ASKED, response_format={"type": "json_object"}
    )
    assert "answer" in json.loads(shown.choices[0].message.content or "")
    no: Any = [{"role": "user", "content": f"simulate a refusal at {name}"}]
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            oai.chat.completions.create(model=name, messages=no, stream=stream)
        assert caught.value.code == "content_policy_violation"


def test_what_a_dialect_cannot_say_leaves_it_out_before_the_draw(
    service: Service, oai: openai.OpenAI
) -> None:
    raw = oai.chat.completions.with_raw_response.create(model="auto", messages=ASKED, n=2)
    assert raw.parse().model == "plain" and len(raw.parse().choices) == 2
    case = ended(service, raw.headers["x-headgate-decision-id"])
    assert {each.deployment: each.reason for each in case.decision.disqualified} == {
        "claude": "lacks n", "flash": "lacks n"
    }  # fmt: skip
    seeded = oai.chat.completions.with_raw_response.create(model="auto", messages=ASKED, seed=3)
    assert seeded.headers["x-headgate-deployment"] in ("flash", "plain")
    with pytest.raises(openai.BadRequestError) as pinned:
        oai.chat.completions.create(model="claude", messages=ASKED, seed=3)
    assert pinned.value.param == "seed" and pinned.value.code == "capability_missing"


def test_what_only_the_messages_show_goes_to_another_dialect(oai: openai.OpenAI) -> None:
    named: Any = [{"role": "user", "name": "mara", "content": "Describe the tide."}]
    raw = oai.chat.completions.with_raw_response.create(model="auto", messages=named)
    assert raw.headers["x-headgate-deployment"] == "plain"
    with pytest.raises(openai.BadRequestError) as pinned:
        oai.chat.completions.create(model="flash", messages=named)
    assert pinned.value.param == "messages[0].name" and pinned.value.code == "not_expressible"


@pytest.mark.parametrize("stream", [False, True])
def test_a_tier_of_anthropic_that_fails_is_followed_by_one_of_openai(
    service: Service, world: Stream, claude: anthropic.Anthropic, stream: bool
) -> None:
    world.set_weather("fall", Weather(error_rate=1.0))
    world.set_weather("river", Weather(error_rate=1.0))
    try:
        if stream:
            with claude.messages.stream(model="auto", max_tokens=300, messages=ASKED) as opened:
                message, headers = opened.get_final_message(), opened.response.headers
        else:
            raw = claude.messages.with_raw_response.create(
                model="auto", max_tokens=300, messages=ASKED
            )
            message, headers = raw.parse(), raw.headers
        assert message.model == "plain" and message.content[0].type == "text"
        assert headers["x-headgate-mode"] == "fallback"
        assert headers["x-headgate-fallback-from"] == "claude"
        case = ended(service, headers["x-headgate-decision-id"])
        assert case.attempts[0].deployment == "claude" and case.attempts[0].status == 503
    finally:
        world.set_weather("fall", Weather())
        world.set_weather("river", Weather())


def test_the_bills_of_all_dialects_agree(service: Service, tmp_path: Path) -> None:
    """What the providers counted is what was logged, whatever they spoke."""
    deadline = time.monotonic() + 10
    service.runtime.kept.log.flush().result(5)
    url = service.runtime.catalog[0].base_url.removesuffix("/v1")
    while True:
        counted = httpx.get(url + "/calls").json()["tokens"]
        tokens = {name: count for name, count in counted.items() if count}
        rows = service.runtime.kept.database.cursor().execute(
            "SELECT deployment, sum(tokens_in), sum(tokens_out) FROM attempts GROUP BY 1"
        ).fetchall()  # fmt: skip
        model = {each.name: each.model for each in service.runtime.catalog}
        told = {f"{model[name]}:{way}": count for name, *both in rows
                for way, count in zip(("in", "out"), both, strict=True) if count}  # fmt: skip
        if told == tokens or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert told == tokens


# Without tiers: drawn, hedged, mirrored and judged across the dialects ----------------------------


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, world: Stream) -> Iterator[Stage]:
    text = PLAN.partition("fallbacks:")[0]
    text += "resilience: {{hedging: {{tasks: [other], spend_share: 1.0}}}}\n"
    with Server(SimulatedProviders(world).app()) as providers:
        state = tmp_path_factory.mktemp("drawn")
        runtime = make_runtime(state, text.format(url=providers.url))
        with Server(create_app(runtime)) as server:
            made = Stage(runtime, server.url)
            yield made
            made.client.close()


def test_a_call_is_mirrored_and_judged_in_other_dialects(stage: Stage) -> None:
    assert stage.start(mirror_share=1.0, usd_per_day=5, judge="claude").status_code == 201
    for text in prompts(5, 12):
        stage.ask(text)
    stage.settled()
    roles = stage.rows("SELECT deployment, role, error_kind FROM attempts WHERE error_kind IS NULL")
    mirrored = {row["deployment"] for row in roles if row["role"] == "shadow"}
    assert mirrored & {"claude", "flash"}
    assert {row["deployment"] for row in roles if row["role"] == "judge"} == {"claude"}
    judged = stage.rows("SELECT * FROM judgements")
    assert judged and all(row["preference"] is not None for row in judged)
    assert stage.stop().status_code == 200


def test_a_slow_answer_is_hedged_in_another_dialect(stage: Stage, world: Stream) -> None:
    for index in range(60):  # how long each takes, and what a hedge may cost
        stage.ask(f"Describe kite {index}.", headgate={"deployments": [NAMES[index % 3]]})
    world.set_weather("fall", Weather(latency_factor=400.0))
    try:
        for index in range(60):
            decision = stage.ask(f"Describe the tide {index}.")
            case = stage.runtime.kept.cases.recent(decision)
            assert case is not None
            hedged = [each for each in case.attempts if each.role.value == "hedge"]
            if hedged and case.decision.deployment == "claude":
                assert hedged[0].deployment in ("flash", "plain")
                break
        else:
            raise AssertionError("nothing was hedged")
    finally:
        world.set_weather("fall", Weather())


def test_a_breaker_opens_for_a_dialect_and_the_others_serve(stage: Stage, world: Stream) -> None:
    world.set_weather("fall", Weather(error_rate=1.0))
    try:
        for index in range(120):  # each is answered, by whomever
            decision = stage.ask(f"Describe the storm {index}.")
            case = stage.runtime.kept.cases.recent(decision)
            assert case is not None
            if "claude" in {each.deployment for each in case.decision.disqualified}:
                break
        else:
            raise AssertionError("the breaker did not open")
    finally:
        world.set_weather("fall", Weather())
