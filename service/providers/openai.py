"""The OpenAI dialect: OpenAI itself, and all that offer it (Gemini, Ollama, vLLM, ...)."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from multidict import CIMultiDict

from service.domain.catalog import Deployment
from service.domain.records import ErrorKind
from service.providers.base import (
    Answer,
    AnswerStream,
    Chunk,
    Names,
    Provider,
    ProviderFailure,
    Tokens,
)
from service.providers.events import EventSplitter, EventTooLong
from service.providers.refusals import (
    FILTERED,
    REFUSAL,
    Unrefused,
    answer_word,
    error_word,
    filtered,
    refused,
)
from service.providers.transport import MAX_ERROR_BYTES, Reply, Transport

MAX_RETRY_AFTER_S = 3_600.0
_SAFE = re.compile(r"^[A-Za-z0-9_.\[\]-]{1,64}$")


_NULL = msgspec.Raw(b"null")


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None

    def tokens(self) -> Tokens | None:
        """None where the provider's numbers cannot be: then we estimate and say so."""
        given, made = self.prompt_tokens, self.completion_tokens
        if given is None or made is None or given < 0 or made < 0 or given + made == 0:
            return None
        details = self.prompt_tokens_details
        cached = (details.cached_tokens or 0) if details else 0
        return Tokens(given, made, min(max(cached, 0), given))


class _Choice(msgspec.Struct):
    message: msgspec.Raw = _NULL
    finish_reason: str | None = None


class _Whole(msgspec.Struct):
    choices: list[_Choice] | None = None
    id: str | None = None
    model: str | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = _NULL


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = _NULL
    function_call: msgspec.Raw = _NULL


class _StreamChoice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Event(msgspec.Struct):
    choices: list[_StreamChoice] | None = None
    id: str | None = None
    model: str | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = _NULL


_whole = msgspec.json.Decoder(_Whole).decode
_event = msgspec.json.Decoder(_Event).decode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_anything = msgspec.json.Decoder().decode


class OpenAI(Provider):
    """Chat completions over HTTP."""

    dialect = "openai"

    def __init__(self) -> None:
        self._transport = Transport()
        self._headers: dict[tuple[str, int], CIMultiDict[str]] = {}

    async def complete(self, deployment: Deployment, body: bytes, names: Names) -> Answer:
        reply = await self._post(deployment, body)
        try:
            data = await reply.body()
            reply.release()
        except BaseException:
            reply.close()
            raise
        return read_answer(data, names)

    async def stream(self, deployment: Deployment, body: bytes, names: Names) -> AnswerStream:
        return Unrefused(_Stream(await self._post(deployment, body), names))

    async def close(self) -> None:
        await self._transport.close()

    async def _post(self, deployment: Deployment, body: bytes) -> Reply:
        headers = self._headers.get((deployment.name, deployment.endpoint))
        if headers is None:
            headers = CIMultiDict({"Content-Type": "application/json"})
            if deployment.api_key:
                headers["Authorization"] = f"Bearer {deployment.api_key}"
            self._headers[deployment.name, deployment.endpoint] = headers
        url = deployment.base_url + "/chat/completions"
        reply = await self._transport.post(url, headers, body)
        if reply.status == 200:
            return reply
        try:
            data = await reply.body(MAX_ERROR_BYTES)
            reply.release()
        except ProviderFailure:
            data = b""
        finally:
            reply.close()
        raise failure(reply.status, reply.headers, data)


def read_answer(data: bytes, names: Names) -> Answer:
    """A whole answer from the provider's bytes; raises ProviderFailure where it is none."""
    try:
        whole = _whole(data)
    except (msgspec.DecodeError, RecursionError):
        raise ProviderFailure(ErrorKind.MALFORMED, status=200) from None
    if bytes(whole.error) != b"null":
        raise failure(200, {}, data)
    if not whole.choices:
        raise ProviderFailure(ErrorKind.MALFORMED, status=200)
    characters = sum(len(bytes(choice.message)) for choice in whole.choices)
    tokens = whole.usage.tokens() if whole.usage else None
    word = answer_word((bytes(each.message), each.finish_reason) for each in whole.choices)
    if word:
        raise refused(word, tokens)
    return Answer(_renamed(data, whole.id, whole.model, names), tokens, max(characters - 40, 0))


def _renamed(data: bytes, was_id: str | None, was_model: str | None, names: Names) -> bytes:
    """The same bytes under our id and the deployment's name, all else untouched."""
    for key, was, now in (("id", was_id, names.response_id), ("model", was_model, names.model)):
        swapped = _swap(data, key, was, now)
        if swapped is None:  # written in an unusual way: take it apart
            fields = _object(data)
            for name, value in (("id", names.response_id), ("model", names.model)):
                fields[name] = msgspec.Raw(msgspec.json.encode(value))
            return msgspec.json.encode(fields)
        data = swapped
    return data


def _swap(data: bytes, key: str, was: str | None, now: str) -> bytes | None:
    if was is None:
        return None
    value = msgspec.json.encode(was)
    for separator in (b'":', b'": '):
        old = b'"' + key.encode() + separator + value
        if data.count(old) == 1:
            return data.replace(old, b'"' + key.encode() + separator + msgspec.json.encode(now))
    return None


