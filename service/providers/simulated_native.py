"""What simulated providers say in Anthropic's and in Gemini's own dialect.

Written from the vendors' forms, not from the translation beside it, so that the one proves the
other: a request is taken strictly, and what its vendor would refuse is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.clock import new_id

_MESSAGES = frozenset({
    "model", "max_tokens", "messages", "system", "tools", "tool_choice", "stop_sequences", "stream",
    "temperature", "top_p", "top_k", "metadata", "output_config", "thinking", "service_tier",
})  # fmt: skip
_CONTENT = frozenset({
    "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings",
    "cachedContent",
})  # fmt: skip
_CONFIG = frozenset({
    "temperature", "topP", "topK", "maxOutputTokens", "stopSequences", "seed", "candidateCount",
    "presencePenalty", "frequencyPenalty", "responseMimeType", "responseSchema",
    "responseJsonSchema", "thinkingConfig", "responseModalities",
})  # fmt: skip


class NotOfTheForm(ValueError):
    """What the vendor would answer with a 400."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be answered: words, or a tool call's name and arguments, or a refusal."""

    model: str
    text: str
    call: tuple[str, str] | None
    tokens_in: int
    tokens_out: int
    refused: bool = False
    cut: bool = False  # by the caller's limit


def _need(fine: bool, message: str) -> None:
    if not fine:
        raise NotOfTheForm(message)


# Anthropic ----------------------------------------------------------------------------------------


def anthropic_body(given: dict[str, Any], counting: bool = False) -> dict[str, Any]:
    """A request for messages in the few words of OpenAI's form that the simulated world knows."""
    extra = sorted(given.keys() - _MESSAGES)
    _need(not extra, f"{', '.join(extra)}: Extra inputs are not permitted")
    limit = given.get("max_tokens")
    _need(counting or (isinstance(limit, int) and limit > 0), "max_tokens: Field required")
    _need(0 <= given.get("temperature", 1) <= 1, "temperature: range: 0..1")
    messages: list[dict[str, Any]] = []
    if given.get("system"):
        messages.append({"role": "system", "content": _joined(given["system"])})
    open_calls: set[str] = set()
    _need(bool(given["messages"]), "messages: at least one message is required")
    for message in given["messages"]:
        role, blocks = message["role"], _blocks(message["content"])
        _need(role in ("user", "assistant"), "messages: Unexpected role")
        _need(bool(messages) or role == "user", "messages: first message must use the user role")
        results = {b["tool_use_id"] for b in blocks if b["type"] == "tool_result"}
        _need(results == open_calls, "messages: tool_use ids without tool_result blocks")
        open_calls = {block["id"] for block in blocks if block["type"] == "tool_use"}
        _need(all(b.get("text", "x") for b in blocks), "messages: text must be non-empty")
        kind = "tool" if results else role
        messages.append({"role": kind, "content": _joined(blocks) or json.dumps(blocks)})
    _need(not open_calls, "messages: tool_use ids without tool_result blocks")
    body: dict[str, Any] = {"model": given["model"], "messages": messages, "max_tokens": limit}
    if given.get("tools"):
        for tool in given["tools"]:
            _need(tool["input_schema"].get("type") == "object", "tools: input_schema.type")
        body["tools"] = [{"function": {"name": tool["name"]}} for tool in given["tools"]]
        body["tool_choice"] = (given.get("tool_choice") or {}).get("type")
    json_asked = "Answer with one JSON object" in _joined(given.get("system") or "")
    if (given.get("output_config") or {}).get("format") or json_asked:
        body["response_format"] = {"type": "json_object"}
    return body | {"stream": bool(given.get("stream"))}


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _joined(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content if block.get("type", "text") == "text")


def anthropic_whole(told: Told) -> dict[str, Any]:
    """A message."""
    content: list[dict[str, Any]] = []
    if told.call is not None:
        name, arguments = told.call
        content.append({"type": "tool_use", "id": "toolu_" + new_id()[-12:], "name": name,
                        "input": json.loads(arguments)})  # fmt: skip
    elif not told.refused:
        content.append({"type": "text", "text": told.text})
    return {
        "id": "msg_" + new_id(),
        "type": "message",
        "role": "assistant",
        "model": told.model,
        "content": content,
        "stop_reason": _anthropic_reason(told),
        "stop_sequence": None,
        "usage": {"input_tokens": told.tokens_in, "output_tokens": told.tokens_out,
                  "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
    }  # fmt: skip


def _anthropic_reason(told: Told) -> str:
    if told.refused:
        return "refusal"
    return "tool_use" if told.call else "max_tokens" if told.cut else "end_turn"


def anthropic_events(told: Told, pieces: list[str]) -> Iterator[bytes]:
    """A message, event by event; ``pieces``: of the text, or of the arguments."""
    whole = anthropic_whole(told)
    blocks, usage = whole["content"], whole["usage"]
    opened = {"content": [], "stop_reason": None, "usage": usage | {"output_tokens": 1}}
    yield _named("message_start", message=whole | opened)
    yield _named("ping")
    for block in blocks:
        call = block["type"] == "tool_use"
        bare = block | dict([("input", {}) if call else ("text", "")])
        yield _named("content_block_start", index=0, content_block=bare)
        for piece in pieces:
            kind, name = ("input_json", "partial_json") if call else ("text", "text")
            delta = {"type": f"{kind}_delta", name: piece}
            yield _named("content_block_delta", index=0, delta=delta)
        yield _named("content_block_stop", index=0)
    ending = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield _named("message_delta", delta=ending, usage={"output_tokens": told.tokens_out})
    yield _named("message_stop")


def _named(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | more)}\n\n".encode()


