"""What is wrong with an answer by its structure, and how sure it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.domain.escalation import Trigger
from service.orchestration.escalation.assessing import (
    asking_logprobs,
    declines,
    fault,
    logprob,
    without_logprobs,
)
from tests.service.orchestration.escalation.frail import TOWN
from tests.service.routing.world import ask

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "required": ["town"], "properties": {"town": {}}},
    },
}


def answer(text: str | None = "hello", reason: str = "stop", **message: Any) -> bytes:
    told = {"role": "assistant", "content": text} | message
    choice = {"index": 0, "finish_reason": reason, "message": told}
    return json.dumps({"choices": [choice], "usage": {"completion_tokens": 20}}).encode()


def call(name: str, arguments: str) -> bytes:
    made = [{"id": "1", "function": {"name": name, "arguments": arguments}}]
    return answer(None, "tool_calls", tool_calls=made)


@pytest.mark.parametrize(
    ("more", "body", "wanted"),
    [
        ({}, answer(), Trigger.NONE),
        ({}, answer(""), Trigger.EMPTY),
        ({}, answer("  \n"), Trigger.EMPTY),
        ({}, answer("It began", "length"), Trigger.TRUNCATED),
        ({"max_tokens": 20}, answer("It began", "length"), Trigger.NONE),
        ({"max_tokens": 90}, answer("It began", "length"), Trigger.TRUNCATED),
        ({}, answer("I'm sorry, but I can't help with that."), Trigger.REFUSED),
        ({"response_format": TOWN}, answer('{"town": "Alba"}'), Trigger.NONE),
        ({"response_format": TOWN}, answer('{"town": 7}'), Trigger.SCHEMA),
        ({"response_format": {"type": "json_object"}}, answer("town"), Trigger.SCHEMA),
        ({"response_format": {"type": "json_object"}}, answer("{}"), Trigger.NONE),
        ({"tools": [TOOL]}, call("weather", '{"town": "Alba"}'), Trigger.NONE),
        ({"tools": [TOOL]}, call("weather", "{}"), Trigger.TOOLS),
        ({"tools": [TOOL]}, call("weather", "{town"), Trigger.TOOLS),
        ({"tools": [TOOL]}, call("sunset", '{"town": "Alba"}'), Trigger.TOOLS),
        ({"tools": [TOOL], "tool_choice": "required"}, answer(), Trigger.TOOLS),
        ({"tools": [TOOL]}, answer(), Trigger.NONE),
        ({}, b"no answer", Trigger.NONE),
        ({}, b'{"choices": []}', Trigger.EMPTY),
    ],
    ids=range(19),
)
def test_faults(more: dict[str, Any], body: bytes, wanted: Trigger) -> None:
    assert fault(ask("hello", **more), body) is wanted


def test_a_long_answer_is_no_refusal_and_a_polite_one_neither() -> None:
    assert declines("I\u2019m sorry, but I can\u2019t do that.") and declines("As an AI, I do not.")
    assert not declines("I'm sorry, but I can't agree. " + "The reasons are many. " * 40)
    assert not declines("I can help with that.")


def test_logprobs_are_read_asked_for_and_taken_off() -> None:
    told = json.loads(answer())
    told["choices"][0]["logprobs"] = {"content": [{"logprob": -0.2}, {"logprob": -0.4}]}
    body = json.dumps(told).encode()
    assert logprob(body) == pytest.approx(-0.3) and logprob(answer()) is None
    assert json.loads(without_logprobs(body)) == json.loads(answer())
    fields = asking_logprobs(ask("hello"))
    assert fields is not None and bytes(fields["logprobs"]) == b"true"
    assert asking_logprobs(ask("hello", logprobs=True)) is None
    assert logprob(b"no") is None and without_logprobs(b"no") == b"no"
