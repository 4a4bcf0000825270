"""Anthropic's Messages in front: POST /v1/messages, and the count of its tokens."""

from __future__ import annotations

import json
import logging
from typing import Any

import msgspec

from service.api.admission import admit, read_translated
from service.api.asgi import (
    ClientGone,
    Receive,
    Scope,
    Send,
    error_body,
    error_headers,
    read_body,
    send_bytes,
)
from service.api.auth import authenticate_either
from service.api.fronts import Translating, Turn, dollars
from service.api.messages_reading import to_chat
from service.api.reading import (
    Choice,
    Counts,
    ToolCall,
    answered,
    chunks,
    counts,
    last_usage,
    text_of,
)
from service.domain.chat import ChatRequest
from service.domain.clock import new_id, response_id
from service.domain.errors import HeadgateError, Overloaded
from service.domain.records import Decision, Key
from service.orchestration.answering import Given
from service.routing.dispatch import Served
from service.runtime import Runtime
from service.storage.keys import KeyStore

log = logging.getLogger("headgate.api")

_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}
_encode = msgspec.json.Encoder().encode


class Messages(Translating):
    """The dialect."""

    def key(self, scope: Scope, keys: KeyStore) -> Key:
        return authenticate_either(scope, keys)

    def to_chat(self, body: bytes) -> tuple[bytes, Any]:
        return to_chat(body), None

    def from_chat(self, memo: Any, decision: Decision, body: bytes, served: Served) -> bytes:
        choice, usage = answered(body)
        told = counts(usage, served.usage.tokens_in, served.usage.tokens_out)
        return _encode(_message(decision, served, _content(choice), choice.finish_reason, told))

    def turn(self, memo: Any, decision: Decision, request: ChatRequest) -> Turn:
        return MessagesTurn(decision, request)

    async def tell(self, send: Send, error: HeadgateError, request_id: str) -> None:
        given = [*error_headers(error, request_id), ("request-id", request_id)]
        headers = [(name.encode(), value.encode()) for name, value in given]
        await send_bytes(send, error.status, _encode(_error(error, request_id)), headers)


def _error(error: HeadgateError, request_id: str) -> dict[str, Any]:
    """Anthropic's error shape; beside its two fields what our own errors tell."""
    kind = _TYPES.get(error.status)
    if kind is None:
        kind = "invalid_request_error" if error.status < 500 else "api_error"
    if isinstance(error, Overloaded):
        kind = "overloaded_error"
    own = error_body(error, request_id)["error"]
    own.pop("type")
    rest = {name: value for name, value in own.items() if value is not None}
    return {"type": "error", "error": {"type": kind} | rest, "request_id": request_id}


def _message(
    decision: Decision, served: Served, content: list[Any], reason: str | None, told: Counts
) -> dict[str, Any]:
    return {
        "id": response_id(decision.id, "msg_"),
        "type": "message",
        "role": "assistant",
        "model": served.deployment.name,
        "content": content,
        "stop_reason": _REASONS.get(reason or "", "end_turn") if reason else None,
        "stop_sequence": None,
        "usage": _usage(told),
    }


def _usage(told: Counts) -> dict[str, Any]:
    """The prompt is told without what of it was cached, or written to a cache."""
    return {
        "input_tokens": told.tokens_in - told.cached - told.written,
        "cache_creation_input_tokens": told.written,
        "cache_read_input_tokens": told.cached,
        "output_tokens": told.tokens_out,
    }


def _content(choice: Choice) -> list[dict[str, Any]]:
    message = choice.message
    if message is None:
        return []
    made: list[dict[str, Any]] = []
    if text := text_of(message.content) + (message.refusal or ""):
        made.append({"type": "text", "text": text})
    for call in message.tool_calls or ():
        function = call.function
        inner = _input(function.arguments if function else None)
        name = (function.name if function else None) or ""
        made.append({"type": "tool_use", "id": call.id or "", "name": name, "input": inner})
    return made


def _input(arguments: str | None) -> Any:
    """A call's arguments as an object; those that are none are told as a text of it."""
    try:
        found = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"arguments": arguments}


