"""A request in Gemini's form (generateContent, v1beta)."""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Mapping
from typing import Any

from service.providers.portable import Asked, Call, Media, Part, Result, Text, Tool, Turn, unsaid

_SETTINGS: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "topP",
    "seed": "seed",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "": "AUTO"}
# From the third generation on, calls must bear the seal of their making, or this one, which says
# that they were made elsewhere.
_SEALS = re.compile(r"gemini-(?:[3-9]|\d\d)", re.ASCII)
UNSEALED = base64.b64encode(b"skip_thought_signature_validator").decode()


def content(asked: Asked, model: str) -> dict[str, Any]:
    """The body of ``POST /models/MODEL:generateContent``."""
    sealed = bool(_SEALS.search(model))
    body: dict[str, Any] = {"contents": [_turn(each, sealed) for each in asked.turns]}
    if asked.system:
        body["systemInstruction"] = {"parts": [{"text": text} for text in asked.system]}
    if asked.tools:
        body["tools"] = [{"functionDeclarations": [_tool(each) for each in asked.tools]}]
        strict = any(each.strict for each in asked.tools)
        if asked.choice or strict:
            body["toolConfig"] = {"functionCallingConfig": _choice(asked.choice, strict)}
    elif asked.choice not in ("", "auto", "none"):
        raise unsaid("tool_choice")
    settings = {_SETTINGS[name]: value for name, value in asked.settings.items()}
    if asked.most_tokens:
        settings["maxOutputTokens"] = asked.most_tokens
    if asked.stop:
        settings["stopSequences"] = asked.stop
    if asked.form is not None:
        settings["responseMimeType"] = "application/json"
        if asked.form:
            settings["responseJsonSchema"] = asked.form
    if settings:
        body["generationConfig"] = settings
    return body


def _turn(turn: Turn, sealed: bool) -> dict[str, Any]:
    parts = [_part(part) for part in turn.parts]
    if sealed and turn.role == "assistant":
        calls = [part for part in parts if "functionCall" in part]
        if calls and not any("thoughtSignature" in part for part in calls):
            calls[0]["thoughtSignature"] = UNSEALED
    return {"role": "model" if turn.role == "assistant" else "user", "parts": parts}


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.text}
    if isinstance(part, Call):
        call: dict[str, Any] = {"name": part.name, "args": part.arguments}
        if part.id:
            call["id"] = part.id
        made: dict[str, Any] = {"functionCall": call}
        return made | {"thoughtSignature": part.seal} if part.seal else made
    if isinstance(part, Result):
        if any(isinstance(each, Media) for each in part.parts):
            raise unsaid("messages.content.image_url")  # in what a tool gave
        output = "".join(each.text for each in part.parts if isinstance(each, Text))
        response = {"id": part.id, "name": part.name, "response": {"output": output}}
        return {"functionResponse": response}
    return _media(part)


def _media(part: Media) -> dict[str, Any]:
    if part.data:
        return {"inlineData": {"mimeType": part.type, "data": part.data}}
    guessed = mimetypes.guess_type(part.url.split("?")[0])[0]
    data = {"fileUri": part.url}
    return {"fileData": data | {"mimeType": guessed} if guessed else data}


def _tool(tool: Tool) -> dict[str, Any]:
    made: dict[str, Any] = {"name": tool.name}
    if tool.description:
        made["description"] = tool.description
    if tool.parameters:
        made["parametersJsonSchema"] = tool.parameters
    return made


def _choice(choice: str, strict: bool) -> dict[str, Any]:
    if choice.startswith("="):
        return {"mode": "ANY", "allowedFunctionNames": [choice[1:]]}
    if strict and choice in ("", "auto"):
        return {"mode": "VALIDATED"}
    return {"mode": _MODES[choice]}
