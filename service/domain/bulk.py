"""How many values a JSON text holds: a small text of millions would take hundreds of megabytes."""

from __future__ import annotations

from service.domain.errors import InvalidRequest

MOST_VALUES = 100_000
_PART = 1_000_000  # bytes looked at in one go


def check_bulk(body: bytes, most: int = MOST_VALUES) -> None:
    """Raise InvalidRequest when texts and the commas between values are more than ``most``.

    Lists within lists need no comma; how deep they go is bounded by the parser. It holds the
    interpreter a few milliseconds at a time, so that it may run in a thread beside the loop.
    """
    if len(body) <= most or body.count(b",") + body.count(b'"') <= most:
        return
    count, outside, start = 0, True, 0
    while start < len(body) and count <= most:
        part = body[start : start + _PART]
        start += len(part)
        if part.endswith(b"\\") and start < len(body):
            tail = len(part) - len(part.rstrip(b"\\"))
            if tail % 2:  # do not part a backslash from what it escapes
                part += body[start : start + 1]
                start += 1
        pieces = part.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"', 2 * most + 2)
        count += (len(pieces) - (not outside)) // 2  # texts that begin here
        count += sum(piece.count(b",") for piece in pieces[0 if outside else 1 :: 2])
        outside = outside == bool(len(pieces) % 2)
    if count > most:
        raise InvalidRequest(
            f"the body holds more than {most} values; send fewer", code="too_many_values"
        )
