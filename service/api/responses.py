"""OpenAI's Responses in front: POST /v1/responses, kept where the plan and the request say so."""

from __future__ import annotations

from typing import Any

import msgspec

from service.api.fronts import Translating, Turn, dollars
from service.api.reading import (
    Choice,
    Counts,
    Spoken,
    ToolCall,
    answered,
    chunks,
    counts,
    last_usage,
    text_of,
)
from service.api.responses_reading import Memo, to_chat, wish
from service.domain.chat import ChatRequest
from service.domain.clock import response_id
from service.domain.conversations import Turn as Kept
from service.domain.errors import HeadgateError
from service.domain.records import Decision
from service.orchestration.answering import Given
from service.orchestration.conversation.wishing import Wish
from service.routing.dispatch import Served

_CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}
_encode = msgspec.json.Encoder().encode
_spoken = msgspec.json.Decoder(Spoken).decode
_tool = msgspec.json.Decoder().decode


class Responses(Translating):
    """The dialect. Its errors are those of chat completions."""

    def to_chat(self, body: bytes) -> tuple[bytes, Any]:
        return to_chat(body)

    def from_chat(self, memo: Any, decision: Decision, body: bytes, served: Served) -> bytes:
        choice, usage = answered(body)
        told = counts(usage, served.usage.tokens_in, served.usage.tokens_out)
        response = _response(memo, decision, served)
        cut = _CUT.get(choice.finish_reason or "")
        _finish(response, _output(choice, decision.id, bool(cut)), cut, told)
        return _encode(response)

    def wish(self, request: ChatRequest, memo: Any, kept: tuple[bool, bool]) -> Wish | None:
        return wish(memo.asked, kept)

    def kept(self, memo: Any, name: str, previous: str) -> None:
        memo.conversation, memo.previous, memo.stored = name, previous, True

    def turn(self, memo: Any, decision: Decision, request: ChatRequest) -> Turn:
        return ResponsesTurn(memo, decision, request)


def _response(memo: Memo, decision: Decision, served: Served) -> dict[str, Any]:
    """A response that has begun, with what was asked for as its form wants it repeated."""
    asked = memo.asked
    words = asked.text.format if asked.text else None
    return {
        "id": response_id(decision.id, "resp_"),
        "object": "response",
        "created_at": decision.at_us // 1_000_000,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "model": served.deployment.name,
        "output": [],
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "previous_response_id": asked.previous_response_id,
        "reasoning": {"effort": asked.reasoning.effort if asked.reasoning else None,
                      "summary": None},
        "store": memo.stored,  # as it is, whatever was asked
        "temperature": asked.temperature,
        "text": {"format": {"type": "text"} if words is None else _said(words)},
        "tool_choice": "auto" if asked.tool_choice is None else asked.tool_choice,
        "tools": [_tool(raw) for raw in asked.tools or ()],
        "top_p": asked.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": asked.user,
        "metadata": asked.metadata or {},
        **({"conversation": {"id": memo.conversation}} if memo.conversation else {}),
    }  # fmt: skip


def _said(words: Any) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(words)
    return {name: value for name, value in made.items() if value is not None}


def _finish(
    response: dict[str, Any], output: list[dict[str, Any]], cut: str | None, told: Counts
) -> None:
    response["output"] = output
    response["status"] = "incomplete" if cut else "completed"
    response["incomplete_details"] = {"reason": cut} if cut else None
    response["usage"] = {
        "input_tokens": told.tokens_in,
        "input_tokens_details": {
            "cached_tokens": told.cached,
            "cache_write_tokens": told.written,
        },
        "output_tokens": told.tokens_out,
        "output_tokens_details": {"reasoning_tokens": told.thought},
        "total_tokens": told.tokens_in + told.tokens_out,
    }


def _item_id(prefix: str, decision_id: str, number: int) -> str:
    return f"{response_id(decision_id, prefix)}{number:02d}"


def _said_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(identity: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "message", "id": identity, "status": status, "role": "assistant",
            "content": content}  # fmt: skip


def _call(identity: str, status: str, call: ToolCall) -> dict[str, Any]:
    function = call.function
    return {
        "type": "function_call",
        "id": identity,
        "call_id": call.id or "",
        "name": (function.name if function else None) or "",
        "arguments": (function.arguments if function else None) or "",
        "status": status,
    }


def _output(choice: Choice, decision_id: str, cut: bool) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    message = choice.message
    status = "incomplete" if cut else "completed"
    if message is None:
        return made
    content = []
    if text := text_of(message.content):
        content.append(_said_text(text))
    if message.refusal:
        content.append({"type": "refusal", "refusal": message.refusal})
    if content:
        made.append(_message(_item_id("msg_", decision_id, 0), status, content))
    for call in message.tool_calls or ():
        made.append(_call(_item_id("fc_", decision_id, len(made)), "completed", call))
    return made


