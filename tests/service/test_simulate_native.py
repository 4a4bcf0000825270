"""The simulated providers speak Anthropic and Gemini: the vendors' own SDKs are the clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest
from google import genai
from google.genai import errors, types

from tests.conftest import Server

pytestmark = pytest.mark.slow  # the vendors' clients take seconds to be imported

ASKED: Any = [{"role": "user", "content": "Describe a kite."}]
SCHEMA: Any = {"type": "object", "properties": {"place": {"type": "string"}}}
TOOL: Any = {"name": "weather", "description": "The weather.", "input_schema": SCHEMA}


@pytest.fixture(scope="module")
def claude(providers: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=providers.url, api_key="sim", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def gemini(providers: Server) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=providers.url)
    with genai.Client(api_key="sim", http_options=options, vertexai=False) as made:
        yield made


def test_messages(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(model="mill", max_tokens=500, messages=ASKED)
    (block,) = answer.content
    assert block.type == "text" and block.text.startswith("The water finds")
    assert answer.stop_reason == "end_turn" and answer.usage.output_tokens > 0
    counted = claude.messages.count_tokens(model="mill", messages=ASKED)
    assert counted.input_tokens == answer.usage.input_tokens
    cut = claude.messages.create(model="mill", max_tokens=3, messages=ASKED)
    assert cut.stop_reason == "max_tokens"
    with claude.messages.stream(model="mill", max_tokens=500, messages=ASKED) as stream:
        assert stream.get_final_message().content[0].text == block.text  # type: ignore[union-attr]


def test_messages_with_tools_refusals_and_errors(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(
        model="mill", max_tokens=50, messages=ASKED, tools=[TOOL]
    ) as stream:
        called = stream.get_final_message()
    (use,) = called.content
    assert use.type == "tool_use" and use.input == {"place": "Lisbon"}
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "fine"}
    turns: Any = [*ASKED, {"role": "assistant", "content": called.content},
                  {"role": "user", "content": [result]}]  # fmt: skip
    then = claude.messages.create(model="mill", max_tokens=50, messages=turns, tools=[TOOL])
    assert then.content[0].type == "text"
    with pytest.raises(anthropic.BadRequestError, match="tool_result"):
        claude.messages.create(model="mill", max_tokens=50, messages=turns[:2], tools=[TOOL])
    no: Any = [{"role": "user", "content": "simulate a refusal"}]
    assert claude.messages.create(model="mill", max_tokens=9, messages=no).stop_reason == "refusal"
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="nobody", max_tokens=9, messages=ASKED)
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        claude.messages.create(
            model="mill", max_tokens=9, messages=ASKED, extra_body={"temperature": 1.5}
        )


def test_content(gemini: genai.Client) -> None:
    answer = gemini.models.generate_content(model="mill", contents="Describe a kite.")
    assert answer.text is not None and answer.text.startswith("The water finds")
    assert answer.usage_metadata is not None and answer.usage_metadata.candidates_token_count
    pieces = gemini.models.generate_content_stream(model="mill", contents="Describe a kite.")
    assert "".join(each.text or "" for each in pieces) == answer.text
    counted = gemini.models.count_tokens(model="mill", contents="Describe a kite.")
    assert counted.total_tokens == answer.usage_metadata.prompt_token_count


def test_content_with_tools_refusals_json_and_errors(gemini: genai.Client) -> None:
    declared = types.FunctionDeclaration(name="weather", parameters_json_schema=SCHEMA)
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declared])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    answer = gemini.models.generate_content(model="mill", contents="Ask", config=config)
    (call,) = answer.function_calls or ()
    assert (call.name, call.args) == ("weather", {"place": "Lisbon"})
    no = gemini.models.generate_content(model="mill", contents="simulate a refusal")
    assert no.prompt_feedback is not None and no.prompt_feedback.block_reason == "SAFETY"
    form = types.GenerateContentConfig(response_mime_type="application/json", temperature=1.5)
    shown = gemini.models.generate_content(model="mill", contents="Ask", config=form)
    assert (shown.text or "").startswith('{"answer"')
    with pytest.raises(errors.ClientError, match="no such model"):
        gemini.models.generate_content(model="nobody", contents="Ask")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", {"model": "mill", "messages": ASKED}),
        ("/v1/messages", {"model": "mill", "messages": [], "max_tokens": 1}),
        ("/v1/messages", {"model": "mill", "messages": ASKED, "max_tokens": 1, "n": 2}),
        ("/v1beta/models/mill:generateContent", {"contents": []}),
        ("/v1beta/models/mill:generateContent", {"contents": [{"parts": [{"text": "x"}]}], "n": 1}),
    ],
)
def test_what_the_vendor_would_refuse_is_refused(
    providers: Server, path: str, body: dict[str, Any]
) -> None:
    assert httpx.post(providers.url + path, json=body).status_code == 400
