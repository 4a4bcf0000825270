"""A voice that hums a text: true sound (PCM, or WAV around it), as long as the text takes."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

import numpy as np

RATE = 24_000  # samples a second: mono, of 16 bits
PER_SECOND = 15.0  # characters that are spoken
SLOWEST, FASTEST = 0.25, 4.0
FORMATS = ("wav", "pcm")
_SAMPLE = 2  # bytes


def samples_of(text: str, speed: float = 1.0) -> int:
    """How many samples a text takes."""
    return max(RATE // 10, round(RATE * len(text) / (PER_SECOND * speed)))


def head(samples: int) -> bytes:
    """The head of a WAV file of so many samples."""
    size = samples * _SAMPLE
    form = struct.pack("<HHIIHH", 1, 1, RATE, RATE * _SAMPLE, _SAMPLE, 8 * _SAMPLE)
    return b"".join((
        b"RIFF", struct.pack("<I", 36 + size), b"WAVE",
        b"fmt ", struct.pack("<I", len(form)), form, b"data", struct.pack("<I", size),
    ))  # fmt: skip


def spoken(text: str, voice: str, speed: float = 1.0) -> Iterator[bytes]:
    """The sound, at most a second at a time: a tone for each word, by its hash and the voice's."""
    left = samples_of(text, speed)
    words = text.split() or [text]
    base = 90.0 + _number(voice) % 160
    for at in range(-(-left // RATE)):
        count = min(RATE, left)
        left -= count
        time = np.arange(count) / RATE
        pitch = base * (1.0 + (_number(words[at % len(words)]) % 12) / 12.0)
        wave = np.sin(2.0 * np.pi * pitch * time) * np.sin(np.pi * np.arange(count) / count)
        yield (wave * 8_000).astype("<i2").tobytes()


def _number(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=4).digest()
    return int.from_bytes(digest, "big")
