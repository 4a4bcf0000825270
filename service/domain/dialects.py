"""What each dialect can say: which of OpenAI's fields it has no words for.

The internal form of a request is OpenAI's, so the dialect ``openai`` says all of it. What another
cannot say is known before a deployment is drawn, from the names and the plain values of the fields;
what only the messages show is found when they are put into the dialect.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

import msgspec

NOTHING: frozenset[str] = frozenset()
OTHER = "other_fields"  # of a vendor's own, which OpenAI's form does not know
HOT, LATE_SYSTEM = "temperature_over_1", "system_after_the_start"

# Said by every dialect, or without effect on the answer (docs/dialects.md says which).
_EVERYWHERE = frozenset({
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "top_p",
    "stop", "tools", "tool_choice", "response_format", "user", "metadata", "headgate",
    "temperature", "prompt_cache_key", "prompt_cache_retention", "safety_identifier",
})  # fmt: skip
_NEUTRAL: Mapping[str, tuple[bytes, ...]] = {
    "n": (b"1",),
    "logprobs": (b"false",),
    "top_logprobs": (b"0",),
    "frequency_penalty": (b"0", b"0.0"),
    "presence_penalty": (b"0", b"0.0"),
    "logit_bias": (b"{}",),
    "store": (b"false",),
    "parallel_tool_calls": (b"true",),
    "service_tier": (b'"auto"', b'"default"'),
    "modalities": (b'["text"]',),
    "verbosity": (b'"medium"',),
}
_KNOWN = frozenset(_NEUTRAL) | {
    "seed", "audio", "prediction", "reasoning_effort", "web_search_options", "functions",
    "function_call",
}  # fmt: skip
_SAID: Mapping[str, frozenset[str]] = {
    "anthropic": frozenset({"parallel_tool_calls"}),
    "gemini": frozenset({"seed", "frequency_penalty", "presence_penalty", HOT}),
}
_PARAMS = {HOT: "temperature", LATE_SYSTEM: "messages"}
_number = msgspec.json.Decoder(float).decode


def beyond(fields: Mapping[str, msgspec.Raw]) -> frozenset[str]:
    """Words for what a request asks that not every dialect can say; empty for nearly all."""
    hot = "temperature" in fields and _hot(fields["temperature"])
    if not hot and fields.keys() <= _EVERYWHERE:
        return NOTHING
    words = {HOT} if hot else set()
    for name in fields.keys() - _EVERYWHERE:
        value = bytes(fields[name]).strip()
        if value != b"null" and value not in _NEUTRAL.get(name, ()):
            words.add(name if name in _KNOWN else OTHER)
    return frozenset(words)


def unsaid(dialect: str, words: Set[str]) -> list[str]:
    """Those of the words that a dialect cannot say, sorted."""
    said = _SAID.get(dialect)
    return [] if said is None else sorted(words - said)


def param_of(word: str, fields: Mapping[str, msgspec.Raw]) -> str:
    """The field that a word stands for."""
    if word == OTHER:
        own = sorted(fields.keys() - _EVERYWHERE - _KNOWN)
        return own[0][:64] if own else OTHER
    return _PARAMS.get(word, word)


def _hot(raw: msgspec.Raw) -> bool:
    try:
        return _number(raw) > 1.0
    except msgspec.DecodeError:
        return False  # not a number: the provider says so
