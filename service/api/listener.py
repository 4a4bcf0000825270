"""The connection of a caller: bounded in number, in time, in what it sends and in what it holds."""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.api.asgi import error_body, error_headers
from service.domain.clock import new_id
from service.domain.errors import HeadgateError, HeadTooLarge, InvalidRequest, RequestTimeout
from service.monitoring.load import Load

HEAD_BYTES = 64 * 1024
HEADERS = 100
PIPELINE = 16
_IDLE, _HEAD, _BODY = range(3)  # what the connection waits for
_ODD = frozenset({b"expect", b"transfer-encoding", b"host"})


class _Refused(Exception):
    """Raised in the parser's callbacks, which the parser wraps."""

    def __init__(self, error: HeadgateError, reason: str) -> None:
        self.error, self.reason = error, reason


class Listener(HttpToolsProtocol):
    """uvicorn's protocol, bounded.

    A request that comes whole in one read costs no timer. The parser itself refuses
    Content-Length beside Transfer-Encoding, either of them twice, bad chunks, bare line ends and
    control characters; what it would let through of framing is refused here.
    """

    def __init__(self, load: Load, socket_path: bytes | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._load, self._socket_path = load, socket_path
        self._phase = _HEAD
        self._timed = _IDLE  # the phase that the timer is set for
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._head_read = 0
        self._head_size = 0
        self._codings = self._hosts = 0
        self._thrown_away = 0
        self._counted = self._deaf = False

    # the connection ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        load = self._load
        if load.connections >= load.bounds.connections:
            self.transport, self._deaf = transport, True
            transport.write(_answer(load.full("connections")))
            self._close()
            return
        load.connections += 1
        self._counted = True
        super().connection_made(transport)
        self._time(_HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        self._time(_IDLE)
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        if not self._counted:
            self.parser = None  # type: ignore[assignment]
            return
        self._counted = False
        self._load.connections -= 1
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self._handed_over()
                return
            # The request stands, its wish for another protocol does not, nor what comes after.
            self._deaf, self.cycle.keep_alive = True, False
            self._time(_IDLE)
            return
        except httptools.HttpParserError as error:
            why = error.__context__
            if isinstance(why, _Refused):
                self._refuse(why.error, why.reason)
            else:
                self._refuse(_malformed("the request is not HTTP/1.1 as it must be"), "bad_http")
            return
        self._after(len(data))

    def _should_upgrade(self) -> bool:
        """Only the console speaks another protocol, and only where it is."""
        path = self._socket_path
        return path is not None and self.url.startswith(path) and super()._should_upgrade()

    def _handed_over(self) -> None:
        """The connection goes on as a web socket; it stays counted until that is closed."""
        self._deaf, self._counted = True, False
        self._time(_IDLE)
        self.handle_websocket_upgrade()

    def _after(self, size: int) -> None:
        """Set or clear the timer by what is still to come."""
        if self._phase == _HEAD:
            self._head_read += size
            if self._head_read > 2 * HEAD_BYTES:
                self._refuse(_too_long(), "head_too_large")
                return
        elif (
            self._phase == _IDLE and self.timeout_keep_alive_task is None
            and (self.cycle is None or self.cycle.response_complete)
        ):  # fmt: skip
            self._phase = _HEAD  # empty lines: they count as the beginning of a head
        if self._phase != self._timed:
            self._time(self._phase)

    # the parser's callbacks -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._timer is not None and self.cycle is not None:
            self._time(_IDLE)  # it was an earlier request's
        self._phase = _HEAD
        self._head_read = self._head_size = self._codings = self._hosts = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._sized(len(url))
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in _ODD:
            self._odd(name, value)
        self.headers.append((name, value))
        self._sized(len(name) + len(value))

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise _Refused(_malformed("HTTP/1.1 and HTTP/1.0 are spoken here"), "bad_http")
        if self._codings and version == "1.0":
            raise _Refused(_malformed("HTTP/1.0 knows no Transfer-Encoding"), "bad_http")
        if len(self.headers) > HEADERS:
            raise _Refused(_too_long(), "head_too_large")
        if len(self.pipeline) >= PIPELINE:
            raise _Refused(_malformed("too many requests that wait for an answer"), "bad_http")
        super().on_headers_complete()
        self._phase = _BODY
        if self._load.stopping:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        if self.cycle.response_complete:
            self._thrown_away += len(body)
            if self._thrown_away > self._load.bounds.body_bytes:
                self._deaf = True
                self.transport.abort()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._phase = _IDLE
        self._thrown_away = 0
        super().on_message_complete()

    def _sized(self, size: int) -> None:
        self._head_size += size
        if self._head_size > HEAD_BYTES:
            raise _Refused(_too_long(), "head_too_large")

    def _odd(self, name: bytes, value: bytes) -> None:
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name == b"host":
            self._hosts += 1
            if self._hosts > 1:
                raise _Refused(_malformed("Host is given twice"), "bad_http")
        else:
            self._codings += 1
            if value.strip().lower() != b"chunked" or self._codings > 1:
                raise _Refused(_malformed("Transfer-Encoding may only be chunked"), "bad_http")

    # time -------------------------------------------------------------------------------------

    def _time(self, phase: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timed = phase
        if phase != _IDLE:
            bounds = self._load.bounds
            limit_s = bounds.head_s if phase == _HEAD else bounds.body_s
            self._timer = self.loop.call_later(limit_s, self._late)

    def _late(self) -> None:
        phase, self._timer = self._timed, None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self._time(phase)  # it is we who do not read
        elif phase == _BODY:
            limit_s = self._load.bounds.body_s
            self._refuse(_late(f"the body did not come whole within {limit_s:g} s"), "body_timeout")
        elif self._head_read or self._head_size:
            limit_s = self._load.bounds.head_s
            self._refuse(_late(f"the head did not come whole within {limit_s:g} s"), "head_timeout")
        else:
            self._load.refused("head_timeout")
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._expect_reader()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def _close(self) -> None:
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._expect_reader()

    def _expect_reader(self) -> None:
        """The caller must take what waits for it in time, or it is dropped."""
        if self._unread is None:
            self._unread = self.loop.call_later(self._load.bounds.write_s, self._drop)

    def _drop(self) -> None:
        self._unread = None
        self._load.refused("slow_reader")
        self.transport.abort()

    # refusals ---------------------------------------------------------------------------------

    def _refuse(self, error: HeadgateError, reason: str) -> None:
        """Answer where no other answer is under way, and close; what still comes is not read."""
        self._deaf = True
        self._time(_IDLE)
        self._load.refused(reason)
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.write(_answer(error))
            self._close()
        elif self._phase == _HEAD and not self.pipeline:
            cycle.keep_alive = False  # the answer to the request before it ends the connection
        elif cycle.response_started or self.pipeline:
            self.transport.abort()
        else:
            cycle.disconnected = True
            cycle.message_event.set()
            self.transport.write(_answer(error))
            self._close()


def _malformed(message: str) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_http")


def _too_long() -> HeadTooLarge:
    return HeadTooLarge(
        f"the head is longer than {HEAD_BYTES} bytes or has more than {HEADERS} headers"
    )


def _late(message: str) -> RequestTimeout:
    return RequestTimeout(message)


def _answer(error: HeadgateError) -> bytes:
    """A whole answer, for a connection that the framework will not write to."""
    request_id = new_id()
    body = msgspec.json.encode(error_body(error, request_id))
    headers = [
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("connection", "close"),
        *error_headers(error, request_id),
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers).encode()
    return STATUS_LINE[error.status] + head + b"\r\n" + body
