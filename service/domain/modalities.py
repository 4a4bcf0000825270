"""What a deployment makes: chat, images, speech, embeddings; a request meets its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

CHAT, IMAGE, SPEECH, EMBEDDING = "chat", "image", "speech", "embedding"
MODALITIES = (CHAT, IMAGE, SPEECH, EMBEDDING)
OTHER_MODALITIES = MODALITIES[1:]
DIALECTS = ("openai",)  # in which what is not chat is asked for
IMAGE_UNITS = 1_000  # tokens that an image which is asked for counts as, before it is made
CHARACTERS_PER_TOKEN = 4
FORMATS = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}  # of speech, with their media types
DEFAULT_FORMAT = "mp3"


class Kind(NamedTuple):
    """Whom a request may meet: a modality, and of embeddings the space of the vectors."""

    modality: str = CHAT
    space: str = ""


CHAT_KIND = Kind()


def in_use(modalities: Iterable[str]) -> tuple[str, ...]:
    """Those of the modalities that are not chat, in their order."""
    found = set(modalities)
    return tuple(each for each in OTHER_MODALITIES if each in found)
