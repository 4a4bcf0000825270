"""What is kept of an answer: whole ones, without an id; streams put together again."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from service.caching.worth import assembled, tail_of, told_again
from service.orchestration.retold import Retold
from tests.upstream import answer_json

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def answer(finish: str = "stop", **message: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return answer_json(choices=[choice])


def test_it_is_told_under_another_id_and_its_usage_is_marked() -> None:
    tail = tail_of(answer(content="hello"), False)
    assert tail is not None and b"up-1" not in tail
    told = json.loads(told_again(tail, "chatcmpl-2").body)
    assert told["id"] == "chatcmpl-2" and told["choices"][0]["message"]["content"] == "hello"
    assert told["usage"]["cached"] is True and told["usage"]["total_tokens"] == 46


@pytest.mark.parametrize(
    ("body", "tools", "kept"),
    [
        (answer("length", content="cut"), False, False),
        (answer("content_filter", content="x"), False, False),
        (answer(content=""), False, False), (answer(content=None), False, False),
        (answer(content="no", refusal="I may not"), False, False),
        (answer(content=None, tool_calls=[CALL]), False, False),
        (answer("tool_calls", content=None, tool_calls=[CALL]), False, False),
        (answer("tool_calls", content=None, tool_calls=[CALL]), True, True),
        (answer(content="text"), True, True), (answer_json(choices=[]), False, False),
        (answer_json(choices=[{"message": {"content": "a"}, "finish_reason": "stop"}] * 2), False,
         False),
        (b"[]", False, False), (b"{", False, False), (b"{}", False, False),
    ],
)  # fmt: skip
def test_only_whole_answers_are_kept(body: bytes, tools: bool, kept: bool) -> None:
    assert (tail_of(body, tools) is not None) == kept


def test_a_stream_is_put_together_to_what_it_told() -> None:
    calls = [CALL, CALL | {"id": "d"}]
    body = answer("tool_calls", content="a long text " * 60, tool_calls=calls, reasoning="why")

    async def told(stream: Retold) -> list[bytes]:
        return [each async for each in stream]

    stream = Retold(told_again(tail_of(body, True) or b"", "i"), None)  # type: ignore[arg-type]
    made = assembled(asyncio.run(told(stream)), stream.usage_event)
    assert made is not None
    again, first = json.loads(made), json.loads(body)
    assert again["choices"][0]["message"] == first["choices"][0]["message"]
    assert again["choices"][0]["finish_reason"] == "tool_calls"
    assert again["usage"]["total_tokens"] == 46


@pytest.mark.parametrize(
    "delta",
    [
        {"audio": {"id": "a"}},
        {"tool_calls": [{"index": 3}]},
        {"tool_calls": [{"index": 0, "x": 1}]},
    ],
)  # fmt: skip
def test_what_cannot_be_joined_is_not_kept(delta: dict[str, Any]) -> None:
    event = {"id": "i", "choices": [{"index": 0, "delta": delta}]}
    assert assembled([b"data: " + json.dumps(event).encode() + b"\n\n"], b"") is None
    assert assembled([b'data: {"choices": 3}\n\n'], b"") is None
    other = {"choices": [{"index": 1, "delta": {"content": "x"}}]}
    assert assembled([b"data: " + json.dumps(other).encode() + b"\n\n"], b"") is None
