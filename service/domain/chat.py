"""A chat completion request: read once, our own parts taken out, the rest kept as bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import msgspec

from learning.features import RequestShape
from service.domain.caching import CacheWish, wish_of
from service.domain.catalog import Deployment
from service.domain.dialects import LATE_SYSTEM, NOTHING, beyond
from service.domain.errors import InvalidRequest
from service.domain.modalities import CHAT

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
LABELS = ("tags", "tenant", "feature", "session", "type")
MAX_LABEL = 128
MAX_TAGS = 16
IMAGE_TOKENS = 800
MAX_MESSAGES = 10_000
_PART_NEEDS = {
    "image_url": "images",
    "input_image": "images",
    "input_audio": "audio",
    "file": "files",
}


class Part(msgspec.Struct):
    """One part of a message's content."""

    type: str = "text"
    text: str | None = None


class Message(msgspec.Struct):
    """One message, as far as routing looks into it."""

    role: str
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """The message's text, its parts joined."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(part.text for part in self.content if part.text)


class Conversing(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How a request takes part in a kept conversation. ``store``: whether its turn is kept."""

    pin: tuple[str, ...] = ()
    unpin: tuple[str, ...] = ()
    store: bool = True


class Options(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The router's options: the ``headgate`` object of a request."""

    max_cost_usd: float | None = None
    min_quality: float | None = None
    quality_cost: float | None = None
    tier: str | None = None
    task: str | None = None
    deadline_s: float | None = None
    deployments: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    session_id: str | None = None
    queue: bool = False
    webhook: str | None = None
    region: str | tuple[str, ...] | None = None
    data_policy: tuple[str, ...] = ()
    conversation: bool | Conversing | None = None
    cache: str | CacheWish | None = None


NO_OPTIONS = Options()


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _ResponseFormat(msgspec.Struct):
    type: str = "text"


class Carrying(Protocol):
    """A kept conversation that a request goes on with."""

    def messages_for(self, deployment: Deployment) -> msgspec.Raw:
        """The messages as they are sent to a deployment: no more than it can take."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A parsed request. ``fields`` are the body's top-level values, still as bytes."""

    fields: dict[str, msgspec.Raw]
    model: str
    shape: RequestShape
    stream: bool
    wants_usage: bool
    needs: frozenset[str]  # capabilities without which it cannot be answered
    options: Options
    labels: Mapping[str, Any]
    user: str
    messages: tuple[Message, ...]
    prompt_hash: str = ""  # of the messages, where it was made beside the event loop
    beyond: frozenset[str] = NOTHING  # what is asked that not every dialect can say
    carried: Carrying | None = None  # the conversation that it goes on with, where one is kept
    least_tokens: int = 0  # that a deployment needs room for, where less than the shape's
    modality: ClassVar[str] = CHAT

    @property
    def said(self) -> bytes:
        """What a deployment is to answer to, as bytes: by it a request is known again."""
        return bytes(self.fields["messages"])

    def lean(self) -> ChatRequest:
        """The same without the texts that only the decision reads: what is sent on stays."""
        return replace(self, messages=(), shape=replace(self.shape, text=""))

    def for_deployment(self, deployment: Deployment) -> bytes:
        """The body to send to a deployment, of a kept conversation as much as it can take."""
        if self.carried is None:
            return self.for_upstream(deployment.model)
        fields = self.fields | {"messages": self.carried.messages_for(deployment)}
        return replace(self, fields=fields).for_upstream(deployment.model)

    def whole(self) -> ChatRequest:
        """The same, asked for in one piece."""
        if not self.stream:
            return self
        fields = {k: v for k, v in self.fields.items() if k not in ("stream", "stream_options")}
        return replace(self, fields=fields, stream=False)

    def for_upstream(self, model: str) -> bytes:
        """The body to send on: the model's name swapped, the router's own parts removed."""
        fields = dict(self.fields)
        fields.pop("headgate", None)
        fields["model"] = msgspec.Raw(msgspec.json.encode(model))
        if self.labels and "metadata" in fields:
            kept = {k: v for k, v in _raw_object(fields["metadata"]).items() if k not in LABELS}
            if kept:
                fields["metadata"] = msgspec.Raw(msgspec.json.encode(kept))
            else:
                del fields["metadata"]
        if self.stream and not self.wants_usage:
            options = _raw_object(fields.get("stream_options", msgspec.Raw(b"{}")))
            options["include_usage"] = msgspec.Raw(b"true")
            fields["stream_options"] = msgspec.Raw(msgspec.json.encode(options))
        return msgspec.json.encode(fields)


_LATE = frozenset({LATE_SYSTEM})
_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_messages = msgspec.json.Decoder(list[Message]).decode
_options = msgspec.json.Decoder(Options).decode
_metadata = msgspec.json.Decoder(dict[str, Any]).decode
_text = msgspec.json.Decoder(str).decode
_text_or_null = msgspec.json.Decoder(str | None).decode
_flag = msgspec.json.Decoder(bool | None).decode
_count = msgspec.json.Decoder(int | None).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_stream_options = msgspec.json.Decoder(_StreamOptions | None).decode
_response_format = msgspec.json.Decoder(_ResponseFormat | None).decode


def parse(body: bytes) -> ChatRequest:
    """Read a request body; raises InvalidRequest that names the field and the mend."""
    fields = _top(body)
    model = _field(fields, "model", _text, None)
    if not model:
        raise InvalidRequest('give "model": "auto" to be routed, or a deployment', param="model")
    if "messages" not in fields:
        raise InvalidRequest('"messages" is missing; give at least one message', param="messages")
    messages: list[Message] = _field(fields, "messages", _messages, None)
    _check_messages(messages)
    stream = bool(_field(fields, "stream", _flag, False))
    usage = _field(fields, "stream_options", _stream_options, None)
    options = read_options(fields)
    labels = _labels(fields)
    shape, needs = _shape(fields, messages)
    return ChatRequest(
        fields=fields,
        model=model,
        shape=shape,
        stream=stream,
        wants_usage=bool(usage and usage.include_usage),
        needs=needs,
        options=options,
        labels=labels,
        user=str(_field(fields, "user", _text_or_null, "") or ""),
        messages=tuple(messages),
        beyond=beyond(fields) | _LATE if _late_system(messages) else beyond(fields),
    )


def _late_system(messages: Sequence[Message]) -> bool:
    """Whether the system speaks again once the conversation has begun."""
    begun = False
    for message in messages:
        if message.role not in ("system", "developer"):
            begun = True
        elif begun:
            return True
    return False


def _top(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        if not body.isascii():
            body.decode()
        return _raw_object(body)
    except UnicodeDecodeError:
        raise InvalidRequest("the body is not valid UTF-8; send JSON in UTF-8") from None
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply", code="nested_too_deeply") from None
    except msgspec.ValidationError:
        raise InvalidRequest("the body must be a JSON object") from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None


def _field(fields: Mapping[str, msgspec.Raw], name: str, decode: Any, default: Any) -> Any:
    raw = fields.get(name)
    if raw is None:
        return default
    try:
        return decode(raw)
    except RecursionError:
        raise InvalidRequest(
            f"{name} is nested too deeply", param=name, code="nested_too_deeply"
        ) from None
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{name}: {_plain(error)}", param=name) from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"{name} is not valid JSON: {error}", param=name) from None


def _plain(error: msgspec.ValidationError) -> str:
    text = str(error).replace(" - at `$", " at `").replace("`.", "`")
    return text[:200]


top, field_of = _top, _field  # other modalities are read by them, too


def _check_messages(messages: Sequence[Message]) -> None:
    if not messages:
        raise InvalidRequest("messages is empty; give at least one message", param="messages")
    if len(messages) > MAX_MESSAGES:
        raise InvalidRequest(f"more than {MAX_MESSAGES} messages", param="messages")
    for index, message in enumerate(messages):
        if message.role not in ROLES:
            raise InvalidRequest(
                f"messages[{index}].role must be one of {', '.join(ROLES)}",
                param=f"messages[{index}].role",
            )


def read_options(fields: Mapping[str, msgspec.Raw]) -> Options:
    """The ``headgate`` options; an unknown one is refused, never ignored."""
    if "headgate" not in fields:
        return NO_OPTIONS
    try:
        options = _options(fields["headgate"])
    except msgspec.ValidationError as error:
        known = ", ".join(Options.__struct_fields__)
        raise InvalidRequest(
            f"headgate: {_plain(error)}; known options: {known}",
            param="headgate",
            code="invalid_option",
        ) from None
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest("headgate must be an object", param="headgate") from None
    wish_of(options.cache)
    bounds = {
        "max_cost_usd": (0.0, math.inf),
        "min_quality": (0.0, 1.0),
        "quality_cost": (0.0, 1.0),
        "deadline_s": (0.001, 86_400.0 if options.queue else 3600.0),
    }
    for name, (low, high) in bounds.items():
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise InvalidRequest(
                f"headgate.{name} must lie in {low:g} to {high:g}",
                param=f"headgate.{name}",
                code="invalid_option",
            )
    return options


def _labels(fields: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    if "metadata" not in fields or bytes(fields["metadata"]) == b"null":
        return {}
    metadata: dict[str, Any] = _field(fields, "metadata", _metadata, None)
    labels: dict[str, Any] = {}
    for name in LABELS:
        value = metadata.get(name)
        if value is None:
            continue
        if name == "tags":
            labels[name] = _tags(value)
        elif isinstance(value, str) and len(value) <= MAX_LABEL:
            labels[name] = value
        else:
            raise InvalidRequest(
                f"metadata.{name} must be a text of at most {MAX_LABEL} characters",
                param=f"metadata.{name}",
            )
    return labels


labels_of = _labels


def _tags(value: Any) -> tuple[str, ...]:
    tags = [tag.strip() for tag in value.split(",")] if isinstance(value, str) else value
    fits = isinstance(tags, list) and len(tags) <= MAX_TAGS
    if not fits or not all(isinstance(tag, str) and len(tag) <= MAX_LABEL for tag in tags):
        raise InvalidRequest(
            f"metadata.tags must be at most {MAX_TAGS} short texts, or one with commas",
            param="metadata.tags",
        )
    return tuple(dict.fromkeys(tag for tag in tags if tag))  # said twice it counts once


def _shape(
    fields: Mapping[str, msgspec.Raw], messages: Sequence[Message]
) -> tuple[RequestShape, frozenset[str]]:
    characters, images, text, system, turns = 0, 0, "", False, 0
    needs: set[str] = set()
    for message in messages:
        own = message.text
        characters += len(own) + 12
        if message.role == "user":
            text, turns = own, turns + 1
        elif message.role in ("system", "developer"):
            system = True
        if isinstance(message.content, list):
            kinds = [part.type for part in message.content]
            images += kinds.count("image_url") + kinds.count("input_image")
            needs.update(_PART_NEEDS[kind] for kind in kinds if kind in _PART_NEEDS)
    tools = 0
    if "tools" in fields and bytes(fields["tools"]) != b"null":
        tools = len(_field(fields, "tools", _list, []))
        characters += len(bytes(fields["tools"]))
    answer = _field(fields, "response_format", _response_format, None)
    json_mode = answer is not None and answer.type in ("json_object", "json_schema")
    for need, wanted in (("tools", tools), ("json", json_mode)):
        if wanted:
            needs.add(need)
    shape = RequestShape(
        text=text or messages[-1].text,
        tokens_in=max(1, characters // 4) + images * IMAGE_TOKENS,
        system=system,
        turns=max(turns, 1),
        tools=tools,
        images=images,
        json_mode=json_mode,
        tokens_out_limit=_out_limit(fields),
    )
    return shape, frozenset(needs)


def _out_limit(fields: Mapping[str, msgspec.Raw]) -> int:
    """The caller's cap on the answer, 0 for none."""
    for name in ("max_completion_tokens", "max_tokens"):
        limit: int | None = _field(fields, name, _count, None)
        if limit is not None and limit < 0:
            raise InvalidRequest(f"{name} must not be negative", param=name)
        if limit:
            return min(limit, 10_000_000)
    return 0


def derived_session(messages: Sequence[Message]) -> str:
    """A name for a conversation from all up to its first answer; empty at a first turn."""
    for index, message in enumerate(messages):
        if message.role == "assistant":
            texts = (f"{each.role}\x1f{each.text}" for each in messages[: index + 1])
            return "\x1e".join(texts)
    return ""
