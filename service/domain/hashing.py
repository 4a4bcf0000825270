"""Keyed hashes: names for what is not to be told."""

from __future__ import annotations

import hashlib


def keyed_hash(secret: bytes, *parts: bytes | str) -> str:
    """A keyed hash (BLAKE2b, 16 bytes, hex) of the parts; without the key it tells nothing."""
    digest = hashlib.blake2b(key=secret, digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "replace") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()
