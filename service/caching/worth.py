"""Which answers may be given again, and the form in which they are kept: whole, without an id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from service.providers.base import Answer

_MARK = {"cached": msgspec.Raw(b"true"), "cost_usd": msgspec.Raw(b"0.0")}


class _Message(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw(b"null")
    refusal: str | None = None
    tool_calls: msgspec.Raw = msgspec.Raw(b"null")
    function_call: msgspec.Raw = msgspec.Raw(b"null")


class _Choice(msgspec.Struct):
    message: _Message = msgspec.field(default_factory=_Message)
    finish_reason: str | None = None


_choices = msgspec.json.Decoder(list[_Choice]).decode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode


def tail_of(body: bytes, tools: bool) -> bytes | None:
    """A body after its id, its usage marked; None where it is no answer to give again: a refusal,
    cut short, empty, a call of tools where these do not count, or of a form that is not known.
    """
    try:
        fields = _object(body)
        choices = _choices(fields["choices"])
        if len(choices) != 1 or not _whole(choices[0], tools):
            return None
        if bytes(fields.get("usage", b"null")) != b"null":
            fields["usage"] = msgspec.Raw(_encode(_object(fields["usage"]) | _MARK))
    except (msgspec.DecodeError, RecursionError, KeyError):
        return None
    fields.pop("id", None)
    return b"," + _encode(fields)[1:]


def _whole(choice: _Choice, tools: bool) -> bool:
    message = choice.message
    called = not (_null(message.tool_calls) and _null(message.function_call))
    ends = ("stop", "tool_calls", "function_call") if tools else ("stop",)
    if choice.finish_reason not in ends or message.refusal or (called and not tools):
        return False
    return called or (not _null(message.content) and bytes(message.content) not in (b'""', b"[]"))


def _null(raw: msgspec.Raw) -> bool:
    return bytes(raw) in (b"null", b"[]")


def told_again(tail: bytes, response_id: str) -> Answer:
    """The answer under a fresh id."""
    return Answer(b'{"id":"%b"%b' % (response_id.encode(), tail), None, 0)


class _Event(msgspec.Struct):
    id: str = ""
    created: int = 0
    model: str = ""
    choices: list[dict[str, Any]] = []


_event = msgspec.json.Decoder(_Event).decode
_MOST_CALLS = 128


def assembled(pieces: Sequence[bytes], usage_event: bytes) -> bytes | None:
    """A stream's events, put together to the whole answer that they told; None where there is a
    part whose pieces cannot be joined.
    """
    message: dict[str, Any] = {"role": "assistant", "content": None}
    calls: list[dict[str, Any]] = []
    head, reason = _Event(), None
    try:
        for line in b"".join(pieces).split(b"\n"):
            if not line.startswith(b"data: ") or line == b"data: [DONE]":
                continue
            event = _event(line[6:])
            head = event if event.id and not head.id else head
            for choice in event.choices:
                if choice.get("index", 0) != 0 or choice.get("logprobs") is not None:
                    return None
                reason = choice.get("finish_reason") or reason
                if not _joined(message, calls, choice.get("delta") or {}):
                    return None
        usage = _object(usage_event).get("usage") if usage_event else None
    except (msgspec.DecodeError, RecursionError, AttributeError, TypeError):
        return None
    if calls:
        message["tool_calls"] = calls
    whole: dict[str, Any] = {
        "id": head.id, "object": "chat.completion", "created": head.created, "model": head.model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
    }  # fmt: skip
    return _encode(whole | ({} if usage is None else {"usage": usage}))


def _joined(message: dict[str, Any], calls: list[dict[str, Any]], delta: dict[str, Any]) -> bool:
    """Whether a piece could be joined. Texts are joined; whatever else there is, is not."""
    for name, value in delta.items():
        if value is None or name == "role":
            continue
        if name == "tool_calls":
            if not all(_call(calls, each) for each in value):
                return False
        elif isinstance(value, str):
            message[name] = (message.get(name) or "") + value
        else:
            return False
    return True


def _call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> bool:
    index = piece.get("index", 0)
    if not 0 <= index <= len(calls) or index >= _MOST_CALLS:
        return False
    if index == len(calls):
        calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
    call = calls[index]
    call["id"], call["type"] = piece.get("id") or call["id"], piece.get("type") or call["type"]
    told = piece.get("function") or {}
    for part in ("name", "arguments"):
        call["function"][part] += told.get(part) or ""
    return not set(piece) - {"index", "id", "type", "function"}
