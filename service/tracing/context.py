"""W3C trace contexts: where a caller's trace goes on, and the ids of our own spans."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.A)


@dataclass(frozen=True, slots=True)
class Place:
    """A trace, the span that ours hangs under (0: none), and whether it is recorded."""

    trace_id: int
    parent_id: int
    sampled: bool


def read(traceparent: str) -> Place | None:
    """The place that a caller's header names; None where it is not as the W3C has it."""
    found = _FORM.fullmatch(traceparent)
    if found is None:
        return None
    version, trace, parent, flags, more = found.groups()
    if version == "ff" or (version == "00" and more):
        return None
    trace_id, parent_id = int(trace, 16), int(parent, 16)
    if not trace_id or not parent_id:
        return None
    return Place(trace_id, parent_id, bool(int(flags, 16) & 1))


def own(decision_id: str, sample: float) -> Place:
    """A trace of our own: its id is the decision's. The share is drawn by a hash of it, as ids of
    the same moment count on.
    """
    trace_id = int(decision_id.replace("-", ""), 16)
    return Place(trace_id, 0, span_id(decision_id, 0) < sample * 2.0**64)


def span_id(decision_id: str, number: int) -> int:
    """The id of a call's span by its number, or of the request's own (0); the same every time."""
    digest = hashlib.blake2b(f"{decision_id}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


def written(place: Place, span: int) -> str:
    """The header that hangs what follows under a span."""
    return f"00-{place.trace_id:032x}-{span:016x}-{int(place.sampled):02x}"
