"""Requests of other dialects: read strictly, so that nothing is left out in silence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from service.domain.errors import InvalidRequest

T = TypeVar("T")
_PLACE = re.compile(r" - at `\$\.?(.*)`$")
_FIELD = re.compile(r"field `([^`]*)`")


def read(body: bytes | msgspec.Raw, decode: Callable[[Any], T], at: str = "") -> T:
    """A body, or what stands ``at`` a place of it, by its form; raises InvalidRequest that names
    the field.
    """
    try:
        if isinstance(body, bytes) and not body.isascii():
            body.decode()
        return decode(body)
    except UnicodeDecodeError:
        raise InvalidRequest("the body is not valid UTF-8; send JSON in UTF-8") from None
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply", code="nested_too_deeply") from None
    except msgspec.ValidationError as error:
        raise _misplaced(str(error), at) from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None


def _misplaced(text: str, at: str) -> InvalidRequest:
    """Where it is wrong, in the way the dialect's own errors name a place."""
    found = _PLACE.search(text)
    place = ".".join(each for each in (at, found[1] if found else "") if each).replace(".[", "[")
    what = text[: found.start()] if found else text
    named = _FIELD.search(what)
    if named:
        place = f"{place}.{named[1]}" if place else named[1]
    if "unknown field" in what:
        what = "not offered here; leave it out (docs/dialects.md lists what is)"
    elif "missing required field" in what:
        what = "missing; it is required"
    place = place[:128]
    return InvalidRequest(f"{place or 'the body'}: {what[:200]}", param=place or None)


def refuse(param: str, why: str) -> InvalidRequest:
    """What is not offered, by name."""
    return InvalidRequest(f"{param}: {why}", param=param, code="unsupported_value")


def text_of(content: Any) -> str:
    """The words of an answer's content, which some providers give as parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    found = (part.get("text") for part in parts if isinstance(part, dict))
    return "".join(text for text in found if isinstance(text, str))


class Function(msgspec.Struct):
    """The name and the arguments of a call, or a piece of them."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct):
    """A tool call of an answer, or a piece of it."""

    index: int = 0
    id: str | None = None
    function: Function | None = None


class Spoken(msgspec.Struct):
    """A message of an answer, or a piece of it. Reasoning is not looked at: it is not content."""

    content: Any = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(msgspec.Struct):
    """One choice."""

    message: Spoken | None = None
    delta: Spoken | None = None
    finish_reason: str | None = None


class Details(msgspec.Struct):
    """Parts of the usage."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct):
    """What an answer used."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None


class Chat(msgspec.Struct):
    """An answer in the internal form, or a chunk of one."""

    choices: list[Choice] = []
    usage: Usage | None = None


class Counts(msgspec.Struct):
    """What is told of the usage in a dialect."""

    tokens_in: int
    tokens_out: int
    cached: int = 0
    thought: int = 0
    written: int = 0


_chat = msgspec.json.Decoder(Chat).decode


def answered(body: bytes) -> tuple[Choice, Usage | None]:
    """The first choice of a whole answer, and its usage."""
    chat = _chat(body)
    return chat.choices[0] if chat.choices else Choice(), chat.usage


def chunks(data: bytes) -> list[Choice]:
    """The choices of some whole chunks, as they are forwarded."""
    found = []
    for event in data.split(b"\n\n"):
        if event.startswith(b"data: "):
            found += _chat(event[6:]).choices[:1]
    return found


def counts(usage: Usage | None, tokens_in: int, tokens_out: int) -> Counts:
    """What the provider told; else our own count."""
    if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return Counts(tokens_in, tokens_out)
    given, made = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = (given.cached_tokens if given else 0) or 0
    thought = (made.reasoning_tokens if made else 0) or 0
    cached = min(cached, usage.prompt_tokens)
    written = (given.cache_write_tokens if given else 0) or 0
    written = max(min(written, usage.prompt_tokens - cached), 0)
    return Counts(usage.prompt_tokens, usage.completion_tokens, cached, thought, written)


def last_usage(event: bytes) -> Usage | None:
    """The usage of a stream's last chunk, where the provider sent one."""
    return _chat(event).usage if event else None
