"""Gemini's answers and streams told in OpenAI's form. Thoughts are left where they are."""

from __future__ import annotations

from typing import Any

import msgspec

from service.domain.clock import new_id
from service.providers import retelling
from service.providers.failures import UNREADABLE
from service.providers.refusals import FILTERED, filtered
from service.providers.retelling import DONE, Retold, chunk, raw_event
from service.providers.transport import Reply

FAILED = ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "OTHER",
          "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE")  # fmt: skip
FAILURE = b'data: {"error": {"code": 500, "status": "INTERNAL"}}\n\n'


class _Call(msgspec.Struct):
    name: str = ""
    id: str | None = None
    args: msgspec.Raw = msgspec.Raw(b"{}")


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    function_call: _Call | None = None
    thought_signature: str | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None


class Told(msgspec.Struct, rename="camel"):
    """An answer, or a piece of one on a stream."""

    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    model_version: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


_told = msgspec.json.Decoder(Told).decode


def answer(data: bytes) -> tuple[bytes, str | None] | None:
    """A whole answer in OpenAI's form, and its model; None where it is no answer.

    Raises UNREADABLE.
    """
    data.decode()  # what is not looked at must be text, too
    told = _told(data)
    blocked = _blocked(told)
    if bytes(told.error) != b"null" or not (told.candidates or blocked):
        return None
    if blocked or not told.candidates:
        message = retelling.message("", [])
        return retelling.whole(message, FILTERED, _used(told.usage_metadata)), told.model_version
    first = told.candidates[0]
    if first.finish_reason in FAILED:
        return None
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for part in _parts(first):
        if part.function_call is not None:
            calls.append(_call(part, part.function_call))
        elif part.text:
            texts.append(part.text)
    message = retelling.message("".join(texts), calls)
    reason = _reason(first.finish_reason, bool(calls))
    return retelling.whole(message, reason, _used(told.usage_metadata)), told.model_version


def _blocked(told: Told) -> bool:
    """Whether the prompt itself was refused, for whatever reason."""
    return bool(told.prompt_feedback and told.prompt_feedback.block_reason)


def _parts(candidate: _Candidate) -> list[_Part]:
    parts = candidate.content.parts if candidate.content else None
    return [part for part in parts or () if not part.thought]


def _call(part: _Part, call: _Call) -> dict[str, Any]:
    made = retelling.call(
        call.id or f"call_{new_id().replace('-', '')[-20:]}", call.name, bytes(call.args).decode()
    )
    if part.thought_signature:
        made["extra_content"] = {"google": {"thought_signature": part.thought_signature}}
    return made


def _reason(given: str | None, calls: bool) -> str:
    if given == "MAX_TOKENS":
        return "length"
    if filtered(given):
        return FILTERED
    return "tool_calls" if calls else "stop"


def _used(usage: _Usage | None) -> dict[str, Any] | None:
    """Thoughts are billed as output, and told beside it here."""
    if usage is None or usage.prompt_token_count is None:
        return None
    thought = usage.thoughts_token_count or 0
    return retelling.used(
        usage.prompt_token_count + (usage.tool_use_prompt_token_count or 0),
        (usage.candidates_token_count or 0) + thought,
        usage.cached_content_token_count or 0,
        thought,
    )


class Stream(Retold):
    """A stream of Gemini's answers. It has no last event: it is whole when a reason to finish was
    told and the provider then closes it cleanly.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self._begun = self._finished = False
        self._calls = 0
        self._usage: dict[str, Any] | None = None

    def event(self, data: bytes) -> bytes:
        try:
            if not data.isascii():
                data.decode()
            told = _told(data)
        except UNREADABLE:
            return raw_event(data)
        if bytes(told.error) != b"null":
            return raw_event(data)
        self._usage = _used(told.usage_metadata) or self._usage
        out = [] if self._begun else [retelling.first_chunk(told.model_version)]
        self._begun = True
        if _blocked(told):
            self._finished = True
            out.append(chunk({}, FILTERED))
        for candidate in (told.candidates or ())[:1]:
            out += [self._delta(part) for part in _parts(candidate)]
            if candidate.finish_reason in FAILED:
                return b"".join(out) + FAILURE
            if candidate.finish_reason is not None:
                self._finished = True
                out.append(chunk({}, _reason(candidate.finish_reason, self._calls > 0)))
        return b"".join(out)

    def end(self) -> bytes:
        if not self._finished:
            return b""
        return (retelling.usage_chunk(self._usage) if self._usage else b"") + DONE

    def _delta(self, part: _Part) -> bytes:
        if part.function_call is not None:
            call = {"index": self._calls} | _call(part, part.function_call)
            self._calls += 1
            return chunk({"tool_calls": [call]})
        return chunk({"content": part.text}) if part.text else b""