class _Stream:
    """An open stream of chat completion chunks."""

    def __init__(self, reply: Reply, names: Names) -> None:
        self._reply = reply
        self._names = names
        self._splitter = EventSplitter()
        self._whole = False
        self.malformed = 0

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        async for part in self._reply.parts():
            try:
                events = self._splitter.feed(part)
            except EventTooLong:
                raise ProviderFailure(ErrorKind.MALFORMED, status=200) from None
            if events:
                chunk = self._read(events)
                yield chunk
                if chunk.done:
                    self._whole = True
                    return
        events = self._splitter.finish()
        if events:
            chunk = self._read(events)
            yield chunk
            if chunk.done:
                self._whole = True
                return
        raise ProviderFailure(ErrorKind.CUT, status=200)

    async def close(self) -> None:
        if self._whole:
            self._reply.release()
        self._reply.close()

    def _read(self, events: list[bytes]) -> Chunk:
        forward: list[bytes] = []
        characters, has_content, done = 0, False, False
        spoken, refusal = 0, ""
        tokens: Tokens | None = None
        usage_event = b""
        for data in events:
            if data == b"[DONE]":
                done = True
                break
            try:
                event = _event(data)
            except (msgspec.DecodeError, RecursionError):
                self.malformed += 1  # one bad line does not spoil a good stream
                continue
            if bytes(event.error) != b"null":
                raise failure(200, {}, data)
            if event.usage is not None:
                tokens = event.usage.tokens() or tokens
            renamed = _renamed(data, event.id, event.model, self._names)
            if not event.choices:
                if event.usage is not None:
                    usage_event = renamed
                    continue
            else:
                size, refusing = _content(event.choices)
                characters += size + refusing
                spoken += size
                has_content = has_content or size + refusing > 0 or _finished(event.choices)
                refusal = refusal or (REFUSAL if refusing else _filtered(event.choices))
            forward.append(b"data: " + renamed + b"\n\n")
        word = "" if spoken else refusal
        return Chunk(b"".join(forward), characters, tokens, has_content, usage_event, done, word)


def _content(choices: list[_StreamChoice]) -> tuple[int, int]:
    """Characters of the answer, and of a refusal to give one."""
    size, refusing = 0, 0
    for choice in choices:
        delta = choice.delta
        if delta is None:
            continue
        size += len(delta.content or "") + len(delta.reasoning_content or "")
        refusing += len(delta.refusal or "")
        for raw in (delta.tool_calls, delta.function_call):
            if bytes(raw) != b"null":
                size += len(bytes(raw))
    return size, refusing


def _finished(choices: list[_StreamChoice]) -> bool:
    return any(choice.finish_reason is not None for choice in choices)


def _filtered(choices: list[_StreamChoice]) -> str:
    return FILTERED if any(filtered(choice.finish_reason) for choice in choices) else ""


_KINDS: Mapping[int, ErrorKind] = {
    400: ErrorKind.INVALID,
    401: ErrorKind.AUTH,
    403: ErrorKind.AUTH,
    413: ErrorKind.CONTEXT_LENGTH,
    422: ErrorKind.INVALID,
    429: ErrorKind.RATE_LIMIT,
}


def failure(status: int, headers: Mapping[str, str], data: bytes) -> ProviderFailure:
    """A failed answer in our words; of the provider's text only plain code words are kept."""
    code, param, text, policy = _error_words(data)
    kind = _KINDS.get(status, ErrorKind.SERVER)
    if policy:
        return ProviderFailure(ErrorKind.POLICY, status=status, code=policy)
    if status == 200 and code in ("rate_limit_exceeded", "rate_limit_error"):
        kind = ErrorKind.RATE_LIMIT
    too_long = code == "context_length_exceeded" or "context length" in text
    if too_long and kind in (ErrorKind.INVALID, ErrorKind.SERVER, ErrorKind.AUTH):
        kind = ErrorKind.CONTEXT_LENGTH
    return ProviderFailure(
        kind, status=status, retry_after_s=retry_after(headers), code=code, param=param
    )


def _error_words(data: bytes) -> tuple[str, str, str, str]:
    """The code, the parameter, the message (to look for words in), and a refusal's own word."""
    try:
        content = _anything(data)
    except (msgspec.DecodeError, RecursionError):
        return "", "", "", ""
    error: Any = content.get("error") if isinstance(content, dict) else None
    if not isinstance(error, dict):
        return "", "", "", ""
    words = [error.get("code") or error.get("type"), error.get("param")]
    safe = [w if isinstance(w, str) and _SAFE.match(w) else "" for w in words]
    message = error.get("message")
    text = message.lower()[:500] if isinstance(message, str) else ""
    return safe[0], safe[1], text, error_word(error)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After as seconds or as a date; None where it says nothing."""
    text = headers.get("Retry-After", "").strip()
    if not text or len(text) > 64:
        return None
    try:
        seconds = float(text)
    except ValueError:
        parsed = email.utils.parsedate_tz(text)
        if parsed is None:
            return None
        try:
            seconds = email.utils.mktime_tz(parsed) - time.time()
        except (OverflowError, ValueError):
            return None
    if seconds != seconds:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
