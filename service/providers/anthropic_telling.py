"""Anthropic's answers and streams told in OpenAI's form. Thoughts are left where they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from service.providers import retelling
from service.providers.events import NamedEvent
from service.providers.failures import UNREADABLE
from service.providers.retelling import DONE, Retold, chunk, raw_event
from service.providers.transport import Reply

REASONS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Block(msgspec.Struct):
    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Message(msgspec.Struct):
    content: list[_Block] | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None


_message = msgspec.json.Decoder(_Message).decode
_event = msgspec.json.Decoder(_Event).decode


def answer(data: bytes) -> tuple[bytes, str | None] | None:
    """A whole answer in OpenAI's form, and its model; None where it is no answer.

    Raises UNREADABLE.
    """
    data.decode()  # what is not looked at must be text, too
    told = _message(data)
    if told.content is None:
        return None
    texts, calls = [], []
    for block in told.content:
        if block.type == "text":
            texts.append(block.text or "")
        elif block.type == "tool_use":
            calls.append(_call(block))
    reason = REASONS.get(told.stop_reason or "", "stop")
    message = retelling.message("".join(texts), calls)
    return retelling.whole(message, reason, _used(told.usage)), told.model


def _call(block: _Block) -> dict[str, Any]:
    return retelling.call(block.id or "", block.name or "", bytes(block.input).decode())


def _used(usage: _Usage | None) -> dict[str, Any] | None:
    """The prompt is told here without what of it was cached, or written to a cache."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    whole = usage.input_tokens + read + written
    return retelling.used(whole, usage.output_tokens, read, written=written)


class Stream(Retold):
    """A stream of Anthropic's events."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self._calls: dict[int, int] = {}  # a block's index to its tool call's
        self._empty: set[int] = set()  # blocks of tool calls without arguments so far
        self._usage = _Usage()
        self._finished = False

    def event(self, data: bytes) -> bytes:
        if isinstance(data, NamedEvent) and data.name == b"error":
            return raw_event(data, data.name)
        try:
            if not data.isascii():
                data.decode()
            event = _event(data)
        except UNREADABLE:
            return raw_event(data)
        kind = event.type
        if kind == "content_block_delta" and event.delta is not None:
            return self._delta(event.index, event.delta)
        if kind == "content_block_start" and event.content_block is not None:
            return self._started(event.index, event.content_block)
        if kind == "content_block_stop" and event.index in self._empty:
            self._empty.discard(event.index)
            return self._arguments(event.index, "{}")
        if kind == "message_start" and event.message is not None:
            self._count(event.message.usage)
            return retelling.first_chunk(event.message.model)
        if kind == "message_delta":
            return self._ended(event)
        if kind == "message_stop" and self._finished:
            usage = _used(self._usage)
            return (retelling.usage_chunk(usage) if usage else b"") + DONE
        return raw_event(data) if kind == "error" else b""

    def _delta(self, index: int, delta: _Delta) -> bytes:
        if delta.text and delta.type == "text_delta":
            return chunk({"content": delta.text})
        if delta.partial_json and index in self._calls:
            self._empty.discard(index)
            return self._arguments(index, delta.partial_json)
        return b""

    def _started(self, index: int, block: _Block) -> bytes:
        if block.type == "text" and block.text:
            return chunk({"content": block.text})
        if block.type != "tool_use":
            return b""
        number = self._calls[index] = len(self._calls)
        call = _call(block)
        if call["function"]["arguments"] == "{}":  # they come in the deltas, if at all
            call["function"]["arguments"] = ""
            self._empty.add(index)
        return chunk({"tool_calls": [{"index": number} | call]})

    def _arguments(self, index: int, text: str) -> bytes:
        part = {"index": self._calls[index], "function": {"arguments": text}}
        return chunk({"tool_calls": [part]})

    def _ended(self, event: _Event) -> bytes:
        self._count(event.usage)
        if event.delta is None or event.delta.stop_reason is None:
            return b""
        self._finished = True
        return chunk({}, REASONS.get(event.delta.stop_reason, "stop"))

    def _count(self, usage: _Usage | None) -> None:
        """Counts are of all so far; what is not told again stands."""
        for name in _Usage.__struct_fields__ if usage else ():
            if (value := getattr(usage, name)) is not None:
                setattr(self._usage, name, value)
