"""Is this an answer at all? A score in [0, 1] by what can be seen without a judge."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from service.domain.chat import ChatRequest
from service.providers.base import Answer

Accept = Callable[[ChatRequest, Answer], float]


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = msgspec.Raw(b"null")
    function_call: msgspec.Raw = msgspec.Raw(b"null")


class _Choice(msgspec.Struct):
    message: _Message = msgspec.field(default_factory=_Message)
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []


_read = msgspec.json.Decoder(_Answer).decode
_json = msgspec.json.Decoder().decode


def form(request: ChatRequest, answer: Answer) -> float:
    """1 for an answer of the asked form; 0 where JSON was asked for and none came.

    Only JSON can be told apart from the outside; what a judge thinks is another matter. An answer
    that the caller's own limit cut short, a tool call and a refusal are what they are: 1.
    """
    if "json" not in request.needs:
        return 1.0
    try:
        choices = _read(answer.body).choices
    except (msgspec.DecodeError, RecursionError):
        return 1.0  # not of the form that this check knows
    for choice in choices:
        message = choice.message
        excused = message.refusal or choice.finish_reason in ("length", "tool_calls")
        called = bytes(message.tool_calls) != b"null" or bytes(message.function_call) != b"null"
        if not excused and not called and not _is_json(message.content):
            return 0.0
    return 1.0


def _is_json(text: str | None) -> bool:
    try:
        _json((text or "").encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
