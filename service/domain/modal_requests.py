"""A request for images, speech or embeddings: read as a chat's is, so that all else is the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import msgspec

from learning.features import RequestShape
from service.domain.chat import ChatRequest, field_of, labels_of, read_options, top
from service.domain.errors import InvalidRequest
from service.domain.modalities import (
    CHARACTERS_PER_TOKEN,
    DEFAULT_FORMAT,
    EMBEDDING,
    FORMATS,
    IMAGE,
    IMAGE_UNITS,
    SPEECH,
)

MAX_PROMPT = 32_000  # characters of what is to be drawn
MAX_SPOKEN = 20_000  # characters of what is to be said
MOST_IMAGES = 10
MOST_TEXTS = 2_048  # of one embeddings request
SEEN = 8_000  # characters of the texts that the choice looks at
PATHS = {
    IMAGE: "/images/generations",
    SPEECH: "/audio/speech",
    EMBEDDING: "/embeddings",
}  # below a provider's address, and below /v1 here
_MAIN = {IMAGE: "prompt", SPEECH: "input", EMBEDDING: "input"}
Texts = str | list[str] | list[int] | list[list[int]]
_text = msgspec.json.Decoder(str).decode
_text_or_null = msgspec.json.Decoder(str | None).decode
_count = msgspec.json.Decoder(int | None).decode
_flag = msgspec.json.Decoder(bool | None).decode
_voice = msgspec.json.Decoder(str | dict[str, Any]).decode
_input = msgspec.json.Decoder(str | list[str | int | list[int]]).decode


@dataclass(frozen=True, slots=True)
class ModalRequest(ChatRequest):
    """One that is not chat. ``units``: images, characters or texts, by its modality."""

    units: int = 1

    @property
    def said(self) -> bytes:
        """The same words in another modality are another request."""
        return self.modality.encode() + b"\x1f" + bytes(self.fields[_MAIN[self.modality]])

    @property
    def format(self) -> str:
        """Of speech: the form of its sound."""
        return next(iter(self.needs), "")

    def streamed(self) -> ModalRequest:
        """The same, its answer passed on as it comes."""
        return replace(self, stream=True)


@dataclass(frozen=True, slots=True)
class ImageRequest(ModalRequest):
    """A picture, or several of one prompt."""

    modality: ClassVar[str] = IMAGE


@dataclass(frozen=True, slots=True)
class SpeechRequest(ModalRequest):
    """A text to be spoken."""

    modality: ClassVar[str] = SPEECH


@dataclass(frozen=True, slots=True)
class EmbeddingRequest(ModalRequest):
    """Texts whose vectors are wanted."""

    modality: ClassVar[str] = EMBEDDING


def parse_modal(modality: str, body: bytes) -> ModalRequest:
    """Read a request body; raises InvalidRequest that names the field and the mend."""
    fields = top(body)
    if not field_of(fields, "model", _text, None):
        raise InvalidRequest('give "model": "auto" to be routed, or a deployment', param="model")
    main = _MAIN[modality]
    if main not in fields:
        raise InvalidRequest(f'"{main}" is missing', param=main)
    if modality == IMAGE:
        return _image(fields)
    return _speech(fields) if modality == SPEECH else _embedding(fields)


def _image(fields: dict[str, msgspec.Raw]) -> ModalRequest:
    prompt = _bounded(fields, "prompt", MAX_PROMPT)
    count: int | None = field_of(fields, "n", _count, None)
    if count is not None and not 1 <= count <= MOST_IMAGES:
        raise InvalidRequest(f"n must lie in 1 to {MOST_IMAGES}", param="n")
    if field_of(fields, "stream", _flag, False):
        raise InvalidRequest(
            "pictures are not streamed here; leave stream out", param="stream", code="not_offered"
        )
    units = count or 1
    shape = RequestShape(text=prompt, tokens_in=units * IMAGE_UNITS)
    return ImageRequest(**_read(fields, shape), units=units)


def _speech(fields: dict[str, msgspec.Raw]) -> ModalRequest:
    text = _bounded(fields, "input", MAX_SPOKEN)
    if not field_of(fields, "voice", _voice, None):
        raise InvalidRequest('give "voice": who is to speak', param="voice")
    wanted = field_of(fields, "response_format", _text_or_null, None) or DEFAULT_FORMAT
    if wanted not in FORMATS:
        raise InvalidRequest(
            f"response_format must be one of {', '.join(FORMATS)}", param="response_format"
        )
    told = field_of(fields, "stream_format", _text_or_null, None) or "audio"
    if told != "audio":
        raise InvalidRequest(
            'speech comes as sound; leave stream_format out, or give "audio"',
            param="stream_format", code="not_offered",
        )  # fmt: skip
    shape = RequestShape(text=text, tokens_in=_tokens(len(text)))
    return SpeechRequest(**_read(fields, shape, frozenset({wanted})), units=len(text))


def _embedding(fields: dict[str, msgspec.Raw]) -> ModalRequest:
    given = field_of(fields, "input", _input, None)
    text, tokens, units = _texts(given)
    return EmbeddingRequest(**_read(fields, RequestShape(text=text, tokens_in=tokens)), units=units)


def _read(
    fields: dict[str, msgspec.Raw], shape: RequestShape, needs: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """What the modalities share."""
    options = read_options(fields)
    if options.queue or options.webhook:
        raise InvalidRequest(
            "headgate.queue is offered for chat alone; leave it out",
            param="headgate.queue",
            code="invalid_option",
        )
    return {
        "fields": fields,
        "model": _text(fields["model"]),
        "shape": shape,
        "stream": False,
        "wants_usage": True,  # nothing is added to what is sent on
        "needs": needs,
        "options": options,
        "labels": labels_of(fields),
        "user": str(field_of(fields, "user", _text_or_null, "") or ""),
        "messages": (),
    }


def _bounded(fields: Mapping[str, msgspec.Raw], name: str, most: int) -> str:
    text: str = field_of(fields, name, _text, "")
    if not text.strip():
        raise InvalidRequest(f"{name} is empty", param=name)
    if len(text) > most:
        raise InvalidRequest(f"{name} has more than {most} characters; divide it", param=name)
    return text


def _texts(given: Any) -> tuple[str, int, int]:
    """What the choice looks at, how many tokens it is by our count, and of how many texts."""
    if isinstance(given, str):
        given = [given]
    if not given or any(each == "" or each == [] for each in given):
        raise InvalidRequest("input is empty, or holds an empty text", param="input")
    kinds = {type(each) for each in given}
    if len(kinds) > 1:
        raise InvalidRequest("input must hold texts, or tokens, not both", param="input")
    if kinds == {int}:
        return "", len(given), 1
    if len(given) > MOST_TEXTS:
        raise InvalidRequest(
            f"input holds more than {MOST_TEXTS} texts; send them in several requests",
            param="input",
        )
    if kinds == {list}:
        return "", sum(map(len, given)), len(given)
    text, size = "", 0
    for each in given:
        size += len(each)
        if len(text) < SEEN:
            text += each[:SEEN] + "\n"
    return text, _tokens(size), len(given)


def _tokens(characters: int) -> int:
    return max(1, -(-characters // CHARACTERS_PER_TOKEN))
