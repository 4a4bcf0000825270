"""A request of Anthropic's Messages put into the internal form."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from service.api.reading import read, refuse
from service.domain.chat import LABELS
from service.domain.errors import InvalidRequest

FAILED = "The tool failed: "  # OpenAI's form has no flag for it, so it is said in words
_ANSWER = "answer"


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Block(msgspec.Struct, forbid_unknown_fields=True, tag_field="type"):
    pass


class _Text(_Block, tag="text"):
    text: str
    cache_control: msgspec.Raw = msgspec.Raw()
    citations: None = None


class _Source(_Strict):
    type: Literal["base64", "url", "text"]
    media_type: str | None = None
    data: str | None = None
    url: str | None = None


class _Image(_Block, tag="image"):
    source: _Source
    cache_control: msgspec.Raw = msgspec.Raw()


class _Document(_Block, tag="document"):
    source: _Source
    title: str | None = None
    cache_control: msgspec.Raw = msgspec.Raw()


class _Caller(_Strict):
    type: Literal["direct"]


class _ToolUse(_Block, tag="tool_use"):
    id: str
    name: str
    input: dict[str, msgspec.Raw]
    cache_control: msgspec.Raw = msgspec.Raw()
    caller: _Caller | None = None


class _ToolResult(_Block, tag="tool_result"):
    tool_use_id: str
    content: str | list[_Text | _Image] | None = None
    is_error: bool | None = None
    cache_control: msgspec.Raw = msgspec.Raw()


class _Message(_Strict):
    role: Literal["user", "assistant"]
    content: str | list[_Text | _Image | _Document | _ToolUse | _ToolResult]


class _Tool(_Strict):
    name: str
    input_schema: dict[str, Any] | None = None
    description: str | None = None
    type: str | None = None
    strict: bool | None = None
    cache_control: msgspec.Raw = msgspec.Raw()


class _ToolChoice(_Strict):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(_Strict):
    type: str


class _Form(_Strict):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class _Output(_Strict):
    effort: str | None = None
    format: _Form | None = None


class Request(_Strict):
    """The body of ``POST /v1/messages``; what is not named here is refused."""

    model: str
    messages: list[_Message]
    max_tokens: int | None = None
    system: str | list[_Text] | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    metadata: dict[str, Any] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _ToolChoice | None = None
    thinking: _Thinking | None = None
    output_config: _Output | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    cache_control: msgspec.Raw = msgspec.Raw()
    headgate: msgspec.Raw = msgspec.Raw()


_request = msgspec.json.Decoder(Request).decode
_encode = msgspec.json.Encoder().encode


def to_chat(body: bytes, counting: bool = False) -> bytes:
    """The body in the internal form; raises InvalidRequest that names the field."""
    given = read(body, _request)
    if given.max_tokens is None and not counting:
        raise InvalidRequest("max_tokens: missing; it is required", param="max_tokens")
    if given.max_tokens is not None and given.max_tokens < 1:
        raise InvalidRequest("max_tokens must be at least 1", param="max_tokens")
    made: dict[str, Any] = {"model": given.model, "messages": _messages(given)}
    if given.max_tokens is not None:
        made["max_completion_tokens"] = given.max_tokens
    for name, value in (
        ("temperature", given.temperature),
        ("top_p", given.top_p),
        ("stop", given.stop_sequences or None),
        ("stream", given.stream),
        ("service_tier", "default" if given.service_tier == "standard_only" else None),
    ):
        if value is not None:
            made[name] = value
    if given.tools:
        made["tools"] = [_tool(each, i) for i, each in enumerate(given.tools)]
    if given.tool_choice is not None:
        _choose(made, given.tool_choice)
    if given.thinking is not None and given.thinking.type != "disabled":
        raise refuse("thinking", "thoughts are not passed on here; leave it out, or disable it")
    if given.output_config is not None:
        _output(made, given.output_config)
    if given.metadata:
        _metadata(made, given.metadata)
    if given.headgate:
        made["headgate"] = given.headgate
    return _encode(made)


def _messages(given: Request) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    if given.system:
        made.append({"role": "system", "content": _texts(given.system)})
    for index, message in enumerate(given.messages):
        content = message.content
        blocks = [_Text(content)] if isinstance(content, str) else content
        at = f"messages[{index}]"
        made += _assistant(blocks, at) if message.role == "assistant" else _user(blocks, at)
    if given.messages and given.messages[-1].role == "assistant":
        raise refuse(
            f"messages[{len(given.messages) - 1}]",
            "an answer that is begun for the model (prefill) is not offered; end with the user",
        )
    return made


def _texts(content: str | list[_Text]) -> Any:
    if isinstance(content, str):
        return content
    return [{"type": "text", "text": block.text} for block in content]


def _user(blocks: list[Any], at: str) -> list[dict[str, Any]]:
    """What tools gave are messages of their own; the rest is the user's, in its order."""
    made: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []

    def spoken() -> None:
        if parts:
            whole = parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts[:]
            made.append({"role": "user", "content": whole})
            parts.clear()

    for number, block in enumerate(blocks):
        if isinstance(block, _ToolResult):
            spoken()
            made.append(_result(block, f"{at}.content[{number}]"))
        elif isinstance(block, _ToolUse):
            raise refuse(f"{at}.content[{number}]", "a user does not use tools")
        else:
            parts.append(_part(block, f"{at}.content[{number}]"))
    spoken()
    return made or [{"role": "user", "content": ""}]


