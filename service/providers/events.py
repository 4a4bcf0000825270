"""Server-sent events from bytes, whatever the boundaries they arrive in."""

from __future__ import annotations

MAX_EVENT_BYTES = 8 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class EventTooLong(ValueError):
    """An event beyond the bound: nothing of it can be trusted."""


class NamedEvent(bytes):
    """The data of an event that has a name (its ``event:`` field)."""

    name: bytes = b""


class EventSplitter:
    """Feed bytes, get the data of the events that are now whole (WHATWG server-sent events).

    Line ends may be LF, CRLF or CR; several data lines join with LF; comments and fields other
    than ``data`` and ``event`` are dropped.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._more: list[bytes] = []  # after the rest: parts without the end of a line
        self._size = 0
        self._begun = False

    def feed(self, part: bytes) -> list[bytes]:
        """The data of each event that ``part`` completes."""
        if self._begun and b"\n" not in part and b"\r" not in part and self._rest[-1:] != b"\r":
            self._more.append(part)
            self._bound(len(part))
            return []
        data = self._all(part)
        if not self._begun:
            if len(data) < 3 and _BOM.startswith(data):
                self._rest = data
                return []
            data = data.removeprefix(_BOM)
            self._begun = True
        tail = b""
        if b"\r" in data:
            if data.endswith(b"\r"):
                data, tail = data[:-1], b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        events = data.split(b"\n\n")
        self._rest = events.pop() + tail
        self._size = 0
        self._bound(len(self._rest))
        return [data for event in events if (data := _data(event))]

    def finish(self) -> list[bytes]:
        """What is left when the connection ends cleanly: an event that lacked its last line."""
        rest, self._rest = self._all(b"").replace(b"\r", b"\n"), b""
        data = _data(rest.strip(b"\n"))
        return [data] if data else []

    def _all(self, part: bytes) -> bytes:
        if self._more:
            part = b"".join((*self._more, part))
            self._more = []
        return self._rest + part if self._rest else part

    def _bound(self, more: int) -> None:
        self._size += more
        if self._size > MAX_EVENT_BYTES:
            raise EventTooLong


def _data(event: bytes) -> bytes:
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    lines, name = [], b""
    for line in event.split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            name = line[6:].strip()
    data = b"\n".join(lines)
    if name and lines:
        named = NamedEvent(data)
        named.name = name
        return named
    return data
