"""Vectors of texts: of length one, the same each time, near where the words are the same."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 256
ROWS = 4_096
_TABLES: dict[str, NDArray[np.float32]] = {}


def embedded(text: str | Sequence[int], space: str, dimensions: int = DIMENSIONS) -> list[float]:
    """The vector of a text, or of its tokens; raises ValueError."""
    if not 1 <= dimensions <= DIMENSIONS:
        raise ValueError(f"dimensions must lie in 1 to {DIMENSIONS}")
    words = text.lower().split() or [text] if isinstance(text, str) else [str(t) for t in text]
    rows = [zlib.crc32(word.encode("utf-8", "replace")) % ROWS for word in words]
    vector = _table(space)[rows].sum(0)[:dimensions].astype(np.float64)
    length = float(np.linalg.norm(vector))
    if length == 0.0:
        vector[0] = length = 1.0
    found: list[float] = (vector / length).tolist()
    return found


def as_base64(vector: Sequence[float]) -> str:
    """As OpenAI's SDK asks for it: single floats, little-endian."""
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()


def _table(space: str) -> NDArray[np.float32]:
    found = _TABLES.get(space)
    if found is None:
        chance = np.random.default_rng(zlib.crc32(space.encode()))
        found = chance.standard_normal((ROWS, DIMENSIONS)).astype(np.float32)
        _TABLES[space] = found
    return found