def stored(name: str, turn: Kept) -> dict[str, Any]:
    """A kept turn as the response that it was; what was asked for beside the words is not kept."""
    spoken = _spoken(turn.messages[-1])
    cut = _CUT.get(turn.finish)
    made: dict[str, Any] = {
        "id": response_id(turn.decision_id, "resp_"), "object": "response",
        "created_at": turn.at_us // 1_000_000, "model": turn.deployment, "error": None,
        "instructions": None, "metadata": {}, "parallel_tool_calls": True, "temperature": None,
        "tool_choice": "auto", "tools": [], "top_p": None, "store": True,
        "previous_response_id": response_id(turn.previous, "resp_") if turn.previous else None,
        "conversation": {"id": name},
    }  # fmt: skip
    choice = Choice(message=spoken, finish_reason=turn.finish)
    told = Counts(turn.tokens_in, turn.tokens_out)
    _finish(made, _output(choice, turn.decision_id, bool(cut)), cut, told)
    return made


class ResponsesTurn(Turn):
    """A stream in the events of Responses. Items follow one another: one ends where the next
    begins, and the last response holds them all.
    """

    def __init__(self, memo: Memo, decision: Decision, request: ChatRequest) -> None:
        super().__init__(decision, request)
        self._memo = memo
        self._number = 0
        self._response: dict[str, Any] = {}
        self._output: list[dict[str, Any]] = []
        self._calls: dict[int, int] = {}  # a tool call's index to its item's
        self._open: int | None = None  # the item that is open
        self._said: dict[int, list[str]] = {}  # the pieces of each item, until it ends
        self._reason: str | None = None

    def begin(self, served: Served) -> bytes:
        self._response = _response(self._memo, self.decision, served)
        told = {"response": self._response}
        return self._event("response.created", told) + self._event("response.in_progress", told)

    def feed(self, data: bytes) -> bytes:
        return b"".join(self._choice(choice) for choice in chunks(data))

    def _choice(self, choice: Choice) -> bytes:
        self._reason = choice.finish_reason or self._reason
        delta, out = choice.delta, b""
        if delta is None:
            return out
        if text := text_of(delta.content) + (delta.refusal or ""):
            out += self._text(text)
        for call in delta.tool_calls or ():
            out += self._called(call)
        return out

    def _text(self, text: str) -> bytes:
        out, index = b"", self._open
        if index is None or self._output[index]["type"] != "message":
            index, out = self._opened(
                _message(_item_id("msg_", self.decision.id, len(self._output)), "in_progress", [])
            )
            part = self._at(index) | {"content_index": 0, "part": _said_text("")}
            out += self._event("response.content_part.added", part)
        self._said[index].append(text)
        fields = self._at(index) | {"content_index": 0, "delta": text, "logprobs": []}
        return out + self._event("response.output_text.delta", fields)

    def _called(self, call: ToolCall) -> bytes:
        function, out = call.function, b""
        if call.index not in self._calls:
            identity = _item_id("fc_", self.decision.id, len(self._output))
            bare = _call(identity, "in_progress", call) | {"arguments": ""}
            self._calls[call.index], out = self._opened(bare)
        index = self._calls[call.index]
        if function is None or not function.arguments:
            return out
        self._said[index].append(function.arguments)
        fields = self._at(index) | {"delta": function.arguments}
        return out + self._event("response.function_call_arguments.delta", fields)

    def _opened(self, item: dict[str, Any]) -> tuple[int, bytes]:
        out = self._ended() if item["type"] == "message" or not self._calls else b""
        index = self._open = len(self._output)
        self._output.append(item)
        self._said[index] = []
        fields = {"output_index": index, "item": item}
        return index, out + self._event("response.output_item.added", fields)

    def _at(self, index: int) -> dict[str, Any]:
        return {"item_id": self._output[index]["id"], "output_index": index}

    def _ended(self, status: str = "completed") -> bytes:
        """All items that are open come to their end."""
        out = b"".join(self._item_ended(index, status) for index in sorted(self._said))
        self._open = None
        return out

    def _item_ended(self, index: int, status: str) -> bytes:
        item, whole = self._output[index], "".join(self._said.pop(index))
        at = self._at(index)
        if item["type"] == "message":
            part = _said_text(whole)
            item = item | {"content": [part], "status": status}
            text = at | {"content_index": 0, "text": whole, "logprobs": []}
            out = self._event("response.output_text.done", text)
            ended = at | {"content_index": 0, "part": part}
            out += self._event("response.content_part.done", ended)
        else:
            item = item | {"arguments": whole, "status": "completed"}
            fields = at | {"arguments": whole, "name": item["name"]}
            out = self._event("response.function_call_arguments.done", fields)
        self._output[index] = item
        done = {"output_index": index, "item": item}
        return out + self._event("response.output_item.done", done)

    def end(self, stream: Given) -> bytes:
        total = stream.served.usage
        told = counts(last_usage(stream.usage_event), total.tokens_in, total.tokens_out)
        cut = _CUT.get(self._reason or "")
        out = self._ended("incomplete" if cut else "completed")
        _finish(self._response, self._output, cut, told)
        self._response["usage"]["cost_usd"] = msgspec.Raw(dollars(total))
        kind = "response.incomplete" if cut else "response.completed"
        return out + self._event(kind, {"response": self._response})

    def broken(self, error: HeadgateError, request_id: str) -> bytes:
        message = f"{error.message} (incident {request_id})"
        fields = {"code": error.code, "message": message, "param": error.param}
        return self._event("error", fields)

    def _event(self, kind: str, fields: dict[str, Any]) -> bytes:
        body = {"type": kind, "sequence_number": self._number} | fields
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(body))
