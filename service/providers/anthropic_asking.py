"""A request in Anthropic's form (messages, version 2023-06-01)."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from service.providers.portable import Asked, Call, Media, Part, Result, Text, Tool, unsaid

MOST_TOKENS = 4_096  # where neither the caller nor the plan says
ONLY_JSON = "Answer with one JSON object and nothing else."
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_NO_PARAMETERS = {"type": "object", "properties": {}}


def messages(asked: Asked, model: str, most_tokens: int) -> dict[str, Any]:
    """The body of ``POST /messages``."""
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": asked.most_tokens or most_tokens or MOST_TOKENS,
        "messages": [{"role": turn.role, "content": _content(turn.parts)} for turn in asked.turns],
    }
    system = [*asked.system, ONLY_JSON] if asked.form == {} else asked.system
    if system:
        body["system"] = [{"type": "text", "text": text} for text in system]
    if asked.tools:
        body["tools"] = [_tool(each) for each in asked.tools]
        if (choice := _choice(asked)) is not None:
            body["tool_choice"] = choice
    elif asked.choice not in ("", "auto", "none"):
        raise unsaid("tool_choice")
    if asked.form:
        body["output_config"] = {"format": {"type": "json_schema", "schema": asked.form}}
    if asked.stop:
        body["stop_sequences"] = asked.stop
    if asked.user:
        body["metadata"] = {"user_id": asked.user}
    if asked.stream:
        body["stream"] = True
    return body | asked.settings


def call_id(given: str) -> str:
    """A call's id in the letters that are taken here; the same one for the same one."""
    if _ID.fullmatch(given):
        return given
    mark = hashlib.blake2b(given.encode("utf-8", "replace"), digest_size=6).hexdigest()
    return re.sub(r"[^A-Za-z0-9_-]", "_", given, flags=re.ASCII)[:100] + "_" + mark


def _content(parts: list[Part]) -> list[dict[str, Any]]:
    return [_block(part) for part in parts]


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Call):
        return {
            "type": "tool_use",
            "id": call_id(part.id),
            "name": part.name,
            "input": part.arguments,
        }
    if isinstance(part, Result):
        inner = [_block(each) for each in part.parts]
        return {"type": "tool_result", "tool_use_id": call_id(part.id), "content": inner}
    return _media(part)


def _media(part: Media) -> dict[str, Any]:
    if part.kind == "audio" or (part.kind == "file" and part.type != "application/pdf"):
        raise unsaid(f"messages.content.{'input_audio' if part.kind == 'audio' else 'file'}")
    source: dict[str, Any] = {"type": "url", "url": part.url}
    if part.data:
        source = {"type": "base64", "media_type": part.type, "data": part.data}
    block = {"type": "document" if part.kind == "file" else "image", "source": source}
    return block | {"title": part.name} if part.name else block


def _tool(tool: Tool) -> dict[str, Any]:
    made: dict[str, Any] = {"name": tool.name, "input_schema": tool.parameters or _NO_PARAMETERS}
    if tool.description:
        made["description"] = tool.description
    if tool.strict:
        made["strict"] = True
    return made


def _choice(asked: Asked) -> dict[str, Any] | None:
    if asked.choice == "none":
        return {"type": "none"}
    if asked.choice.startswith("="):
        made: dict[str, Any] = {"type": "tool", "name": asked.choice[1:]}
    elif asked.choice == "required":
        made = {"type": "any"}
    elif asked.choice == "auto" or not asked.parallel:
        made = {"type": "auto"}
    else:
        return None
    return made if asked.parallel else made | {"disable_parallel_tool_use": True}