class MessagesTurn(Turn):
    """A stream in Anthropic's events. Blocks follow one another: one ends where the next begins."""

    def __init__(self, decision: Decision, request: ChatRequest) -> None:
        super().__init__(decision, request)
        self._blocks = 0
        self._open: int | None = None  # the block that is open
        self._text = False  # whether that is one of text
        self._calls: dict[int, int] = {}  # a tool call's index to its block's
        self._reason: str | None = None

    def begin(self, served: Served) -> bytes:
        told = Counts(self.decision.tokens_in, 0)  # our estimate; the last event tells the truth
        message = _message(self.decision, served, [], None, told)
        return _event("message_start", {"message": message})

    def feed(self, data: bytes) -> bytes:
        return b"".join(self._choice(choice) for choice in chunks(data))

    def _choice(self, choice: Choice) -> bytes:
        self._reason = choice.finish_reason or self._reason
        delta, out = choice.delta, b""
        if delta is None:
            return out
        if text := text_of(delta.content) + (delta.refusal or ""):
            if not self._text:
                out += self._started({"type": "text", "text": ""})
                self._text = True
            out += _delta(self._open, {"type": "text_delta", "text": text})
        for call in delta.tool_calls or ():
            out += self._call(call)
        return out

    def _call(self, call: ToolCall) -> bytes:
        function, out = call.function, b""
        if call.index not in self._calls:
            name = (function.name if function else None) or ""
            block = {"type": "tool_use", "id": call.id or "", "name": name, "input": {}}
            out = self._started(block)
            self._calls[call.index] = self._blocks - 1
        if function is not None and function.arguments:
            piece = {"type": "input_json_delta", "partial_json": function.arguments}
            out += _delta(self._calls[call.index], piece)
        return out

    def _started(self, block: dict[str, Any]) -> bytes:
        out = self._stopped()
        self._open, self._text = self._blocks, False
        self._blocks += 1
        return out + _event("content_block_start", {"index": self._open, "content_block": block})

    def _stopped(self) -> bytes:
        if self._open is None:
            return b""
        return _event("content_block_stop", {"index": self._open})

    def end(self, stream: Given) -> bytes:
        total = stream.served.usage
        told = counts(last_usage(stream.usage_event), total.tokens_in, total.tokens_out)
        usage = _usage(told) | {"cost_usd": msgspec.Raw(dollars(total))}
        reason = _REASONS.get(self._reason or "", "end_turn")
        delta = {"stop_reason": reason, "stop_sequence": None}
        ending = _event("message_delta", {"delta": delta, "usage": usage})
        return self._stopped() + ending + _event("message_stop", {})

    def broken(self, error: HeadgateError, request_id: str) -> bytes:
        return b"event: error\ndata: " + _encode(_error(error, request_id)) + b"\n\n"


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode({"type": kind} | fields))


def _delta(index: int | None, delta: dict[str, str]) -> bytes:
    fields = {"type": "content_block_delta", "index": index, "delta": delta}
    return b"event: content_block_delta\ndata: " + _encode(fields) + b"\n\n"


class CountEndpoint:
    """How long a request is, by the estimate that routing uses; no deployment is asked."""

    def __init__(self, runtime: Runtime, front: Messages) -> None:
        self._runtime, self._front = runtime, front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime, request_id, body = self._runtime, new_id(), b""
        load = runtime.load
        load.under_way += 1
        try:
            load.check()
            grant = admit(runtime, self._front.key(scope, runtime.kept.keys))
            body = await read_body(scope, receive, load.bounds.body_bytes, load)
            request, _, _ = await read_translated(runtime, body, _counted)
            headers = [(b"x-request-id", request_id.encode()), *grant.headers()]
            told = {"input_tokens": request.shape.tokens_in}
            await send_bytes(send, 200, _encode(told), headers)
        except HeadgateError as error:
            load.noted(error)
            await self._front.tell(send, error, request_id)
        except ClientGone:
            pass
        except Exception:
            log.exception("request %s failed", request_id)
            await self._front.tell(send, HeadgateError("something went wrong here"), request_id)
        finally:
            load.under_way -= 1
            load.held_bytes -= len(body)


def _counted(body: bytes) -> tuple[bytes, Any]:
    return to_chat(body, counting=True), None
