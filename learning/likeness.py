"""How like two short texts are: their words and pieces of words hashed to a vector of unit length.

No model is needed. Words count whole (one half) and by their pieces of three and four letters (the
other half), so that forms of a word are near each other; words that every text has count little.
Hashing with signs: Weinberger, Dasgupta, Langford, Smola, Attenberg 2009, arXiv 0902.2206.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Floats = NDArray[np.float64]

WORDS, PIECES = 256, 256
DIMENSION = WORDS + PIECES
SLIGHT = 0.15  # the weight of a word that every text has
_LETTERS = bytes(
    c if c >= 128 or chr(c).isalnum() else 32 for c in bytes(range(256)).lower()
)  # letters and digits lowered, the rest a space
_EVERYWHERE = frozenset(
    b"a about am an and any are as at be been being by can could did do does for from give had has "
    b"have hello hey hi how i if in is it its kindly know let like list may me might my of on or "
    b"our please s say should show so some t tell thank thanks that the their there these they "
    b"this those to us want was we were what whats when where which who why will with would you "
    b"your explain describe need give get".split()
)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_PRIMES = np.array([1_000_003, 998_244_353, 754_974_721, 167_772_161], dtype=np.uint64)


def likeness(text: str) -> Vector:
    """The text's vector, float32 of shape [DIMENSION], of length 1 (0 where there is no word)."""
    words = text.lower().encode("utf-8", "replace").translate(_LETTERS).split()
    out = np.zeros(DIMENSION)
    if not words:
        return out.astype(np.float32)
    hashes = np.array([zlib.crc32(word) for word in words], dtype=np.uint64)
    weights = np.array([SLIGHT if word in _EVERYWHERE else 1.0 for word in words])
    out[:WORDS] = _half(hashes * _MIX, weights, WORDS)
    telling = [word for word in words if word not in _EVERYWHERE] or words
    out[WORDS:] = _half(*_pieces(telling), PIECES)
    length = float(np.sqrt(out @ out))
    return (out / length if length else out).astype(np.float32)


def _half(hashes: NDArray[np.uint64], weights: Floats, size: int) -> Floats:
    """Signed sums by hash, of length 1."""
    mixed = hashes ^ (hashes >> np.uint64(29))
    at = (mixed % np.uint64(size)).astype(np.intp)
    signs = 1.0 - 2.0 * ((mixed >> np.uint64(40)) & np.uint64(1)).astype(np.float64)
    summed = np.bincount(at, weights * signs, size).astype(np.float64)
    length = float(np.sqrt(summed @ summed))
    return summed / length if length else summed


def _pieces(words: list[bytes]) -> tuple[NDArray[np.uint64], Floats]:
    data = np.frombuffer(b" " + b" ".join(words) + b" ", np.uint8).astype(np.uint64)
    found = []
    for length in (3, 4):
        count = len(data) - length + 1
        if count <= 0:
            continue
        mixed = np.zeros(count, dtype=np.uint64)
        for place in range(length):
            mixed = mixed * _MIX + (data[place : place + count] + np.uint64(1)) * _PRIMES[place]
        found.append(mixed ^ (mixed >> np.uint64(31)))
    hashes = np.concatenate(found)
    return hashes, np.ones(len(hashes))
