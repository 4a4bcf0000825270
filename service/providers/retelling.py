"""Answers and streams of another dialect told in OpenAI's form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from service.domain.records import ErrorKind
from service.providers.base import ProviderFailure
from service.providers.events import EventSplitter, EventTooLong
from service.providers.transport import Reply

DONE = b"data: [DONE]\n\n"
_encode = msgspec.json.Encoder().encode


def whole(message: dict[str, Any], finish_reason: str, usage: dict[str, Any] | None) -> bytes:
    """A whole answer, without the id and the model: those are put in by who reads it."""
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
    return _encode({"object": "chat.completion", "choices": [choice], "usage": usage})


def message(text: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
    """The assistant's message."""
    made: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
    if calls:
        made["tool_calls"] = calls
    return made


def call(identity: str, name: str, arguments: str) -> dict[str, Any]:
    """A tool call."""
    function = {"name": name, "arguments": arguments}
    return {"id": identity, "type": "function", "function": function}


def used(
    tokens_in: int, tokens_out: int, cached: int, thought: int = 0, written: int = 0
) -> dict[str, Any]:
    """Usage. ``written``: what of the prompt was written to a cache."""
    made: dict[str, Any] = {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    if written:
        made["prompt_tokens_details"]["cache_write_tokens"] = written
    if thought:
        made["completion_tokens_details"] = {"reasoning_tokens": thought}
    return made


class Retold(Reply, ABC):
    """A reply whose parts are chunks in OpenAI's form, made of the events of another dialect.

    What is no event is passed on as it is, for the reader of the chunks to count and to judge; so
    is an error, which has a form that it knows.
    """

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.status, self.headers = reply.status, reply.headers
        self._splitter = EventSplitter()

    @abstractmethod
    def event(self, data: bytes) -> bytes:
        """The chunks that one event makes; its own bytes, as an event, where it cannot be read."""

    def end(self) -> bytes:
        """What is to be said when the provider has closed the stream cleanly."""
        return b""

    async def parts(self) -> AsyncIterator[bytes]:
        async for part in self._reply.parts():
            if out := self._told(part):
                yield out
        tail = b"".join(self.event(data) for data in self._splitter.finish())
        if tail := tail + self.end():
            yield tail

    def release(self) -> None:
        self._reply.release()

    def close(self) -> None:
        self._reply.close()

    def _told(self, part: bytes) -> bytes:
        try:
            events = self._splitter.feed(part)
        except EventTooLong:
            raise ProviderFailure(ErrorKind.MALFORMED, status=200).after() from None
        return b"".join(self.event(data) for data in events)


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    """One chunk, without the id and the model."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    made = {"object": "chat.completion.chunk", "choices": [choice]}
    return b"data: " + _encode(made) + b"\n\n"


def first_chunk(model: str | None) -> bytes:
    """The chunk that opens the answer: who speaks, and as what."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    made = {"object": "chat.completion.chunk", "model": model, "choices": [choice]}
    return b"data: " + _encode(made) + b"\n\n"


def usage_chunk(usage: dict[str, Any]) -> bytes:
    """The last chunk."""
    made = {"object": "chat.completion.chunk", "choices": [], "usage": usage}
    return b"data: " + _encode(made) + b"\n\n"


def raw_event(data: bytes, name: bytes = b"") -> bytes:
    """An event passed on as it came."""
    lines = b"\n".join(b"data: " + line for line in data.split(b"\n"))
    return (b"event: " + name + b"\n" if name else b"") + lines + b"\n\n"
