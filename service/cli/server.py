"""Running an ASGI app: uvicorn on uvloop and httptools, no access log, a graceful stop."""

from __future__ import annotations

import gc
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import uvicorn

from service.cli.output import err

DRAIN_S = 30
SWITCH_S = 0.002  # threads give the interpreter back sooner than by default: shorter stalls


def run(app: Any, host: str, port: int, hangup: Callable[[], None] | None = None) -> None:
    """Serve until told to stop; says where, once it listens. SIGHUP calls ``hangup``."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        err.print(f"cannot listen on {host}:{port}: {error.strerror}", style="red")
        raise SystemExit(1) from None
    listener.listen(2048)
    bound = listener.getsockname()[1]
    err.print(f"listening on http://{host}:{bound}", highlight=False, markup=False)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_S,
        timeout_keep_alive=75,
        h11_max_incomplete_event_size=64 * 1024,
    )
    # What was made at the start lives as long as the process: no collection need look at it.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    sys.setswitchinterval(SWITCH_S)
    # The server stops gracefully on these and then raises them once more; being told to stop is
    # not a failure, so that second time does nothing.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    if hangup is not None:
        signal.signal(signal.SIGHUP, lambda *_: hangup())
    uvicorn.Server(config).run(sockets=[listener])
