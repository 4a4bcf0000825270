"""A request of OpenAI's Responses put into the internal form."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from service.api.reading import read, refuse
from service.domain.clock import parse_id
from service.domain.errors import InvalidRequest
from service.orchestration.conversation.wishing import Wish, checked_name


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Kind(msgspec.Struct):
    type: str = "message"
    role: str | None = None


class _Part(_Strict):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None
    prompt_cache_breakpoint: None = None


class _Message(_Strict):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[_Part]
    type: Literal["message"] = "message"
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class _Call(_Strict):
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: str | None = None
    caller: dict[str, str] | None = None
    namespace: None = None


class _Output(_Strict):
    type: Literal["function_call_output"]
    call_id: str
    output: str | list[_Part]
    id: str | None = None
    status: str | None = None
    caller: dict[str, str] | None = None


class _Reasoning(_Strict):
    effort: str | None = None
    summary: None = None
    generate_summary: None = None


class _Format(_Strict):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class _Words(_Strict):
    format: _Format | None = None
    verbosity: str | None = None


class _StreamOptions(_Strict):
    include_obfuscation: Literal[False] | None = None


class _Tool(msgspec.Struct):
    type: str


class _Function(_Strict):
    type: str
    name: str
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class Request(_Strict):
    """The body of ``POST /v1/responses``; what is not named here is refused."""

    model: str
    input: str | list[msgspec.Raw]
    instructions: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: list[msgspec.Raw] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: _Words | None = None
    reasoning: _Reasoning | None = None
    metadata: dict[str, Any] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    truncation: str | None = None
    include: list[str] | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    headgate: msgspec.Raw = msgspec.Raw()


_request = msgspec.json.Decoder(Request).decode
_kind = msgspec.json.Decoder(_Kind).decode
_message = msgspec.json.Decoder(_Message).decode
_call = msgspec.json.Decoder(_Call).decode
_output = msgspec.json.Decoder(_Output).decode
_tool_kind = msgspec.json.Decoder(_Tool).decode
_function = msgspec.json.Decoder(_Function).decode
_encode = msgspec.json.Encoder().encode
_SAME = ("temperature", "top_p", "stream", "metadata", "user", "safety_identifier",
         "prompt_cache_key", "service_tier", "parallel_tool_calls")  # fmt: skip


class Memo:
    """What was asked, and, once that is known, in which conversation the answer is kept, after
    which response.
    """

    def __init__(self, asked: Request) -> None:
        self.asked = asked
        self.conversation = self.previous = ""
        self.stored = False


def to_chat(body: bytes) -> tuple[bytes, Memo]:
    """The body in the internal form, and what was asked; raises InvalidRequest."""
    given = read(body, _request)
    _not_kept(given)
    made: dict[str, Any] = {"model": given.model, "messages": _messages(given)}
    for name in _SAME:
        if (value := getattr(given, name)) is not None:
            made[name] = value
    if given.max_output_tokens is not None:
        if given.max_output_tokens < 1:
            raise InvalidRequest("max_output_tokens must be at least 1", param="max_output_tokens")
        made["max_completion_tokens"] = given.max_output_tokens
    if given.tools:
        made["tools"] = [_tool(raw, f"tools[{i}]") for i, raw in enumerate(given.tools)]
    if given.tool_choice is not None:
        made["tool_choice"] = _choice(given.tool_choice)
    if given.text is not None:
        if given.text.format is not None and given.text.format.type != "text":
            made["response_format"] = _format(given.text.format)
        if given.text.verbosity is not None:
            made["verbosity"] = given.text.verbosity
    if given.reasoning is not None and given.reasoning.effort is not None:
        made["reasoning_effort"] = given.reasoning.effort
    if given.headgate:
        made["headgate"] = given.headgate
    return _encode(made), Memo(given)


def wish(asked: Request, kept: tuple[bool, bool]) -> Wish | None:
    """What the request wants of a kept conversation; None: nothing; raises InvalidRequest.
    ``kept``: whether its key's are kept without being asked, and whether any are.
    """
    unasked, any_kept = kept
    if not any_kept:
        for name in ("previous_response_id", "conversation"):
            if getattr(asked, name) is not None:
                raise refuse(
                    name, "conversations are not kept here; send the whole conversation as input"
                )
        return None
    name, previous = _named(asked.conversation), ""
    if asked.previous_response_id is not None:
        if name:
            raise refuse("conversation", "give it or previous_response_id, not both")
        previous = parse_id(asked.previous_response_id) or "none"
    store = unasked if asked.store is None else asked.store
    if name and asked.store is None:
        store = True
    if not (store or name or previous):
        return None
    if previous and asked.store is None:
        store = True  # what it follows was kept
    return Wish(name, previous, store, carries_system=False)


def _named(conversation: Any) -> str:
    if conversation is None:
        return ""
    name = conversation.get("id") if isinstance(conversation, dict) else conversation
    if not isinstance(name, str):
        raise refuse("conversation", "a conversation's id, or an object with one")
    return checked_name(name, "conversation")


def _not_kept(given: Request) -> None:
    """What is not offered whatever is kept."""
    if given.background:
        raise refuse("background", "not offered; headgate.queue keeps a request for later")
    if given.truncation not in (None, "disabled"):
        raise refuse("truncation", "nothing of the input is left out here; send less of it")
    for number, wanted in enumerate(given.include or ()):
        raise refuse(f"include[{number}]", f"{wanted[:64]} is not offered")


def _messages(given: Request) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    if given.instructions:
        made.append({"role": "system", "content": given.instructions})
    if isinstance(given.input, str):
        return [*made, {"role": "user", "content": given.input}]
    for index, raw in enumerate(given.input):
        at = f"input[{index}]"
        kind = read(raw, _kind, at).type
        if kind == "message":
            message = read(raw, _message, at)
            made.append({"role": message.role, "content": _content(message, at)})
        elif kind == "function_call":
            _called(made, read(raw, _call, at))
        elif kind == "function_call_output":
            output = read(raw, _output, at)
            content: Any = output.output
            if not isinstance(content, str):
                parts = enumerate(content)
                content = [_part(part, f"{at}.output[{i}]") for i, part in parts]
            made.append({"role": "tool", "tool_call_id": output.call_id, "content": content})
        else:
            raise refuse(f"{at}.type", f"{kind[:64]} is not offered: messages, function calls and "
                         "their outputs are")  # fmt: skip
    return made


def _called(made: list[dict[str, Any]], call: _Call) -> None:
    """A call belongs to the assistant's message before it, or to one of its own."""
    if not made or made[-1]["role"] != "assistant":
        made.append({"role": "assistant", "content": None})
    function = {"name": call.name, "arguments": call.arguments}
    made[-1].setdefault("tool_calls", []).append(
        {"id": call.call_id, "type": "function", "function": function}
    )


