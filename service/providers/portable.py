"""A chat completion request taken apart, for a dialect that is not OpenAI's to be put together.

Whatever has no place in the parts below raises ``unsaid``, which names the field: nothing is left
out unless docs/dialects.md says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from service.domain.dialects import NOTHING, beyond, param_of
from service.domain.dialects import unsaid as unsaid_words
from service.domain.records import ErrorKind
from service.providers.base import ProviderFailure

_EMPTY: tuple[Any, ...] = (None, "", [], {}, False)
_DATA_URL = re.compile(r"data:([a-z]+/[a-z0-9.+-]+);base64,", re.ASCII)
# What a message may hold beside its words; thoughts of earlier answers go to no other dialect.
_KEYS: Mapping[str, frozenset[str]] = {
    "system": frozenset({"role", "content"}),
    "developer": frozenset({"role", "content"}),
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content", "tool_calls", "refusal", "annotations",
                            "reasoning_content", "reasoning"}),
    "tool": frozenset({"role", "content", "tool_call_id", "name"}),
}  # fmt: skip
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_value = msgspec.json.Decoder().decode
_SETTINGS = ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty")


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a sound or a document: base64 ``data`` of a type, or a ``url``."""

    kind: str  # image, audio, file
    type: str
    data: str = ""
    url: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of the assistant's. ``seal``: what its maker wants back with it, opaque."""

    id: str
    name: str
    arguments: dict[str, Any]
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool call gave: texts and images."""

    id: str
    name: str
    parts: tuple[Text | Media, ...]


Part = Text | Media | Call | Result


@dataclass(slots=True)
class Turn:
    """What one side says before the other speaks. ``role``: user or assistant."""

    role: str
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that may be called."""

    name: str
    description: str
    parameters: dict[str, Any] | None
    strict: bool


@dataclass(slots=True)
class Asked:
    """A request in parts. ``choice``: auto, none, required, or ``=NAME``, empty where not said;
    ``form``: a JSON schema, an empty one for any JSON object.
    """

    system: list[str]
    turns: list[Turn]
    tools: list[Tool] = field(default_factory=list)
    choice: str = ""
    parallel: bool = True
    form: dict[str, Any] | None = None
    stop: list[str] = field(default_factory=list)
    most_tokens: int = 0
    user: str = ""
    stream: bool = False
    settings: dict[str, Any] = field(default_factory=dict)  # of _SETTINGS, by OpenAI's names


def unsaid(param: str) -> ProviderFailure:
    """What the dialect has no words for; nothing was sent."""
    return ProviderFailure(ErrorKind.DIALECT, code="not_expressible", param=param)


def read(body: bytes, dialect: str) -> Asked:
    """Take a request apart; raises ProviderFailure of the kind DIALECT."""
    fields = _fields(body)
    words = beyond(fields)
    if words is not NOTHING and (mute := unsaid_words(dialect, words)):
        raise unsaid(param_of(mute[0], fields))
    given = {name: _value(raw) for name, raw in fields.items()}
    system, turns = _turns(given["messages"])
    asked = Asked(system, turns, stream=bool(given.get("stream")))
    asked.settings = {name: given[name] for name in _SETTINGS if given.get(name) is not None}
    if given.get("tools"):
        asked.tools = [_tool(each, f"tools[{i}]") for i, each in enumerate(given["tools"])]
    if given.get("tool_choice") is not None:
        asked.choice = _choice(given["tool_choice"])
    asked.parallel = given.get("parallel_tool_calls") is not False
    if given.get("response_format") is not None:
        asked.form = _form(given["response_format"])
    stop = given.get("stop")
    asked.stop = [stop] if isinstance(stop, str) else list(stop or ())
    asked.most_tokens = given.get("max_completion_tokens") or given.get("max_tokens") or 0
    asked.user = given.get("user") or given.get("safety_identifier") or ""
    return asked


def arguments(text: Any, at: str) -> dict[str, Any]:
    """A call's arguments, which other dialects have as an object, not as a text."""
    if not text:
        return {}
    try:
        value = _value(text.encode())
    except (msgspec.DecodeError, AttributeError, UnicodeEncodeError, RecursionError):
        raise unsaid(at) from None
    if not isinstance(value, dict):
        raise unsaid(at)
    return value


def _turns(messages: list[dict[str, Any]]) -> tuple[list[str], list[Turn]]:
    system: list[str] = []
    turns: list[Turn] = []
    names: dict[str, str] = {}  # of the tools called so far, by the call's id
    for index, message in enumerate(messages):
        at, role = f"messages[{index}]", message["role"]
        _only(message, _KEYS.get(role), at)
        if role in ("system", "developer"):
            if turns:
                raise unsaid(f"{at}.role")  # others take it at the start alone
            system += [part.text for part in _words(message.get("content"), at)]
            continue
        side = "assistant" if role == "assistant" else "user"
        if not turns or turns[-1].role != side:
            turns.append(Turn(side, []))
        parts = turns[-1].parts
        if role == "tool":
            parts.append(_result(message, names, at))
        elif role == "user":
            parts += _parts(message.get("content"), at)
        else:
            parts += _words(message.get("content"), at)
            if message.get("refusal"):
                parts.append(Text(message["refusal"]))
            for number, raw in enumerate(message.get("tool_calls") or ()):
                call = _call(raw, f"{at}.tool_calls[{number}]")
                names[call.id] = call.name
                parts.append(call)
    if not turns:
        raise unsaid("messages")  # nobody has said anything
    if turns[0].role == "assistant":
        raise unsaid("messages[0].role")
    if turns[-1].role == "assistant":
        raise unsaid(f"messages[{len(messages) - 1}].role")
    return system, turns


