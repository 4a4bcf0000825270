"""A whole answer told as a stream comes out as it went in, by the vendor's own client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from service.orchestration.retold import PIECE, Retold
from service.providers.base import Answer

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "weigh", "arguments": '{"kite": 1}'}},
    {"id": "c2", "type": "function", "function": {"name": "fly", "arguments": "{}"}},
]


def answer(*messages: dict[str, Any], reason: str = "stop", **more: Any) -> Answer:
    choices = [
        {"index": i, "message": {"role": "assistant", **each}, "finish_reason": reason, **more}
        for i, each in enumerate(messages)
    ]
    body = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "brook",
        "choices": choices, "usage": USAGE,
    }  # fmt: skip
    return Answer(json.dumps(body).encode(), None, 0)


async def chunks(told: Retold) -> list[ChatCompletionChunk]:
    made = []
    async for data in told:
        assert data.startswith(b"data: ") and data.endswith(b"\n\n") and data.count(b"\n") == 2
        made.append(ChatCompletionChunk.model_validate_json(data[6:]))
    return made


def retold(made: Answer) -> Retold:
    served: Any = None
    return Retold(made, served)


@settings(derandomize=True, max_examples=60)
@given(texts=st.lists(st.text(max_size=3 * PIECE), min_size=1, max_size=3))
async def test_every_choices_text_comes_whole(texts: list[str]) -> None:
    told = retold(answer(*({"content": each} for each in texts)))
    heard = [""] * len(texts)
    for chunk in await chunks(told):
        assert (chunk.id, chunk.model, chunk.created) == ("chatcmpl-1", "brook", 5)
        (choice,) = chunk.choices
        heard[choice.index] += choice.delta.content or ""
    assert heard == texts


async def test_tools_reasons_and_usage_are_kept() -> None:
    told = retold(answer({"content": None, "tool_calls": CALLS}, reason="tool_calls"))
    made = await chunks(told)
    heard = [call for chunk in made for call in chunk.choices[0].delta.tool_calls or []]
    assert [(c.index, c.id, c.function and c.function.name) for c in heard] == [
        (0, "c1", "weigh"), (1, "c2", "fly"),
    ]  # fmt: skip
    assert made[0].choices[0].delta.role == "assistant"
    assert made[-1].choices[0].finish_reason == "tool_calls"
    assert json.loads(told.usage_event)["usage"] == USAGE
    await told.close()


@pytest.mark.parametrize("more", [{"refusal": "no"}, {"annotations": [1]}])
async def test_what_is_not_known_is_passed_on(more: dict[str, Any]) -> None:
    told = retold(answer({"content": "x", **more}, logprobs={"content": []}))
    events = [json.loads(data[6:]) async for data in told]
    assert more.items() <= events[0]["choices"][0]["delta"].items()
    assert events[-1]["choices"][0]["logprobs"] == {"content": []}
