"""Time and identity, both given as arguments so that tests may hold them still."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import uuid_utils


class Clock(Protocol):
    """Wall time for records, monotonic time for durations."""

    def wall_us(self) -> int:
        """Microseconds since the epoch, UTC."""

    def monotonic_s(self) -> float:
        """Seconds from a clock that never goes back."""


class SystemClock:
    """The machine's clocks."""

    def wall_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        return time.perf_counter()


def moment_us(text: str) -> int:
    """Microseconds since the epoch of a time such as 2026-03-01T14:05Z, UTC where it names no
    zone; raises ValueError.
    """
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        found = int(moment.timestamp() * 1e6)
    except OverflowError:
        raise ValueError(text) from None
    if found < 0:
        raise ValueError(text)
    return found


class Ids:
    """Where ids come from; who plays a day again puts a source here that can be drawn again."""

    make: Callable[[], object] = staticmethod(uuid_utils.uuid7)


def new_id() -> str:
    """A fresh UUIDv7 (RFC 9562): sortable by the time it was made."""
    return str(Ids.make())


def parse_id(text: str) -> str | None:
    """A decision id from its own form or from the response id made of it, in any dialect."""
    for prefix in ("chatcmpl-", "msg_", "resp_"):
        text = text.removeprefix(prefix)
    bare = text.replace("-", "").lower()
    if len(bare) != 32 or any(c not in "0123456789abcdef" for c in bare):
        return None
    return f"{bare[:8]}-{bare[8:12]}-{bare[12:16]}-{bare[16:20]}-{bare[20:]}"


def response_id(decision_id: str, prefix: str = "chatcmpl-") -> str:
    """The response id of a decision, OpenAI's or that of another dialect (``msg_``, ``resp_``)."""
    return prefix + decision_id.replace("-", "")


def id_time_us(identity: str) -> int:
    """When a UUIDv7 was made, microseconds since the epoch (millisecond resolution)."""
    return int(identity.replace("-", "")[:12], 16) * 1000
