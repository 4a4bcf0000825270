"""A store's thread: it is called there, one call at a time, never on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class StoreThread:
    """One thread; a call that is abandoned still ends, so what it wrote is whole."""

    def __init__(self, name: str = "headgate-queue") -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def do(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a call, made in the thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(call, *args, **kwargs))

    def close(self, last: Callable[[], None]) -> None:
        """End after what was asked for, with one last call."""
        self._thread.submit(last).result(timeout=30)
        self._thread.shutdown()
