"""What is no answer of the asked form is told from what is."""

from __future__ import annotations

import json

import pytest

from service.providers.base import Answer
from service.routing.acceptance import form
from tests.service.routing.world import ask

JSON = {"response_format": {"type": "json_object"}}


def answer(content: str | None, finish: str = "stop", **more: object) -> Answer:
    message = {"role": "assistant", "content": content} | more
    body = {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    return Answer(json.dumps(body).encode(), None, 1)


@pytest.mark.parametrize(
    ("given", "score"),
    [
        (answer('{"a": 1}'), 1.0),
        (answer("[1, 2"), 0.0),
        (answer("Sure! Here it is: {}"), 0.0),
        (answer(None), 0.0),
        (answer('{"cut', finish="length"), 1.0),
        (answer(None, refusal="no"), 1.0),
        (answer(None, finish="tool_calls", tool_calls=[{"id": "t"}]), 1.0),
        (Answer(b"{}", None, 0), 1.0),
    ],
)
def test_json_that_was_asked_for_must_be_json(given: Answer, score: float) -> None:
    assert form(ask(**JSON), given) == score
    assert form(ask(), given) == 1.0  # nobody asked
