"""An app on uvicorn: uvloop and httptools, no access log, our listener, a graceful stop."""

from __future__ import annotations

import asyncio
import functools
import signal
import socket
from types import FrameType
from typing import Any, cast

import uvicorn

from service.api.listener import Listener
from service.monitoring.load import Load

BACKLOG = 2048
DRAIN_S = 30
LINGER_S = 0.5
SOCKET_BYTES = 64 * 1024  # of a message on a web socket
SEND_BUFFER = 256 * 1024  # of the kernel, a connection


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; raises OSError. What it accepts has a bounded send buffer."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    try:
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    made.listen(BACKLOG)
    return made


class Server(uvicorn.Server):
    """uvicorn's server, which tells ``load`` of its stop at once.

    First SIGTERM or SIGINT: nothing new is accepted, what is in work has ``drain_s``. A second
    SIGTERM changes nothing; a second SIGINT ends the waiting, and the state is still closed well.
    """

    def __init__(
        self,
        app: Any,
        load: Load | None = None,
        drain_s: int = DRAIN_S,
        linger_s: float = LINGER_S,
    ) -> None:
        self._load, self._linger_s = load, linger_s
        self._hastened = False
        path, socket_kind = getattr(app, "sockets", (None, None)) if load else (None, None)
        protocol = cast(Any, functools.partial(Listener, load, path)) if load else "httptools"
        config = uvicorn.Config(
            app,
            http=protocol,
            ws=cast(Any, functools.partial(socket_kind, load)) if socket_kind else "none",
            ws_max_size=SOCKET_BYTES,
            ws_per_message_deflate=False,
            loop="uvloop",
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=drain_s,
            timeout_keep_alive=75,
        )
        super().__init__(config)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Told to stop."""
        if self.should_exit and sig == signal.SIGINT:
            self.config.timeout_graceful_shutdown = 0
            self._hastened = True
        self.stop()

    def stop(self) -> None:
        """Stop gracefully; from any thread."""
        if self._load is not None:
            self._load.stopping = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting; what is on its way on open connections is still answered; then end."""
        if self._load is not None:
            self._load.stopping = True
        for server in self.servers:
            server.close()
        await asyncio.sleep(self._linger_s)
        hasten = asyncio.create_task(self._hasten())
        await super().shutdown(sockets)
        hasten.cancel()

    async def _hasten(self) -> None:
        """Cancel what is in work once a second SIGINT has come."""
        while not self._hastened:
            await asyncio.sleep(0.1)
        for task in list(self.server_state.tasks):
            task.cancel()
        await asyncio.sleep(0.1)  # they say so to their callers
        for connection in list(self.server_state.connections):
            connection.transport.close()
