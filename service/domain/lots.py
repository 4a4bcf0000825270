"""Lots that anybody can draw again from a decision's id: uniform, and apart for each purpose."""

from __future__ import annotations

import hashlib
import zlib

_WHOLE = float(1 << 32)


def lot(decision_id: str) -> float:
    """The lot of a decision, uniform in [0, 1): what is drawn by it is drawn below a share."""
    return zlib.crc32(decision_id.encode()) / _WHOLE


def lot_for(purpose: str, decision_id: str) -> float:
    """The same for a purpose of its own: independent of the plain lot and of other purposes'."""
    told = hashlib.blake2b(decision_id.encode(), digest_size=4, key=purpose.encode()).digest()
    return int.from_bytes(told, "big") / _WHOLE
