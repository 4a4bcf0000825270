"""Answers in OpenAI's form: as much of them as is looked at; the rest stays bytes, renamed."""

from __future__ import annotations

from typing import Any

import msgspec

from service.domain.records import ErrorKind
from service.providers.base import Answer, Names, ProviderFailure, Tokens
from service.providers.failures import UNREADABLE, failure
from service.providers.refusals import answer_word, filtered, refused

NULL = msgspec.Raw(b"null")
MAX_TOKENS = 100_000_000  # of one call: more cannot be
CUT_SHORT = ("length", "content_filter")  # reasons for which an answer may end without content
_EMPTY = (b"null", b'""', b"[]", b"{}")


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Made(msgspec.Struct):
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct):
    """What the provider says it used."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Made | None = None

    def tokens(self) -> Tokens | None:
        """None where the numbers cannot be: then we estimate. What contradicts itself is marked.

        Tokens that only the total knows of (some providers leave reasoning out of the completion)
        are billed as output; a part larger than its whole counts for nothing, so that a cached one
        larger than the prompt is no discount.
        """
        given, made = self.prompt_tokens, self.completion_tokens
        if given is None or made is None or given < 0 or made < 0:
            return None
        total = given + made if self.total_tokens is None else self.total_tokens
        if given == 0 or total < given + made or max(total, given + made) > MAX_TOKENS:
            return None
        details, how = self.prompt_tokens_details, self.completion_tokens_details
        cached = (details.cached_tokens or 0) if details else 0
        written = (details.cache_write_tokens or 0) if details else 0
        thought = (how.reasoning_tokens or 0) if how else 0
        odd = total != given + made or not 0 <= cached <= given
        cached = cached if 0 <= cached <= given else 0
        if not 0 <= written <= given - cached:
            written, odd = 0, True
        if not 0 <= thought <= total - given:
            thought, odd = 0, True
        return Tokens(given, total - given, cached, odd, written, thought)


class Spoken(msgspec.Struct):
    """What a message says, or a piece of one on a stream."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: msgspec.Raw = NULL
    function_call: msgspec.Raw = NULL
    audio: msgspec.Raw = NULL
    images: msgspec.Raw = NULL


class _Choice(msgspec.Struct):
    message: Spoken | None = None
    finish_reason: str | None = None


class _Whole(msgspec.Struct):
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


class _RawChoice(msgspec.Struct):
    message: msgspec.Raw = NULL
    finish_reason: str | None = None


class _RawChoices(msgspec.Struct):
    choices: list[_RawChoice] | None = None


_choices = msgspec.json.Decoder(_RawChoices).decode
_whole = msgspec.json.Decoder(_Whole).decode
_loose = msgspec.json.Decoder(_Loose).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read_answer(data: bytes, names: Names, now_s: float = 0.0) -> tuple[Answer, str | None]:
    """A whole answer from the provider's bytes, and the model that it names.

    Raises ProviderFailure where it is none: unreadable, without choices, an error under a 200, or
    empty for no reason that is told (then another deployment may do better).
    """
    try:
        data.decode()  # what is not looked at must be text, too
        whole = _read(data)
    except UNREADABLE:
        raise unreadable(data) from None
    if bytes(whole.error) != b"null" or failed_type(whole.type):
        raise failure(200, {}, data, now_s)
    tokens = whole.usage.tokens() if whole.usage else None
    if not whole.choices:
        raise _malformed(0, tokens)
    if any(_suspect(choice) for choice in whole.choices):
        raw = _choices(data).choices or []
        if word := answer_word((bytes(each.message), each.finish_reason) for each in raw):
            raise refused(word, tokens)
    characters, has_content = 0, False
    for choice in whole.choices:
        shown, thought = _sizes(choice.message)
        characters += shown + thought
        has_content = has_content or shown > 0 or choice.finish_reason in CUT_SHORT
    if not has_content:
        raise _malformed(characters, tokens)
    images = sum(count(each.message.images) for each in whole.choices if each.message)
    answer = Answer(renamed(data, whole.id, whole.model, names), tokens, characters, images)
    return answer, whole.model


def _suspect(choice: _Choice) -> bool:
    """Whether a closer look may find a refusal."""
    return filtered(choice.finish_reason) or bool(choice.message and choice.message.refusal)


def _read(data: bytes) -> _Whole:
    try:
        return _whole(data)
    except msgspec.ValidationError:
        loose = _loose(data)
        return _Whole(choices=loose.choices, error=loose.error, type=loose.type)


def unreadable(data: bytes) -> ProviderFailure:
    """What is no answer: a spoilt one is billed as far as it came, of a page only the prompt."""
    return _malformed(len(data) if data.lstrip()[:1] == b"{" else 0)


def _malformed(characters: int, tokens: Tokens | None = None) -> ProviderFailure:
    return ProviderFailure(ErrorKind.MALFORMED, status=200).after(characters, tokens)


def _sizes(message: Spoken | None) -> tuple[int, int]:
    """Characters of what the caller is shown, and of reasoning."""
    if message is None:
        return 0, 0
    shown = size(message.content) + size(message.refusal)
    for raw in (message.tool_calls, message.function_call, message.audio, message.images):
        shown += raw_size(raw)
    return shown, size(message.reasoning_content) + size(message.reasoning)


def size(content: Any) -> int:
    """Characters of a text, or of parts as JSON."""
    if isinstance(content, str):
        return len(content)
    return len(msgspec.json.encode(content)) if content else 0


def raw_size(raw: msgspec.Raw) -> int:
    """Bytes of a value that is there."""
    data = bytes(raw)
    return 0 if data in _EMPTY else len(data)


def count(raw: msgspec.Raw) -> int:
    """How many are in a list; of what is none, 0."""
    data = bytes(raw)
    return 0 if data[:1] != b"[" or data in _EMPTY else len(_list(data))


def failed_type(raw: msgspec.Raw) -> bool:
    """Whether a ``type`` says that this is no answer: ``error``, ``response.failed``."""
    return bytes(raw) in (b'"error"', b'"response.failed"', b'"response.error"')


def other_model(asked: str, named: str | None) -> bool:
    """Whether an answer names a model that is not a form of the one that was asked for."""
    if not named or asked in named or named in asked:
        return False
    ours, theirs = asked.lower().rsplit("/", 1)[-1], named.lower().rsplit("/", 1)[-1]
    return ours not in theirs and theirs not in ours


def renamed(data: bytes, was_id: str | None, was_model: str | None, names: Names) -> bytes:
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
