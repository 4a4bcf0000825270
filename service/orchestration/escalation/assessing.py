"""What can be seen of an answer without asking anybody: its faults, and how sure it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from service.domain.chat import ChatRequest
from service.domain.escalation import Trigger
from service.orchestration.escalation.schema import conforms
from service.orchestration.structure import bare, parsed

SHORT = 600  # characters: a longer answer is no refusal, whatever it begins with
# How an answer begins that declines to do what was asked. What a provider marks as refused for its
# content policy is no answer, and is never sent elsewhere.
DECLINES = (
    "i'm sorry, but i can", "i am sorry, but i can", "sorry, but i can", "sorry, i can",
    "i'm sorry, i can", "i cannot help", "i can't help", "i cannot assist", "i can't assist",
    "i'm unable to", "i am unable to", "i'm not able to", "i am not able to", "as an ai",
    "as a language model", "i cannot answer", "i can't answer", "i don't know how to",
)  # fmt: skip
_NULL = msgspec.Raw(b"null")


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: Any = None
    tool_calls: list[_ToolCall] | None = None
    function_call: msgspec.Raw = _NULL


class _Token(msgspec.Struct):
    logprob: float = 0.0


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


class _Choice(msgspec.Struct):
    message: _Message = msgspec.field(default_factory=_Message)
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(msgspec.Struct):
    completion_tokens: int | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None


class _Named(msgspec.Struct):
    name: str = ""
    parameters: Any = True


class _Tool(msgspec.Struct):
    function: _Named = msgspec.field(default_factory=_Named)


class _Schema(msgspec.Struct):
    schema_: Any = msgspec.field(name="schema", default=True)


class _Format(msgspec.Struct):
    type: str = "text"
    json_schema: _Schema | None = None


_answer = msgspec.json.Decoder(_Answer).decode
_tools = msgspec.json.Decoder(list[_Tool] | None).decode
_format = msgspec.json.Decoder(_Format | None).decode
_any = msgspec.json.Decoder().decode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_choices = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
UNREADABLE = (msgspec.DecodeError, RecursionError)


def fault(request: ChatRequest, body: bytes) -> Trigger:
    """What is wrong with an answer by its structure; nothing where its form is not known."""
    try:
        answer = _answer(body)
    except UNREADABLE:
        return Trigger.NONE
    limit = request.shape.tokens_out_limit
    made = answer.usage.completion_tokens if answer.usage is not None else None
    own_limit = bool(limit) and made is not None and made >= limit
    for choice in answer.choices:
        found = _fault(request, choice, own_limit)
        if found is not Trigger.NONE:
            return found
    return Trigger.NONE if answer.choices else Trigger.EMPTY


def _fault(request: ChatRequest, choice: _Choice, own_limit: bool) -> Trigger:
    message = choice.message
    text = message.content if isinstance(message.content, str) else ""
    called = bool(message.tool_calls) or bytes(message.function_call) != b"null"
    if choice.finish_reason == "length":  # the caller's own limit would cut another one, too
        return Trigger.NONE if own_limit else Trigger.TRUNCATED
    if called:
        return Trigger.NONE if _calls_hold(request, message.tool_calls or []) else Trigger.TOOLS
    if _must_call(request.fields):
        return Trigger.TOOLS
    if not text.strip():
        return Trigger.EMPTY if message.content in (None, "") or text else Trigger.NONE
    if declines(text):
        return Trigger.REFUSED
    if "json" in request.needs and not _json_holds(request.fields, text):
        return Trigger.SCHEMA
    return Trigger.NONE


def declines(text: str) -> bool:
    """Whether a short answer says that it will not, or cannot, do what was asked."""
    if len(text) > SHORT:
        return False
    return bare(text.replace("\u2019", "'")).startswith(DECLINES)


def _json_holds(fields: Mapping[str, msgspec.Raw], text: str) -> bool:
    try:
        value, wanted = parsed(text), _format(fields["response_format"])
    except (ValueError, KeyError, *UNREADABLE):
        return False
    schema = wanted.json_schema if wanted is not None else None
    return schema is None or conforms(value, schema.schema_)


def _calls_hold(request: ChatRequest, calls: Sequence[_ToolCall]) -> bool:
    """Whether each call is of a tool that was offered, with arguments of its form."""
    try:
        offered = _tools(request.fields.get("tools", _NULL)) or []
    except UNREADABLE:
        return True
    known = {tool.function.name: tool.function.parameters for tool in offered}
    for call in calls:
        if call.function is None:
            continue
        if call.function.name not in known:
            return False
        try:
            given = _any((call.function.arguments or "{}").encode())
        except UNREADABLE:
            return False
        if not isinstance(given, dict) or not conforms(given, known[call.function.name]):
            return False
    return True


def _must_call(fields: Mapping[str, msgspec.Raw]) -> bool:
    raw = bytes(fields.get("tool_choice", _NULL)).strip()
    return raw == b'"required"' or raw.startswith(b"{")


# how sure it was ------------------------------------------------------------------------------


def logprob(body: bytes) -> float | None:
    """The mean log-probability of the first choice's tokens; None where it has none."""
    try:
        choices = _answer(body).choices
    except UNREADABLE:
        return None
    told = choices[0].logprobs if choices else None
    tokens = told.content if told is not None else None
    return sum(each.logprob for each in tokens) / len(tokens) if tokens else None


def asking_logprobs(request: ChatRequest) -> dict[str, msgspec.Raw] | None:
    """The fields of a request that asks for them; None where its caller asked already."""
    if bytes(request.fields.get("logprobs", _NULL)) not in (b"null", b"false"):
        return None
    return {**request.fields, "logprobs": msgspec.Raw(b"true")}


def without_logprobs(body: bytes) -> bytes:
    """An answer without what its caller did not ask for."""
    try:
        fields = _object(body)
        choices = _choices(fields["choices"])
    except (KeyError, *UNREADABLE):
        return body
    kept = [{k: v for k, v in each.items() if k != "logprobs"} for each in choices]
    return msgspec.json.encode({**fields, "choices": kept})