def _result(block: _ToolResult, at: str) -> dict[str, Any]:
    content: Any = block.content or ""
    if isinstance(content, list):
        content = [_part(each, at) for each in content]
        if len(content) == 1 and content[0]["type"] == "text":
            content = content[0]["text"]
    if block.is_error:
        if isinstance(content, str):
            content = FAILED + content
        else:
            content = [{"type": "text", "text": FAILED}, *content]
    return {"role": "tool", "tool_call_id": block.tool_use_id, "content": content}


def _part(block: _Text | _Image | _Document, at: str) -> dict[str, Any]:
    if isinstance(block, _Text):
        return {"type": "text", "text": block.text}
    source = block.source
    if isinstance(block, _Document):
        if source.type == "text":
            return {"type": "text", "text": source.data or ""}
        if source.type != "base64":
            raise refuse(f"{at}.source", "a document is read from base64 or as text")
        file = {"file_data": _data_url(source), "filename": block.title or "document.pdf"}
        return {"type": "file", "file": file}
    if source.type == "text":
        raise refuse(f"{at}.source", "an image is read from base64 or from a URL")
    url = (source.url or "") if source.type == "url" else _data_url(source)
    return {"type": "image_url", "image_url": {"url": url}}


def _data_url(source: _Source) -> str:
    return f"data:{source.media_type or ''};base64,{source.data or ''}"


def _assistant(blocks: list[Any], at: str) -> list[dict[str, Any]]:
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for number, block in enumerate(blocks):
        if isinstance(block, _Text):
            texts.append(block.text)
        elif isinstance(block, _ToolUse):
            function = {"name": block.name, "arguments": _encode(block.input).decode()}
            calls.append({"id": block.id, "type": "function", "function": function})
        else:
            raise refuse(f"{at}.content[{number}]", "an assistant's turn holds text and tool_use")
    made: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    return [made | {"tool_calls": calls} if calls else made]


def _tool(tool: _Tool, index: int) -> dict[str, Any]:
    if tool.type not in (None, "custom"):
        raise refuse(f"tools[{index}].type", "only tools of the caller's own are offered")
    if tool.input_schema is None:
        raise InvalidRequest(
            f"tools[{index}].input_schema: missing; it is required",
            param=f"tools[{index}].input_schema",
        )
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.input_schema}
    if tool.description:
        function["description"] = tool.description
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _choose(made: dict[str, Any], choice: _ToolChoice) -> None:
    if choice.type == "tool":
        if not choice.name:
            raise InvalidRequest("tool_choice.name: missing", param="tool_choice.name")
        made["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    else:
        made["tool_choice"] = {"any": "required"}.get(choice.type, choice.type)
    if choice.disable_parallel_tool_use:
        made["parallel_tool_calls"] = False


def _output(made: dict[str, Any], output: _Output) -> None:
    if output.effort is not None:
        if output.effort not in ("low", "medium", "high", "xhigh"):
            raise refuse("output_config.effort", "low, medium, high or xhigh are offered")
        made["reasoning_effort"] = output.effort
    if output.format is not None:
        schema = {"name": _ANSWER, "schema": output.format.schema, "strict": True}
        made["response_format"] = {"type": "json_schema", "json_schema": schema}


def _metadata(made: dict[str, Any], metadata: dict[str, Any]) -> None:
    user = metadata.pop("user_id", None)
    if user is not None:
        if not isinstance(user, str):
            raise InvalidRequest("metadata.user_id must be a text", param="metadata.user_id")
        made["user"] = user
    for name in metadata:
        if name not in LABELS:
            raise refuse(f"metadata.{name[:64]}", f"only user_id and {', '.join(LABELS)} are read")
    if metadata:
        made["metadata"] = metadata
