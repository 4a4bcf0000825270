"""Requests in the vendors' forms: what is said how, what is refused by name, and back unchanged."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.messages_reading import to_chat as from_messages
from service.domain.records import ErrorKind
from service.providers import anthropic_asking, gemini_asking
from service.providers.base import ProviderFailure
from service.providers.portable import read
from service.providers.simulated_native import anthropic_body, gemini_body

USER: dict[str, Any] = {"role": "user", "content": "Ask."}
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
CALL = {"id": "call_1", "type": "function",
        "function": {"name": "weather", "arguments": '{"place":"Lisbon"}'}}  # fmt: skip
LOOP = [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"}]  # fmt: skip
PIXEL = base64.b64encode(b"pixel").decode()


def body(messages: Any = None, **more: Any) -> bytes:
    return json.dumps({"model": "up", "messages": messages or [USER]} | more).encode()


def anthropic(messages: Any = None, **more: Any) -> dict[str, Any]:
    asked = read(body(messages, **more), "anthropic")
    return anthropic_asking.messages(asked, "up", 0)


def gemini(messages: Any = None, model: str = "up", **more: Any) -> dict[str, Any]:
    return gemini_asking.content(read(body(messages, **more), "gemini"), model)


def test_anthropic_in_full() -> None:
    said = anthropic(
        [{"role": "system", "content": "Be kind."}, {"role": "developer", "content": "Be brief."},
         *LOOP, {"role": "user", "content": "And now?"}],
        max_completion_tokens=77, temperature=0.5, top_p=0.9, stop="END", user="u-1", stream=True,
        tools=[TOOL], tool_choice="required", parallel_tool_calls=False, n=1, logprobs=False,
        stream_options={"include_usage": True}, metadata={"a": "b"}, seed=None,
    )  # fmt: skip
    assert said == {
        "model": "up",
        "max_tokens": 77,
        "system": [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Ask."}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "call_1",
             "name": "weather", "input": {"place": "Lisbon"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1",
                 "content": [{"type": "text", "text": "rain"}]},
                {"type": "text", "text": "And now?"}]},
        ],
        "tools": [{"name": "weather", "input_schema": SCHEMA}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u-1"},
        "temperature": 0.5,
        "top_p": 0.9,
        "stream": True,
    }  # fmt: skip
    anthropic_body(said)  # as strict as the vendor


def test_gemini_in_full() -> None:
    said = gemini(
        [{"role": "system", "content": "Be kind."}, *LOOP],
        max_tokens=77, temperature=1.5, top_p=0.9, stop=["END"], seed=4, presence_penalty=0.5,
        tools=[TOOL], tool_choice={"type": "function", "function": {"name": "weather"}},
    )  # fmt: skip
    call = {"name": "weather", "args": {"place": "Lisbon"}, "id": "call_1"}
    result = {"id": "call_1", "name": "weather", "response": {"output": "rain"}}
    assert said == {
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Ask."}]},
            {"role": "model", "parts": [{"functionCall": call}]},
            {"role": "user", "parts": [{"functionResponse": result}]},
        ],
        "tools": [
            {"functionDeclarations": [{"name": "weather", "parametersJsonSchema": SCHEMA}]}
        ],
        "toolConfig": {
            "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}
        },
        "generationConfig": {"temperature": 1.5, "topP": 0.9, "seed": 4, "presencePenalty": 0.5,
                             "maxOutputTokens": 77, "stopSequences": ["END"]},
    }  # fmt: skip
    gemini_body(said, "up", False)


def test_max_tokens_is_the_callers_the_plans_or_a_default() -> None:
    assert anthropic()["max_tokens"] == anthropic_asking.MOST_TOKENS
    asked = read(body(), "anthropic")
    assert anthropic_asking.messages(asked, "up", 9_000)["max_tokens"] == 9_000
    assert "generationConfig" not in gemini()


def test_json_modes() -> None:
    loose = {"type": "json_object"}
    assert anthropic(response_format=loose)["system"][-1]["text"] == anthropic_asking.ONLY_JSON
    config = gemini(response_format=loose)["generationConfig"]
    assert config == {"responseMimeType": "application/json"}
    strict = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    form = anthropic(response_format=strict)["output_config"]["format"]
    assert form == {"type": "json_schema", "schema": SCHEMA}
    assert gemini(response_format=strict)["generationConfig"]["responseJsonSchema"] == SCHEMA
    assert "output_config" not in anthropic(response_format={"type": "text"})


def test_images_sounds_and_documents() -> None:
    data = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    linked = {"type": "image_url", "image_url": {"url": "https://x.test/a.png?b"}}
    paper = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PIXEL}",
                                      "filename": "a.pdf"}}  # fmt: skip
    sound = {"type": "input_audio", "input_audio": {"data": PIXEL, "format": "wav"}}
    turns = [{"role": "user", "content": [data, linked, paper]}]
    blocks = anthropic(turns)["messages"][0]["content"]
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    assert blocks[0] == {"type": "image", "source": source}
    assert blocks[1]["source"] == {"type": "url", "url": "https://x.test/a.png?b"}
    assert blocks[2]["type"] == "document" and blocks[2]["title"] == "a.pdf"
    parts = gemini([{"role": "user", "content": [data, linked, paper, sound]}])["contents"][0]
    assert parts["parts"][0] == {"inlineData": {"mimeType": "image/png", "data": PIXEL}}
    file = {"fileUri": "https://x.test/a.png?b", "mimeType": "image/png"}
    assert parts["parts"][1] == {"fileData": file}
    assert [p["inlineData"]["mimeType"] for p in parts["parts"][2:]] == [
        "application/pdf", "audio/wav"
    ]  # fmt: skip


def test_calls_bear_the_seal_of_their_making() -> None:
    sealed = CALL | {"extra_content": {"google": {"thought_signature": "c2VhbA=="}}}
    turns = [USER, {"role": "assistant", "tool_calls": [sealed]}, LOOP[2]]
    part = gemini(turns, model="gemini-3-flash")["contents"][1]["parts"][0]
    assert part["thoughtSignature"] == "c2VhbA=="
    bare = gemini(LOOP, model="gemini-3-flash")["contents"][1]["parts"][0]
    assert bare["thoughtSignature"] == gemini_asking.UNSEALED
    assert "thoughtSignature" not in gemini(LOOP, model="gemini-2.5-pro")["contents"][1]["parts"][0]
    assert anthropic(turns)["messages"][1]["content"][0]["id"] == "call_1"


def test_ids_of_other_letters_stay_pairs() -> None:
    odd = CALL | {"id": "functions.weather:0"}
    said = anthropic([USER, {"role": "assistant", "tool_calls": [odd]},
                      LOOP[2] | {"tool_call_id": "functions.weather:0"}])  # fmt: skip
    use, result = said["messages"][1]["content"][0], said["messages"][2]["content"][0]
    assert use["id"] == result["tool_use_id"] and "." not in use["id"]
    assert anthropic_asking.call_id("a.b") != anthropic_asking.call_id("a:b")


IMAGE = {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "high"}}
CUSTOM = {"type": "custom", "custom": {"name": "x"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}
BAD_CALL = CALL | {"function": {"name": "weather", "arguments": "[1]"}}


@pytest.mark.parametrize(
    ("dialects", "messages", "more", "param"),
    [
        ("ag", None, {"n": 2}, "n"),
        ("ag", None, {"logprobs": True}, "logprobs"),
        ("ag", None, {"logit_bias": {"1": 2}}, "logit_bias"),
        ("ag", None, {"reasoning_effort": "low"}, "reasoning_effort"),
        ("ag", None, {"store": True}, "store"),
        ("ag", None, {"vendor_extra": 1}, "vendor_extra"),
        ("ag", None, {"functions": [{}]}, "functions"),
        ("a", None, {"seed": 1}, "seed"),
        ("a", None, {"presence_penalty": 0.5}, "presence_penalty"),
        ("a", None, {"temperature": 1.5}, "temperature"),
        ("g", None, {"parallel_tool_calls": False}, "parallel_tool_calls"),
        ("ag", [USER, {"role": "system", "content": "x"}], {}, "messages[1].role"),
        ("ag", [{"role": "system", "content": "x"}], {}, "messages"),
        ("ag", [USER, {"role": "assistant", "content": "x"}], {}, "messages[1].role"),
        ("ag", [{"role": "assistant", "content": "x"}, USER], {}, "messages[0].role"),
        ("ag", [USER, {"role": "function", "name": "f", "content": "x"}], {}, "messages[1].role"),
        ("ag", [USER | {"name": "mara"}], {}, "messages[0].name"),
        ("ag", [{"role": "user", "content": [IMAGE]}], {},
         "messages[0].content[0].image_url.detail"),
        ("ag", [{"role": "user", "content": [{"type": "video_url", "video_url": {}}]}], {},
         "messages[0].content[0].type"),
        ("ag", [USER, {"role": "tool", "tool_call_id": "no", "content": "x"}], {},
         "messages[1].tool_call_id"),
        ("ag", [USER, {"role": "assistant", "tool_calls": [BAD_CALL]}, LOOP[2]], {},
         "messages[1].tool_calls[0].function.arguments"),
        ("ag", None, {"tools": [CUSTOM]}, "tools[0].type"),
        ("ag", None, {"tools": [TOOL], "tool_choice": ALLOWED}, "tool_choice"),
        ("ag", None, {"tool_choice": "required"}, "tool_choice"),
        ("ag", None, {"response_format": {"type": "grammar"}}, "response_format"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused_by_name(
    dialects: str, messages: Any, more: dict[str, Any], param: str
) -> None:
    for letter, write in (("a", anthropic), ("g", gemini)):
        if letter in dialects:
            with pytest.raises(ProviderFailure) as caught:
                write(messages, **more)
            assert caught.value.kind is ErrorKind.DIALECT and caught.value.param == param
        else:
            write(messages, **more)


# There and back -----------------------------------------------------------------------------------

words = st.text(min_size=1, max_size=12)
names = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)
images = st.binary(min_size=1, max_size=9).map(
    lambda raw: {"type": "image_url",
                 "image_url": {"url": f"data:image/png;base64,{base64.b64encode(raw).decode()}"}}
)  # fmt: skip
user_parts = st.lists(words.map(lambda text: {"type": "text", "text": text}) | images, min_size=2,
                      max_size=3)  # fmt: skip


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Whole conversations: a system, then turns that alternate, tools called and answered."""
    made: list[dict[str, Any]] = []
    if draw(st.booleans()):
        made.append({"role": "system", "content": [{"type": "text", "text": draw(words)}]})
    count = 0
    for _ in range(draw(st.integers(0, 3))):
        made.append({"role": "user", "content": draw(words | user_parts)})
        calls = []
        for _ in range(draw(st.integers(0, 2))):
            arguments = draw(st.dictionaries(names, values, max_size=2))
            count += 1
            function = {"name": draw(names),
                        "arguments": json.dumps(arguments, separators=(",", ":"))}  # fmt: skip
            calls.append({"id": f"call_{count}", "type": "function", "function": function})
        text = draw(words) if not calls or draw(st.booleans()) else None
        made.append(
            {"role": "assistant", "content": text} | ({"tool_calls": calls} if calls else {})
        )
        made += [{"role": "tool", "tool_call_id": c["id"], "content": draw(words)} for c in calls]
        if calls:
            made.append({"role": "assistant", "content": draw(words)})
    made.append({"role": "user", "content": draw(words)})
    return made


