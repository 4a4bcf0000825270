"""Pictures that are drawn from a prompt: small true PNGs, the same each time."""

from __future__ import annotations

import hashlib
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

LEAST, MOST = 16, 1792  # of a side, in pixels
DEFAULT = 256
COLOURS = 16
_HEAD = b"\x89PNG\r\n\x1a\n"


def size_of(text: str | None) -> tuple[int, int]:
    """Width and height of a size as it is asked for; raises ValueError."""
    if text in (None, "auto"):
        return DEFAULT, DEFAULT
    width, height = (int(part) for part in str(text).split("x"))
    if not (LEAST <= width <= MOST and LEAST <= height <= MOST):
        raise ValueError(f"a side has {LEAST} to {MOST} pixels")
    return width, height


def drawn(prompt: str, model: str, size: tuple[int, int], number: int = 0) -> bytes:
    """A PNG: bands, discs and a frame, by the hash of prompt, model and number."""
    seed = hashlib.blake2b(f"{model}\x1f{number}\x1f{prompt}".encode("utf-8", "replace"))
    chance = np.random.default_rng(np.frombuffer(seed.digest(), np.uint32))
    width, height = size
    y, x = np.ogrid[0:height, 0:width]
    across, down = chance.uniform(-3.0, 3.0, 2)
    field = across * (x / width) + down * (y / height)
    image: NDArray[np.uint8] = (np.floor(field * 3.0).astype(np.int64) % (COLOURS // 2)).astype(
        np.uint8
    )
    for at in range(5):
        middle_x, middle_y, radius = chance.uniform((0, 0, 0.05), (1, 1, 0.25))
        inside = (x - middle_x * width) ** 2 + (y - middle_y * height) ** 2
        image[inside < (radius * min(size)) ** 2] = COLOURS // 2 + at
    image[:2], image[-2:], image[:, :2], image[:, -2:] = (COLOURS - 1,) * 4
    return png(image, chance.integers(0, 256, (COLOURS, 3), dtype=np.uint8))


def png(image: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """An indexed picture [height, width] and its colours [n, 3] as a PNG."""
    height, width = image.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row after its filter, which is none
    rows[:, 1:] = image
    return b"".join((
        _HEAD,
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        _chunk(b"PLTE", palette.tobytes()),
        _chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)),
        _chunk(b"IEND", b""),
    ))  # fmt: skip


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
