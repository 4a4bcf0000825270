"""Streams in OpenAI's form: events renamed and passed on in order, bad lines skipped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec

from service.domain.records import ErrorKind
from service.providers.answers import (
    CUT_SHORT,
    NULL,
    Spoken,
    Usage,
    count,
    failed_type,
    other_model,
    raw_size,
    renamed,
    size,
)
from service.providers.base import Chunk, Names, ProviderFailure, Tokens
from service.providers.events import EventSplitter, EventTooLong, NamedEvent
from service.providers.failures import UNREADABLE, failure
from service.providers.incidents import MALFORMED_LINES, OTHER_MODEL
from service.providers.refusals import FILTERED, REFUSAL, filtered
from service.providers.transport import Reply

MAX_MALFORMED = 16  # bad lines in one stream: with more, nothing of it is to be trusted
_FAILED = (b"error", b"response.failed", b"response.error")


class _Choice(msgspec.Struct):
    delta: Spoken | None = None
    finish_reason: str | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice] | None = None
    id: str | None = None
    model: str | None = None
    usage: Usage | None = None
    error: msgspec.Raw = NULL
    type: msgspec.Raw = NULL


class _Loose(msgspec.Struct):
    """The same where what is not vital has another form than it should."""

    choices: list[_Choice] | None = None
    error: msgspec.Raw = NULL
    type: msgspec.Raw = NULL


_event = msgspec.json.Decoder(_Event).decode
_loose = msgspec.json.Decoder(_Loose).decode


class ChunkStream:
    """An open stream of chat completion chunks; ``count`` is told of oddities, by kind."""

    def __init__(
        self, reply: Reply, names: Names, asked: str, count: Callable[[str, int], None]
    ) -> None:
        self._reply = reply
        self._names = names
        self._asked = asked  # the model
        self._count = count
        self._splitter = EventSplitter()
        self._whole = False
        self._content = False  # whether any has come
        self._given = False  # whether any has been given on
        self._tokens: Tokens | None = None
        self._failure: ProviderFailure | None = None
        self._model: str | None = None
        self.malformed = 0

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        async for part in self._reply.parts():
            try:
                events = self._splitter.feed(part)
            except EventTooLong:
                raise self._fault(ErrorKind.MALFORMED) from None
            if events:
                chunk = self._read(events)
                yield chunk
                if chunk.done:
                    return
                if self._failure is not None:
                    raise self._failure
        events = self._splitter.finish()
        if events:
            chunk = self._read(events)
            yield chunk
            if chunk.done:
                return
            if self._failure is not None:
                raise self._failure
        raise self._fault(ErrorKind.CUT)

    async def close(self) -> None:
        """Let the connection go; what was odd is counted."""
        if self._whole:
            self._reply.release()
        self._reply.close()
        if self.malformed:
            self._count(MALFORMED_LINES, self.malformed)
            self.malformed = 0
        if other_model(self._asked, self._model):
            self._count(OTHER_MODEL, 1)
        self._model = None

    def _read(self, events: list[bytes]) -> Chunk:
        """The events as a chunk. A failure among them ends it: after content that has come before
        is given on, before that at once, so that another deployment may answer."""
        forward: list[bytes] = []
        characters, has_content, done = 0, False, False
        spoken, refusal, images = 0, "", 0
        usage_event = b""
        for data in events:
            if data == b"[DONE]":
                done = True
                break
            event = self._event(data)
            if event is None:
                if self._failure is not None:
                    break
                continue
            if event.usage is not None:
                self._tokens = event.usage.tokens() or self._tokens
            self._model = self._model or event.model
            data_out = renamed(data, event.id, event.model, self._names)
            if not event.choices:
                if event.usage is not None:
                    usage_event = data_out
                    continue
            else:
                made, refusing = _content(event.choices)
                images += sum(count(each.delta.images) for each in event.choices if each.delta)
                characters += made + refusing
                spoken += made
                self._content = self._content or made + refusing > 0
                has_content = has_content or made + refusing > 0 or _cut_short(event.choices)
                refusal = refusal or (REFUSAL if refusing else _filtered(event.choices))
            forward.append(b"data: " + data_out + b"\n\n")
        if done:
            self._end(has_content)
        if self._failure is not None and not self._given:
            raise self._failure
        self._given = self._given or has_content
        whole = b"".join(forward)
        word = "" if spoken else refusal
        return Chunk(whole, characters, self._tokens, has_content, usage_event, done, word, images)

    def _event(self, data: bytes) -> _Event | None:
        """One event; None where it is not one, and the failure kept where it ends the stream."""
        if isinstance(data, NamedEvent) and data.name in _FAILED:
            self._failure = failure(200, {}, data)
            return None
        try:
            if not data.isascii():
                data.decode()
            event = _typed(data)
        except UNREADABLE:
            self.malformed += 1  # one bad line does not spoil a good stream
            if self.malformed > MAX_MALFORMED:
                self._failure = self._fault(ErrorKind.MALFORMED)
            return None
        if bytes(event.error) != b"null" or failed_type(event.type):
            self._failure = failure(200, {}, data)
            return None
        return event

    def _end(self, has_content: bool) -> None:
        """The provider says that it is whole: unless nothing came, for no reason that it told."""
        if self._content or self._given or has_content:
            self._whole = True
        else:
            self._failure = self._fault(ErrorKind.MALFORMED)

    def _fault(self, kind: ErrorKind) -> ProviderFailure:
        return ProviderFailure(kind, status=200).after(0, self._tokens)


def _typed(data: bytes) -> _Event:
    try:
        return _event(data)
    except msgspec.ValidationError:
        loose = _loose(data)
        return _Event(choices=loose.choices, error=loose.error, type=loose.type)


def _content(choices: list[_Choice]) -> tuple[int, int]:
    """Characters of the answer, and of a refusal to give one."""
    total, refusing = 0, 0
    for choice in choices:
        delta = choice.delta
        if delta is None:
            continue
        if type(delta.content) is str:
            total += len(delta.content)
        elif delta.content:
            total += size(delta.content)
        for other in (delta.reasoning_content, delta.reasoning):
            if other:
                total += size(other)
        if delta.refusal:
            refusing += size(delta.refusal)
        for raw in (delta.tool_calls, delta.function_call, delta.audio, delta.images):
            if raw is not NULL:
                total += raw_size(raw)
    return total, refusing


def _cut_short(choices: list[_Choice]) -> bool:
    reasons = [choice.finish_reason for choice in choices]
    return any(reason in CUT_SHORT or filtered(reason) for reason in reasons)


def _filtered(choices: list[_Choice]) -> str:
    return FILTERED if any(filtered(choice.finish_reason) for choice in choices) else ""
