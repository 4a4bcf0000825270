"""Columns of a made-up past, as arrays of one length; who stores them gives them types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Flags: TypeAlias = NDArray[np.bool_]
Reals: TypeAlias = NDArray[np.float64]
Whole: TypeAlias = NDArray[np.int64]
Bytes: TypeAlias = NDArray[np.uint8]

BYTES = 16  # of an id and of a keyed hash


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers, flags, or times (microseconds); ``known`` marks those that are not null."""

    values: NDArray[np.generic]
    known: Flags | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """Texts by their place in ``names``; -1 is null."""

    codes: Whole
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ids:
    """UUIDs as 16 bytes each, [n, 16]."""

    data: Bytes
    known: Flags | None = None


@dataclass(frozen=True, slots=True)
class Hashes:
    """Keyed hashes as 16 bytes each, [n, 16], told as 32 hexadecimal digits; where not ``known``
    the text is empty.
    """

    data: Bytes
    known: Flags | None = None


@dataclass(frozen=True, slots=True)
class Lists:
    """A list a row: how long each is, and all values one after the other."""

    lengths: Whole
    values: Numbers | Words | Hashes
    known: Flags | None = None


Column: TypeAlias = Numbers | Words | Ids | Hashes | Lists
Columns: TypeAlias = dict[str, Column]


def word(text: str, count: int) -> Words:
    """The same text in every row."""
    return Words(np.zeros(count, np.int64), (text,))


def nulls(count: int) -> Words:
    """No text in any row."""
    return Words(np.full(count, -1, np.int64), ())


def ragged(values: NDArray[np.generic], mask: Flags, names: Sequence[str] = ()) -> Lists:
    """Of every row of [n, K] those values where the mask holds; with ``names`` they are places."""
    flat = values[mask]
    told = Words(flat.astype(np.int64), tuple(names)) if names else Numbers(flat)
    return Lists(mask.sum(axis=1), told)


def ids_at(at_us: Whole, rng: np.random.Generator) -> Bytes:
    """UUIDv7 (RFC 9562) of these times: 48 bits of milliseconds, the rest drawn."""
    made = rng.integers(0, 256, (len(at_us), BYTES), dtype=np.uint8)
    stamps = (at_us // 1000).astype(">u8").view(np.uint8).reshape(-1, 8)
    made[:, :6] = stamps[:, 2:]
    made[:, 6] = 0x70 | (made[:, 6] & 0x0F)
    made[:, 8] = 0x80 | (made[:, 8] & 0x3F)
    return made


def hashes(count: int, rng: np.random.Generator) -> Bytes:
    """So many hashes, drawn."""
    return rng.integers(0, 256, (count, BYTES), dtype=np.uint8)


def id_text(data: Bytes) -> str:
    """One id as text."""
    digits = bytes(data).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