_ANTHROPIC_ERRORS: Mapping[int, str] = {
    400: "invalid_request_error",
    404: "not_found_error",
    529: "overloaded_error",
}


def anthropic_error(status: int, message: str) -> dict[str, Any]:
    """An error's body."""
    kind = _ANTHROPIC_ERRORS.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": new_id()}


# Gemini -------------------------------------------------------------------------------------------


def gemini_body(given: dict[str, Any], model: str, stream: bool) -> dict[str, Any]:
    """A request to generate content, in the same few words."""
    config = given.get("generationConfig") or {}
    for known, fields in ((_CONTENT, given), (_CONFIG, config)):
        extra = sorted(fields.keys() - known)
        _need(not extra, f'Unknown name "{", ".join(extra)}": Cannot find field.')
    messages: list[dict[str, Any]] = []
    system = (given.get("systemInstruction") or {}).get("parts") or []
    if system:
        messages.append({"role": "system", "content": _said(system)})
    _need(bool(given.get("contents")), "contents is not specified")
    calls = 0
    for content in given["contents"]:
        role, parts = content.get("role", "user"), content["parts"]
        _need(role in ("user", "model"), "Please use a valid role: user, model.")
        _need(bool(parts), "contents.parts must not be empty.")
        results = sum("functionResponse" in part for part in parts)
        _need(results == calls, "number of function response parts is not that of the calls")
        calls = sum("functionCall" in part for part in parts)
        kind = "tool" if results else "assistant" if role == "model" else "user"
        messages.append({"role": kind, "content": _said(parts) or json.dumps(parts)})
    body: dict[str, Any] = {"model": model, "messages": messages,
                            "max_tokens": config.get("maxOutputTokens")}  # fmt: skip
    declared = [each for tool in given.get("tools") or () for each in tool["functionDeclarations"]]
    if declared:
        body["tools"] = [{"function": {"name": each["name"]}} for each in declared]
        mode = ((given.get("toolConfig") or {}).get("functionCallingConfig") or {}).get("mode")
        body["tool_choice"] = (mode or "AUTO").lower()
    if config.get("responseMimeType") == "application/json":
        body["response_format"] = {"type": "json_object"}
    return body | {"stream": stream}


def _said(parts: list[dict[str, Any]]) -> str:
    return "\n".join(part["text"] for part in parts if part.get("text"))


def gemini_whole(told: Told, piece: str | None = None, last: bool = True) -> dict[str, Any]:
    """An answer, or with ``piece`` one of a stream's."""
    usage = {"promptTokenCount": told.tokens_in, "candidatesTokenCount": told.tokens_out,
             "totalTokenCount": told.tokens_in + told.tokens_out}  # fmt: skip
    rest = {"usageMetadata": usage, "modelVersion": told.model, "responseId": new_id()}
    if told.refused:
        del usage["candidatesTokenCount"]
        return {"promptFeedback": {"blockReason": "SAFETY"}} | rest
    parts: list[dict[str, Any]] = [{"text": told.text if piece is None else piece}]
    if told.call is not None:
        call = {"id": new_id()[-12:], "name": told.call[0], "args": json.loads(told.call[1])}
        parts = [{"functionCall": call}]
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if last:
        candidate["finishReason"] = "MAX_TOKENS" if told.cut else "STOP"
    return {"candidates": [candidate]} | rest


def gemini_events(told: Told, pieces: list[str]) -> Iterator[bytes]:
    """An answer piece by piece; a tool call comes in one."""
    if told.call is not None or told.refused:
        pieces = pieces[:1] or [""]
    for number, piece in enumerate(pieces):
        answer = gemini_whole(told, piece, number == len(pieces) - 1)
        yield b"data: " + json.dumps(answer).encode() + b"\r\n\r\n"


_GEMINI_ERRORS: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    503: "UNAVAILABLE",
}


def gemini_error(status: int, message: str) -> dict[str, Any]:
    """An error's body."""
    name = _GEMINI_ERRORS.get(status, "INTERNAL")
    return {"error": {"code": status, "message": message, "status": name}}
