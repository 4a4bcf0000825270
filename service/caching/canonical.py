"""A request in the one form that all requests alike have, and its keyed hash within a scope."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from service.domain.chat import LABELS, ChatRequest
from service.domain.hashing import keyed_hash
from service.domain.records import Key

FORM = "2026-11"  # of this canonical form: another one makes every entry a stranger
# What does not change what a model is asked: whom to ask, how to send it, whose it is.
IRRELEVANT = frozenset({
    "model", "stream", "stream_options", "user", "headgate", "prompt_cache_key",
    "prompt_cache_retention", "safety_identifier", "service_tier",
})  # fmt: skip
DEFAULTS: Mapping[str, Any] = {
    "n": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "logprobs": False,
    "response_format": {"type": "text"}, "tools": [], "functions": [], "stop": [],
    "logit_bias": {}, "metadata": {},
}  # fmt: skip
_EXACT = 2**53  # beyond it a float is no whole number that it stands for


class Uncanonical(Exception):
    """It has no one form: a name twice in an object, a number that is none, an image that lies
    elsewhere. Such a request is sent on as it is, and nothing of it is kept.
    """


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):  # who reads it may take either, so it is like no other
        raise Uncanonical("a name stands twice in an object")
    return made


def _number(text: str) -> int | float:
    value = float(text)
    if not math.isfinite(value):
        raise Uncanonical("a number is out of range")
    return int(value) if value.is_integer() and abs(value) <= _EXACT else value


def _constant(text: str) -> Any:
    raise Uncanonical("a number is none")


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_number, parse_constant=_constant
)
_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def canonical(request: ChatRequest) -> bytes:
    """The model-relevant part: without order of fields, forms of numbers, and what is said that
    goes without saying. What is not known counts. Raises Uncanonical.
    """
    parts = [
        b"%b:%b" % (msgspec.json.encode(name), bytes(raw))
        for name, raw in request.fields.items()
        if name not in IRRELEVANT
    ]
    try:
        fields: dict[str, Any] = _decoder.decode((b"{" + b",".join(parts) + b"}").decode())
        if isinstance(metadata := fields.get("metadata"), dict):
            fields["metadata"] = {k: v for k, v in metadata.items() if k not in LABELS}
        fields = {k: v for k, v in fields.items() if v is not None and not _default(k, v)}
        fields["messages"] = [_message(each) for each in fields["messages"]]
        return _encoder.encode(fields).encode()
    except (ValueError, RecursionError) as error:
        raise Uncanonical(type(error).__name__) from None


def _default(name: str, value: Any) -> bool:
    if name not in DEFAULTS:
        return False
    usual = DEFAULTS[name]
    return type(value) is type(usual) and value == usual


def _message(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            _lies_here(part)
    return {name: value for name, value in message.items() if value is not None}


def _lies_here(part: Any) -> None:
    """An image that is named by its address may be another one tomorrow."""
    if not isinstance(part, dict):
        return
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if url is not None and not (isinstance(url, str) and url.startswith("data:")):
        raise Uncanonical("an image lies elsewhere")
    named = part.get("file")
    if isinstance(named, dict) and ("file_id" in named or "file_url" in named):
        raise Uncanonical("a file lies elsewhere")


def scope_of(key: Key, request: ChatRequest, within: str) -> str:
    """Who shares answers: those of a tenant; of keys without one, each by itself. What a request
    says of its tenant only divides further.
    """
    said = str(request.labels.get("tenant", ""))
    parts = ["tenant", key.tenant, said] if key.tenant else ["key", key.id, said]
    if within in ("key", "user"):
        parts += ["of", key.id]
    if within == "user":
        parts += ["for", request.user]
    return _encoder.encode(parts)


def fingerprint(secret: bytes, scope: str, policy: str, form: bytes) -> str:
    """The keyed hash of a canonical request in its scope, under a policy of caching."""
    return keyed_hash(secret, "cache", FORM, scope, policy, form)