def normal(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Arguments as what they mean, not as how they are written."""
    for message in messages:
        for call in message.get("tool_calls") or ():
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return messages


@settings(derandomize=True, max_examples=80, deadline=None, database=None)
@given(conversations())
def test_to_anthropic_and_back_keeps_every_message_tool_and_id(turns: list[dict[str, Any]]) -> None:
    said = anthropic(turns, tools=[TOOL], max_completion_tokens=5)
    anthropic_body(json.loads(json.dumps(said)))
    back = json.loads(from_messages(json.dumps(said).encode()))
    assert normal(back["messages"]) == normal(turns)
    assert back["tools"] == [TOOL] and back["max_completion_tokens"] == 5


def from_gemini(said: dict[str, Any]) -> list[dict[str, Any]]:
    """The test's own way back, written from Gemini's form."""
    made: list[dict[str, Any]] = []
    if "systemInstruction" in said:
        parts = said["systemInstruction"]["parts"]
        made.append({"role": "system", "content": [{"type": "text"} | p for p in parts]})
    for content in said["contents"]:
        calls, parts, texts = [], [], []
        for part in content["parts"]:
            if "functionCall" in part:
                call = part["functionCall"]
                function = {"name": call["name"], "arguments": json.dumps(call["args"])}
                calls.append({"id": call["id"], "type": "function", "function": function})
            elif "functionResponse" in part:
                result = part["functionResponse"]
                made.append({"role": "tool", "tool_call_id": result["id"],
                             "content": result["response"]["output"]})  # fmt: skip
            elif "inlineData" in part:
                inner = part["inlineData"]
                url = f"data:{inner['mimeType']};base64,{inner['data']}"
                parts.append({"type": "image_url", "image_url": {"url": url}})
            else:
                texts.append(part["text"])
                parts.append({"type": "text", "text": part["text"]})
        if content["role"] == "model":
            text = "".join(texts) or None
            made.append(
                {"role": "assistant", "content": text} | ({"tool_calls": calls} if calls else {})
            )
        elif parts:
            made.append({"role": "user", "content": parts if len(parts) > 1 else texts[0]})
    return made


@settings(derandomize=True, max_examples=80, deadline=None, database=None)
@given(conversations())
def test_to_gemini_and_back_keeps_every_message_tool_and_id(turns: list[dict[str, Any]]) -> None:
    said = gemini(turns, tools=[TOOL])
    gemini_body(json.loads(json.dumps(said)), "up", False)
    assert normal(from_gemini(said)) == normal(turns)
