"""Server-sent events from bytes, whatever the boundaries they arrive in."""

from __future__ import annotations

MAX_EVENT_BYTES = 8 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class EventTooLong(ValueError):
    """An event beyond the bound: nothing of it can be trusted."""


class EventSplitter:
    """Feed bytes, get the data of the events that are now whole (WHATWG server-sent events).

    Line ends may be LF, CRLF or CR; several data lines join with LF; comments and other fields
    are dropped.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    def feed(self, part: bytes) -> list[bytes]:
        """The data of each event that ``part`` completes."""
        data = self._rest + part if self._rest else part
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
        if len(self._rest) > MAX_EVENT_BYTES:
            raise EventTooLong
        return [data for event in events if (data := _data(event))]

    def finish(self) -> list[bytes]:
        """What is left when the connection ends cleanly: an event that lacked its last line."""
        rest, self._rest = self._rest.replace(b"\r", b"\n"), b""
        data = _data(rest.strip(b"\n"))
        return [data] if data else []


def _data(event: bytes) -> bytes:
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    lines = []
    for line in event.split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[6:] if line[5:6] == b" " else line[5:])
    return b"\n".join(lines)