def _content(message: _Message, at: str) -> Any:
    if isinstance(message.content, str):
        return message.content
    parts = [_part(part, f"{at}.content[{i}]") for i, part in enumerate(message.content)]
    if message.role == "assistant" or (len(parts) == 1 and parts[0]["type"] == "text"):
        if any(part["type"] != "text" for part in parts):
            raise refuse(f"{at}.content", "an assistant's message holds texts")
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: _Part, at: str) -> dict[str, Any]:
    if part.type in ("input_text", "output_text", "text"):
        return {"type": "text", "text": part.text or ""}
    if part.type == "refusal":
        return {"type": "text", "text": part.refusal or ""}
    if part.type == "input_image" and part.image_url:
        image = {"url": part.image_url}
        if part.detail not in (None, "auto"):
            image["detail"] = part.detail
        return {"type": "image_url", "image_url": image}
    if part.type == "input_file" and part.file_data:
        file = {"file_data": part.file_data, "filename": part.filename or "file"}
        return {"type": "file", "file": file}
    if part.type in ("input_image", "input_file"):
        raise refuse(at, "files are not kept here; give image_url, or file_data")
    raise refuse(f"{at}.type", f"{part.type[:64]} is not offered")


def _tool(raw: msgspec.Raw, at: str) -> dict[str, Any]:
    kind = read(raw, _tool_kind, at).type
    if kind != "function":
        raise refuse(
            f"{at}.type",
            f"the built-in tool {kind[:64]} is not offered: functions of the caller's own are",
        )
    tool = read(raw, _function, at)
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters or {}}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _choice(choice: str | dict[str, Any]) -> Any:
    if isinstance(choice, str):
        if choice not in ("auto", "none", "required"):
            raise refuse("tool_choice", "auto, none, required or a function's name are offered")
        return choice
    if choice.get("type") != "function" or not isinstance(choice.get("name"), str):
        kind = str(choice.get("type"))[:64]
        raise refuse("tool_choice.type", f"{kind} is not offered: a function is, by its name")
    return {"type": "function", "function": {"name": choice["name"]}}


def _format(given: _Format) -> dict[str, Any]:
    if given.type == "json_object":
        return {"type": "json_object"}
    if given.schema is None:
        raise InvalidRequest("text.format.schema: missing", param="text.format.schema")
    schema: dict[str, Any] = {"name": given.name or "answer", "schema": given.schema}
    if given.strict is not None:
        schema["strict"] = given.strict
    if given.description:
        schema["description"] = given.description
    return {"type": "json_schema", "json_schema": schema}
