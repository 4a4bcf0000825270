"""Running an ASGI app in this process until told to stop."""

from __future__ import annotations

import ctypes
import gc
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

from service.api.serving import Server, listening
from service.cli.output import err

LONG_BLOCK = 256 * 1024
_M_MMAP_THRESHOLD = -3  # of glibc
SWITCH_S = 0.002  # threads give the interpreter back sooner than by default: shorter stalls
OTHER_FILES = 1_000  # calls to providers, the live file, the history


def run(app: Any, host: str, port: int, hangup: Callable[[], None] | None = None) -> None:
    """Serve until told to stop; says where, once it listens. SIGHUP calls ``hangup``."""
    try:
        listener = listening(host, port)
    except OSError as error:
        err.print(f"cannot listen on {host}:{port}: {error.strerror}", style="red")
        raise SystemExit(1) from None
    runtime = getattr(app, "runtime", None)
    load = runtime.load if runtime is not None else None
    if load is not None:
        _open_files(load.bounds.connections + OTHER_FILES)
    bound = listener.getsockname()[1]
    server = Server(app, load)
    # The server stops gracefully on these and then raises them once more; being told to stop is
    # not a failure, and to be told before it serves is to be told.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    err.print(f"listening on http://{host}:{bound}", highlight=False, markup=False)
    _give_back_long_blocks()
    # What was made at the start lives as long as the process: no collection need look at it.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    sys.setswitchinterval(SWITCH_S)
    if hangup is not None:
        signal.signal(signal.SIGHUP, lambda *_: hangup())
    server.run(sockets=[listener])


def _give_back_long_blocks() -> None:
    """Have glibc return long blocks to the system when they are freed; left alone, it learns to
    keep them.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LONG_BLOCK)


def _open_files(wanted: int) -> None:
    """Raise the limit of open files to what the connections may take, as far as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        err.print(
            f"note: at most {allowed} files may be open here, and the plan's service.connections "
            f"may need {wanted}; raise the limit (ulimit -n) or lower service.connections",
            markup=False, highlight=False,
        )  # fmt: skip
