"""What the simulated providers of images, speech and embeddings answer, and how they behave."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from service.domain.modalities import EMBEDDING, IMAGE, SPEECH
from service.providers.simulated import Character, Simulated, Stream, Weather
from service.providers.simulated_embedding import DIMENSIONS, as_base64, embedded
from service.providers.simulated_image import drawn, size_of
from service.providers.simulated_speech import FORMATS, head, samples_of, spoken

REFUSED = "simulate a refusal"
MOST_IMAGES = 10
MAX_SPOKEN = 20_000
_ALIKE = {"code": 0.0, "maths": 0.0, "other": 0.0}


def _worth(quality: float) -> dict[str, float]:
    return dict.fromkeys(_ALIKE, quality)


PAINTERS = (
    Character("pigment", 0.80, 0.25, 0.005, 0, 0.0, 0.0, _worth(0.90), 0.05),
    Character("charcoal", 0.35, 0.30, 0.010, 0, 0.0, 0.0, _worth(0.70), 0.10),
)
SPEAKERS = (
    Character("herald", 0.40, 0.25, 0.004, 0, 0.0, 0.0, _worth(0.90), 0.02),
    Character("murmur", 0.20, 0.25, 0.008, 0, 0.0, 0.0, _worth(0.72), 0.05),
)
EMBEDDERS = (Character("compass", 0.03, 0.25, 0.002, 0, 0.02, 0.0, _worth(0.85), 0.0),)
BY_MODALITY = {IMAGE: PAINTERS, SPEECH: SPEAKERS, EMBEDDING: EMBEDDERS}


class Given(NamedTuple):
    """An answer: a whole body, or sound that is made as it is sent."""

    status: int
    media: str
    body: bytes = b""
    sound: Iterator[bytes] | None = None


class NotOfTheForm(ValueError):
    """A request that these providers do not take; the message says why."""


class ModalWorld:
    """The behaviour of those that are not chat. The weather is the one of the whole world."""

    def __init__(self, seed: int = 7, speed: float = 1.0) -> None:
        self.weather: dict[str, Weather] = {}
        self._streams = {
            modality: Stream(seed, characters, speed, self.weather)
            for modality, characters in BY_MODALITY.items()
        }

    @property
    def models(self) -> tuple[str, ...]:
        """The names that are served."""
        return tuple(name for each in self._streams.values() for name in each.models)

    def shown(self, modality: str, model: str, prompt: str) -> Simulated:
        """Status, seconds and quality of a call; raises KeyError for an unknown model."""
        return self._streams[modality].answer(model, prompt, 0)


def prompt_of(modality: str, body: dict[str, Any]) -> str:
    """What a call asks, as the behaviour sees it."""
    said = body["prompt" if modality == IMAGE else "input"]
    return said if isinstance(said, str) else json.dumps(said)


def answer(modality: str, body: dict[str, Any]) -> Given:
    """The answer to a well-formed request; raises NotOfTheForm, or KeyError for what is missing."""
    if REFUSED in prompt_of(modality, body):
        return refused()
    if modality == IMAGE:
        return _images(body)
    return _speech(body) if modality == SPEECH else _embeddings(body)


def refused() -> Given:
    """A refusal by the provider's content policy."""
    return failed(400, "content_policy_violation", "refused by the content policy")


def failed(status: int, code: str, message: str) -> Given:
    """An error of OpenAI's shape."""
    content = {"error": {"message": message, "type": code, "param": None, "code": code}}
    return Given(status, "application/json", json.dumps(content).encode())


def _images(body: dict[str, Any]) -> Given:
    count, form = body.get("n") or 1, body.get("response_format") or "b64_json"
    if not isinstance(count, int) or not 1 <= count <= MOST_IMAGES:
        raise NotOfTheForm(f"n must lie in 1 to {MOST_IMAGES}")
    try:
        size = size_of(body.get("size"))
    except ValueError as error:
        raise NotOfTheForm(f"size: {error}") from None
    made = [drawn(body["prompt"], body["model"], size, number) for number in range(count)]
    coded = [base64.b64encode(each).decode() for each in made]
    if form == "b64_json":
        data = [{"b64_json": each} for each in coded]
    elif form == "url":  # nothing is kept here: the address holds the picture itself
        data = [{"url": f"data:image/png;base64,{each}"} for each in coded]
    else:
        raise NotOfTheForm("response_format must be b64_json or url")
    content = {"created": 1_750_000_000, "data": data}
    return Given(200, "application/json", json.dumps(content).encode())


def _speech(body: dict[str, Any]) -> Given:
    form, text = body.get("response_format") or "mp3", body["input"]
    if form not in FORMATS:
        raise NotOfTheForm(f"response_format: {', '.join(FORMATS)} are made here")
    speed = body.get("speed") or 1.0
    if not 0.25 <= speed <= 4.0:
        raise NotOfTheForm("speed must lie in 0.25 to 4")
    if len(text) > MAX_SPOKEN:
        raise NotOfTheForm("input is too long")
    sound = _sound(text, f"{body['model']}/{body['voice']}", speed, form == "wav")
    return Given(200, f"audio/{form}", sound=sound)


def _sound(text: str, voice: str, speed: float, wav: bool) -> Iterator[bytes]:
    if wav:
        yield head(samples_of(text, speed))
    yield from spoken(text, voice, speed)


def _embeddings(body: dict[str, Any]) -> Given:
    given, model = body["input"], body["model"]
    texts = [given] if isinstance(given, str) or isinstance(given[0], int) else given
    dimensions = body.get("dimensions") or DIMENSIONS
    try:
        vectors = [embedded(each, model, dimensions) for each in texts]
    except ValueError as error:
        raise NotOfTheForm(str(error)) from None
    coded = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": i, "embedding": as_base64(v) if coded else v}
        for i, v in enumerate(vectors)
    ]
    tokens = sum(max(1, len(t) // 4) if isinstance(t, str) else len(t) for t in texts)
    content = {"object": "list", "data": data, "model": model,
               "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}  # fmt: skip
    return Given(200, "application/json", json.dumps(content).encode())
