"""When a provider refuses for its content policy: as an error, as an answer, or on a stream.

What is kept of it is a code word of the closed set WORDS, never a text of the vendor's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any

import msgspec

from service.domain.records import ErrorKind
from service.providers.base import AnswerStream, Chunk, ProviderFailure, Tokens

REFUSAL, FILTERED, AZURE = "refusal", "content_filter", "ResponsibleAIPolicyViolation"
ERROR_WORDS = (
    "content_policy_violation", FILTERED, "moderation_blocked", "invalid_prompt", AZURE,
)  # fmt: skip
WORDS = (REFUSAL, *ERROR_WORDS)
READ_ON_S = 2.0
MAX_HELD = 10_000

# Gemini's own names come through its OpenAI address as they are.
_FILTER_REASONS = (
    FILTERED, "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION", "IMAGE_SAFETY",
)  # fmt: skip
_NULL = msgspec.Raw(b"null")


class _Message(msgspec.Struct):
    content: msgspec.Raw = _NULL
    refusal: str | None = None
    tool_calls: msgspec.Raw = _NULL
    function_call: msgspec.Raw = _NULL
    audio: msgspec.Raw = _NULL


_message = msgspec.json.Decoder(_Message).decode
_NOTHING = (b"null", b'""', b"[]")


def error_word(error: dict[str, Any]) -> str:
    """The code word of an error object that is a refusal; empty for any other error."""
    inner = error.get("innererror")
    given = (error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, dict)
             else None)  # fmt: skip
    return next((word for word in given if isinstance(word, str) and word in ERROR_WORDS), "")


def filtered(finish_reason: str | None) -> bool:
    """Whether a finish reason is that of a content filter."""
    return finish_reason is not None and finish_reason.split(":")[0] in _FILTER_REASONS


def answer_word(choices: Iterable[tuple[bytes, str | None]]) -> str:
    """The code word of a whole answer that is a refusal; empty where any choice has content.

    ``choices``: each one's message, still as bytes, and its finish reason.
    """
    word = ""
    for message, finish_reason in choices:
        own = _choice_word(message, finish_reason)
        if not own:
            return ""
        word = word or own
    return word


def _choice_word(message: bytes, finish_reason: str | None) -> str:
    filters = filtered(finish_reason)
    if not filters and b'"refusal"' not in message:
        return ""  # nearly every answer ends here: no second look is taken at its text
    try:
        found = _message(message)
    except (msgspec.DecodeError, RecursionError):
        return ""
    parts = (found.content, found.tool_calls, found.function_call, found.audio)
    if any(bytes(part).strip() not in _NOTHING for part in parts):
        return ""
    if found.refusal:
        return REFUSAL
    return FILTERED if filters else ""


def refused(word: str, tokens: Tokens | None) -> ProviderFailure:
    """The failure that a refusal with status 200 is; ``tokens`` as the provider bills it."""
    return ProviderFailure(ErrorKind.POLICY, status=200, code=word, tokens=tokens)


class Unrefused:
    """A stream that fails where it holds a refusal and nothing else.

    A refusal is known by its first chunk, before anything was passed on. The rest is still read,
    for a moment, since only the end tells the usage, and since another choice of the same answer
    may have content: then all is passed on as it came.
    """

    def __init__(self, stream: AnswerStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncGenerator[Chunk, None]:
        chunks = aiter(self._stream)
        async for chunk in chunks:
            if not chunk.refusal:
                yield chunk
                if not chunk.content_chars:
                    continue
            else:
                for held in await _unless_refused(chunk, chunks):
                    yield held
            break
        async for chunk in chunks:
            yield chunk

    async def close(self) -> None:
        """Let the connection go."""
        await self._stream.close()


async def _unless_refused(first: Chunk, chunks: AsyncIterator[Chunk]) -> list[Chunk]:
    """The chunks up to the first content; raises ProviderFailure where there is none."""
    held, tokens = [first], first.tokens
    try:
        async with asyncio.timeout(READ_ON_S):
            while not held[-1].done and len(held) < MAX_HELD:
                chunk = await anext(chunks)
                held.append(chunk)
                tokens = chunk.tokens or tokens
                if chunk.content_chars and not chunk.refusal:
                    return held
    except (TimeoutError, StopAsyncIteration, ProviderFailure):
        pass  # however it ends, it was refused
    except asyncio.CancelledError:
        # The attempt's time, or the caller's leaving. What was refused must not be taken for a
        # call that was too slow, or it would be sent again.
        raise refused(first.refusal, tokens) from None
    raise refused(first.refusal, tokens)
