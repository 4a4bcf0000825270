"""A provider's failures in our words: what kind, and when to come back; never its own text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from service.domain.records import ErrorKind
from service.providers.base import ProviderFailure
from service.providers.refusals import error_word
from service.providers.waits import wait_s

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# Words of letters alone, so that no key can pass for one; indices in a parameter's path.
_WORD = re.compile(r"[A-Za-z_]{1,64}", re.ASCII)
_PATH = re.compile(r"[A-Za-z_]{1,32}(?:\[\d{1,4}\]|\.(?:[A-Za-z_]{1,32}|\d{1,4})){0,8}", re.ASCII)
_anything = msgspec.json.Decoder().decode

_KINDS: Mapping[int, ErrorKind] = {
    400: ErrorKind.INVALID,
    401: ErrorKind.AUTH,
    402: ErrorKind.AUTH,  # the account is empty: as with a bad key, only its owner can mend it
    403: ErrorKind.AUTH,
    413: ErrorKind.CONTEXT_LENGTH,
    422: ErrorKind.INVALID,
    429: ErrorKind.RATE_LIMIT,
    529: ErrorKind.OVERLOADED,
}
_WORDS: Mapping[str, ErrorKind] = {
    "rate_limit_exceeded": ErrorKind.RATE_LIMIT,
    "rate_limit_error": ErrorKind.RATE_LIMIT,
    "resource_exhausted": ErrorKind.RATE_LIMIT,
    "insufficient_quota": ErrorKind.RATE_LIMIT,
    "too_many_requests": ErrorKind.RATE_LIMIT,
    "overloaded_error": ErrorKind.OVERLOADED,
    "overloaded": ErrorKind.OVERLOADED,
    "engine_overloaded": ErrorKind.OVERLOADED,
    "server_overloaded": ErrorKind.OVERLOADED,
    "slow_down": ErrorKind.OVERLOADED,
    "unavailable": ErrorKind.OVERLOADED,
    "invalid_api_key": ErrorKind.AUTH,
    "authentication_error": ErrorKind.AUTH,
    "permission_error": ErrorKind.AUTH,
}
_TOO_LONG = ("context length", "context window", "maximum context", "prompt is too long",
             "input token count", "input is too long")  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Said:
    """What an error body says, as far as it is safe to keep; ``text`` is looked at and dropped."""

    code: str = ""
    param: str = ""
    text: str = ""
    words: tuple[str, ...] = ()
    policy: str = ""  # the word of a refusal by a content policy
    status: int = 0  # some put the status inside, under a 200


def failure(
    status: int, headers: Mapping[str, str], data: bytes, now_s: float = 0.0
) -> ProviderFailure:
    """A failed answer in our words; of the provider's text only plain code words are kept.

    ``now_s`` is the wall clock, for waits that are told as a date.
    """
    said = _said(data)
    if said.policy:
        return ProviderFailure(ErrorKind.POLICY, status=status, code=said.policy)
    kind = _kind(status, said)
    limited = kind in (ErrorKind.RATE_LIMIT, ErrorKind.OVERLOADED)
    return ProviderFailure(
        kind,
        status=status,
        retry_after_s=wait_s(headers, now_s, limited),
        code=said.code,
        param=said.param,
    )


def _kind(status: int, said: _Said) -> ErrorKind:
    if status != 200 and status < 400:
        return ErrorKind.MALFORMED  # redirects are not followed, and nothing else was asked for
    inner = said.status if status == 200 else status
    kind = _KINDS.get(inner, ErrorKind.SERVER)
    if kind is ErrorKind.SERVER:
        named = (_WORDS[word] for word in said.words if word in _WORDS)
        kind = next(named, kind)
    if kind is ErrorKind.SERVER and inner == 503 and "overloaded" in said.text:
        kind = ErrorKind.OVERLOADED
    too_long = "context_length_exceeded" in said.words or any(w in said.text for w in _TOO_LONG)
    if too_long and kind in (ErrorKind.INVALID, ErrorKind.SERVER, ErrorKind.AUTH):
        return ErrorKind.CONTEXT_LENGTH
    return kind


def _said(data: bytes) -> _Said:
    """From ``{"error": {...}}``, the same in a list, a text as the error, or the bare fields."""
    try:
        content: Any = _anything(data) if data else None
    except UNREADABLE:
        return _Said()
    if isinstance(content, list) and content:
        content = content[0]
    if not isinstance(content, dict):
        return _Said()
    inner = content.get("response")  # of a response.failed event
    error = content.get("error") or (inner.get("error") if isinstance(inner, dict) else None)
    if isinstance(error, str):
        return _Said(text=error.lower()[:500])
    if not isinstance(error, dict):
        error = content
    code, message = error.get("code"), error.get("message")
    words = [_safe(word) for word in (code, error.get("type"), error.get("status"))]
    number = code if isinstance(code, int) and 400 <= code < 600 else 0
    return _Said(
        code=next((word for word in words if word), ""),
        param=_safe(error.get("param"), _PATH),
        text=message.lower()[:500] if isinstance(message, str) else "",
        words=tuple(word.lower() for word in words if word),
        status=number,
        policy=error_word(error),
    )


def _safe(word: object, form: re.Pattern[str] = _WORD) -> str:
    return word if isinstance(word, str) and form.fullmatch(word) else ""
