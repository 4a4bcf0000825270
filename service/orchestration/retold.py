"""A whole answer told as a stream: for callers that asked for one of what came in a piece."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from service.providers.base import Answer
from service.routing.run import Served

PIECE = 200  # characters of an answer that an event carries


class _Choice(msgspec.Struct):
    index: int = 0
    message: dict[str, msgspec.Raw] = {}
    finish_reason: str | None = "stop"
    logprobs: msgspec.Raw = msgspec.Raw(b"null")


class _Whole(msgspec.Struct):
    id: str = ""
    created: int = 0
    model: str = ""
    choices: list[_Choice] = []
    usage: msgspec.Raw = msgspec.Raw(b"null")


_whole = msgspec.json.Decoder(_Whole).decode
_text = msgspec.json.Decoder(str | None).decode
_calls = msgspec.json.Decoder(list[dict[str, msgspec.Raw]] | None).decode
_NULL = msgspec.Raw(b"null")


class Retold:
    """The face of a served stream, over an answer that is there already."""

    def __init__(self, answer: Answer, served: Served) -> None:
        self.served = served
        told = _whole(answer.body)
        self._head = {
            "id": told.id, "object": "chat.completion.chunk", "created": told.created,
            "model": told.model,
        }  # fmt: skip
        self._choices = told.choices
        self.usage_event = b""
        if bytes(told.usage) != b"null":
            self.usage_event = self._event([], usage=told.usage)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Its events, up to but without the last one."""
        for choice in self._choices:
            for delta in deltas(choice.message):
                yield self._data(choice, delta, None, _NULL)
            yield self._data(choice, {}, choice.finish_reason, choice.logprobs)

    async def close(self) -> None:
        """Nothing is held."""

    def _data(
        self, choice: _Choice, delta: dict[str, Any], reason: str | None, logprobs: msgspec.Raw
    ) -> bytes:
        told = {"index": choice.index, "delta": delta, "finish_reason": reason}
        if bytes(logprobs) != b"null":
            told["logprobs"] = logprobs
        return b"data: " + self._event([told]) + b"\n\n"

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return msgspec.json.encode(self._head | {"choices": choices} | more)


def deltas(message: dict[str, msgspec.Raw]) -> list[dict[str, Any]]:
    """A message in the pieces of a stream: who speaks, the text, the calls of tools by index, and
    whatever else it has, untouched.
    """
    rest = {k: v for k, v in message.items() if k not in ("role", "content", "tool_calls")}
    made: list[dict[str, Any]] = [{"role": message.get("role", "assistant"), **rest}]
    content = message.get("content", _NULL)
    try:
        text = _text(content)
    except msgspec.ValidationError:  # in parts: as they are
        made.append({"content": content})
        text = None
    if text is not None:
        made += [{"content": text[at : at + PIECE]} for at in range(0, len(text), PIECE)]
    for index, call in enumerate(_calls(message.get("tool_calls", _NULL)) or []):
        made.append({"tool_calls": [{"index": index, **call}]})
    return made
