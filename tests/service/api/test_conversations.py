"""OpenAI's SDK, unmodified: responses that are kept, gone on with, fetched and erased."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from service.app import create_app
from tests.conftest import KEY, Server, Service, make_runtime, plan_text

pytestmark = pytest.mark.slow  # the vendor's client takes seconds to be imported

SCHEMA: Any = {"type": "object", "properties": {"place": {"type": "string"}}}
TOOLS: Any = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}]


@pytest.fixture(scope="module")
def service(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    text = plan_text(providers.url, **{"deadline_s: 75": "deadline_s: 75\n  most_lag_s: 60"})
    text += "\nconversations: {enabled: true}\n"
    runtime = make_runtime(tmp_path_factory.mktemp("state"), text)
    with Server(create_app(runtime)) as server:
        yield Service(runtime, server)


@pytest.fixture
def client(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=service.url + "/v1", api_key=KEY, max_retries=0) as made:
        yield made


def kept(service: Service, name: str) -> Any:
    return httpx.get(service.url + f"/v1/conversations/{name}",
                     headers={"Authorization": f"Bearer {KEY}"}).json()  # fmt: skip


def test_previous_response_id_carries_the_conversation(
    service: Service, client: openai.OpenAI
) -> None:
    first = client.responses.create(
        model="auto", input="The ferry is called Selma.", instructions="Be brief.", store=True
    )
    assert first.store is True and first.conversation is not None  # type: ignore[attr-defined]
    then = client.responses.create(model="auto", input="And?", previous_response_id=first.id)
    assert then.previous_response_id == first.id and then.usage is not None
    whole = kept(service, first.conversation.id)
    said = [turn["messages"][0]["content"] for turn in whole["turns"]]
    assert said == ["The ferry is called Selma.", "And?"]
    assert whole["system"] == [], "instructions are not carried on"
    other = client.responses.create(model="auto", input="Or?", previous_response_id=first.id)
    branch = kept(service, other.conversation.id)  # type: ignore[union-attr]
    assert other.conversation.id != first.conversation.id  # type: ignore[union-attr]
    assert [t["messages"][0]["content"] for t in branch["turns"]] == [said[0], "Or?"]
    found = client.responses.retrieve(then.id)
    assert found.output_text == then.output_text and found.status == "completed"
    assert found.previous_response_id == first.id
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError) as gone:
        client.responses.create(model="auto", input="x", previous_response_id=first.id)
    assert gone.value.code == "previous_response_not_found"
    for name in (first.conversation.id, other.conversation.id):  # type: ignore[union-attr]
        assert "Selma" not in json.dumps(kept(service, name)), "its copies are gone too"


@pytest.mark.parametrize("stream", [False, True])
def test_tools_and_streams(service: Service, client: openai.OpenAI, stream: bool) -> None:
    def ask(**more: Any) -> Any:
        if not stream:
            return client.responses.create(model="auto", tools=TOOLS, store=True, **more)
        with client.responses.stream(model="auto", tools=TOOLS, store=True, **more) as opened:
            for _ in opened:
                pass
            return opened.get_final_response()

    first = ask(input="Weather?")
    (call,) = first.output
    assert call.type == "function_call" and first.store is True
    output: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    then = ask(input=output, previous_response_id=first.id)
    assert then.output_text.startswith("The water finds")
    assert client.responses.retrieve(first.id).output[0].type == "function_call"
    with pytest.raises(openai.BadRequestError) as missing:
        ask(input="never mind", previous_response_id=first.id)
    assert missing.value.code == "tool_results_expected"


def test_store_false_is_respected(service: Service, client: openai.OpenAI) -> None:
    alone = client.responses.create(model="auto", input="Hi.", store=False)
    unsaid = client.responses.create(model="auto", input="Hi.")
    for answer in (alone, unsaid):
        assert answer.store is False  # type: ignore[attr-defined]
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(answer.id)
    first = client.responses.create(model="auto", input="One.", store=True)
    client.responses.create(model="auto", input="Two.", previous_response_id=first.id, store=False)
    assert len(kept(service, first.conversation.id)["turns"]) == 1  # type: ignore[union-attr]


def test_a_named_conversation(service: Service, client: openai.OpenAI) -> None:
    for text in ("One.", "Two."):
        answer = client.responses.create(model="auto", input=text, conversation="conv_mine")
        assert answer.conversation is not None and answer.conversation.id == "conv_mine"
    assert len(kept(service, "conv_mine")["turns"]) == 2
    with pytest.raises(openai.BadRequestError):
        client.responses.create(
            model="auto", input="x", conversation="conv_mine", previous_response_id=answer.id
        )
    client.conversations.delete("conv_mine")
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve("conv_mine")


def test_a_workflow_goes_on_with_no_conversation(client: openai.OpenAI) -> None:
    model, said = "workflow:draft-refine-check", [{"role": "user", "content": "My dog is Rex."}]
    talk: Any = {"model": model, "messages": said}
    for more, param in (
        ({"session_id": "flow", "conversation": True}, "model"),
        ({"queue": True}, "headgate.queue"),
    ):  # fmt: skip
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(**talk, extra_body={"headgate": more})
        assert refused.value.param == param
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model=model, input="My dog is Rex.", store=True)
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve("flow")
