"""The web socket of a page, on a connection that the listener has counted."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from service.monitoring.load import Load


class Socket(WebSocketsSansIOProtocol):
    """uvicorn's web socket; the connection counts until it is closed."""

    def __init__(self, load: Load, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._load = load

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.connections -= 1
        super().connection_lost(exc)
