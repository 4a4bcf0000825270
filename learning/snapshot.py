"""Freeze a policy to bytes and thaw it, without pickle, refusing what another schema wrote.

Layout: 8 bytes magic, 32 bytes SHA-256 of all that follows, 4 bytes header length (little
endian), a JSON header, then the raw array buffers one after another.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.errors import SnapshotCorrupt, SnapshotSchema

MAGIC = b"HGATE\x00\x01\n"
SCHEMA = 1
_DTYPES = {"<f8", "<f4", "<i8"}


@dataclass(frozen=True, slots=True)
class Frozen:
    """A policy at rest: its kind, what describes it (JSON), and its arrays by name."""

    kind: str
    about: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


def freeze(frozen: Frozen) -> bytes:
    """Bytes of a frozen policy; equal states give equal bytes."""
    entries = []
    buffers = []
    for name in sorted(frozen.arrays):
        array = np.ascontiguousarray(frozen.arrays[name])
        dtype = array.dtype.newbyteorder("<").str
        if dtype not in _DTYPES:
            raise SnapshotSchema(f"array {name!r} has type {array.dtype}, which is not stored")
        entries.append({"name": name, "dtype": dtype, "shape": list(array.shape)})
        buffers.append(array.astype(dtype, copy=False).tobytes())
    header = {"schema": SCHEMA, "kind": frozen.kind, "about": frozen.about, "arrays": entries}
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    body = struct.pack("<I", len(text)) + text + b"".join(buffers)
    return MAGIC + hashlib.sha256(body).digest() + body


def thaw(data: bytes) -> Frozen:
    """The frozen policy in ``data``.

    Raises SnapshotCorrupt when the bytes are damaged, SnapshotSchema when they are of another
    format.
    """
    if data[:5] != MAGIC[:5]:
        raise SnapshotCorrupt("these bytes are not a Headgate snapshot")
    if data[: len(MAGIC)] != MAGIC:
        raise SnapshotSchema("this snapshot was written by another format of Headgate")
    start = len(MAGIC) + 32
    body = data[start:]
    if hashlib.sha256(body).digest() != data[len(MAGIC) : start]:
        raise SnapshotCorrupt("the snapshot's checksum does not hold: it is damaged or cut short")
    (length,) = struct.unpack_from("<I", body)
    header = json.loads(body[4 : 4 + length])
    if header["schema"] != SCHEMA:
        raise SnapshotSchema(f"snapshot schema {header['schema']}; this version reads {SCHEMA}")
    arrays: dict[str, NDArray[Any]] = {}
    offset = 4 + length
    for entry in header["arrays"]:
        if entry["dtype"] not in _DTYPES:
            raise SnapshotSchema(f"array {entry['name']!r} has type {entry['dtype']}")
        dtype = np.dtype(entry["dtype"])
        count = int(np.prod(entry["shape"], dtype=np.int64))
        array = np.frombuffer(body, dtype=dtype, count=count, offset=offset)
        arrays[entry["name"]] = array.reshape(entry["shape"]).copy()
        offset += count * dtype.itemsize
    return Frozen(kind=header["kind"], about=header["about"], arrays=arrays)