def _only(given: Mapping[str, Any], known: frozenset[str] | None, at: str) -> None:
    """Nothing else is given, unless it is empty."""
    if known is None:
        raise unsaid(f"{at}.role")
    if given.keys() <= known:
        return
    for name in given.keys() - known:
        if given[name] not in _EMPTY and name != "extra_content":
            raise unsaid(f"{at}.{name[:64]}")


def _words(content: Any, at: str) -> list[Text]:
    """Content that may only be text."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [Text(content)]
    found = []
    for number, part in enumerate(content):
        kind = part.get("type", "text")
        if kind not in ("text", "refusal"):
            raise unsaid(f"{at}.content[{number}].type")
        _only(part, frozenset({"type", kind}), f"{at}.content[{number}]")
        if part.get(kind):
            found.append(Text(part[kind]))
    return found


def _parts(content: Any, at: str) -> list[Text | Media]:
    """Content of texts and media."""
    if content is None or isinstance(content, str):
        return [Text(content)] if content else []
    found: list[Text | Media] = []
    for number, part in enumerate(content):
        here = f"{at}.content[{number}]"
        kind = part.get("type", "text")
        inner = part.get(kind)
        if kind == "text":
            _only(part, frozenset({"type", "text"}), here)
            if inner:
                found.append(Text(inner))
        elif kind not in ("image_url", "input_audio", "file") or not isinstance(inner, dict):
            raise unsaid(f"{here}.type")
        else:
            _only(part, frozenset({"type", kind}), here)
            found.append(_media(kind, inner, f"{here}.{kind}"))
    return found


def _media(kind: str, inner: dict[str, Any], at: str) -> Media:
    if kind == "input_audio":
        return Media("audio", f"audio/{inner.get('format', 'wav')}", inner.get("data") or "")
    if kind == "file":
        _only(inner, frozenset({"file_data", "filename"}), at)
        media, data = data_url(inner.get("file_data") or "")
        if not data:
            raise unsaid(f"{at}.file_data")
        return Media("file", media, data, name=inner.get("filename") or "")
    if inner.get("detail", "auto") not in (None, "auto"):
        raise unsaid(f"{at}.detail")
    url = inner.get("url") or ""
    media, data = data_url(url)
    if data:
        return Media("image", media, data)
    if not url.startswith(("https://", "http://")):
        raise unsaid(f"{at}.url")
    return Media("image", "", url=url)


def data_url(url: str) -> tuple[str, str]:
    """The type and the base64 of a data URL; empty where it is none."""
    found = _DATA_URL.match(url)
    return (found[1], url[found.end() :]) if found else ("", "")


def _call(raw: dict[str, Any], at: str) -> Call:
    if raw.get("type", "function") != "function":
        raise unsaid(f"{at}.type")
    inner = raw.get("function") or {}
    google = (raw.get("extra_content") or {}).get("google") or {}
    return Call(
        id=raw.get("id") or "",
        name=inner.get("name") or "",
        arguments=arguments(inner.get("arguments"), f"{at}.function.arguments"),
        seal=google.get("thought_signature") or "",
    )


def _result(message: dict[str, Any], names: Mapping[str, str], at: str) -> Result:
    identity = message.get("tool_call_id") or ""
    if identity not in names:
        raise unsaid(f"{at}.tool_call_id")
    return Result(identity, names[identity], tuple(_parts(message.get("content"), at)))


def _tool(raw: dict[str, Any], at: str) -> Tool:
    if raw.get("type") != "function":
        raise unsaid(f"{at}.type")
    _only(raw, frozenset({"type", "function"}), at)
    inner = raw.get("function") or {}
    known = frozenset({"name", "description", "parameters", "strict"})
    _only(inner, known, f"{at}.function")
    return Tool(
        inner.get("name") or "",
        inner.get("description") or "",
        inner.get("parameters") or None,
        bool(inner.get("strict")),
    )


def _choice(raw: Any) -> str:
    if raw in ("auto", "none", "required"):
        return str(raw)
    name = raw.get("function", {}).get("name") if isinstance(raw, dict) else None
    if not name or raw.get("type") != "function":
        raise unsaid("tool_choice")
    return f"={name}"


def _form(raw: dict[str, Any]) -> dict[str, Any] | None:
    kind = raw.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return {}
    schema = (raw.get("json_schema") or {}).get("schema") if kind == "json_schema" else None
    if not isinstance(schema, dict) or not schema:
        raise unsaid("response_format")
    return schema
