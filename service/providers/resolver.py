"""Names to addresses: bounded in time, in threads of their own, kept when DNS fails."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

RESOLVE_S = 3.0
THREADS = 16
Lookup = Callable[[str, int, int], Awaitable[list[ResolveResult]]]


class Resolver(AbstractResolver):
    """One look-up a name at a time; the last addresses that were found serve while DNS is down.

    The system's resolver blocks a thread for as long as it likes. Its threads are our own here, so
    that slow names hold up nothing else, and a name that hangs holds one of them.
    """

    def __init__(self, lookup: Lookup | None = None, bound_s: float = RESOLVE_S) -> None:
        self._lookup = lookup or self._system
        self._bound_s = bound_s
        self._pool: ThreadPoolExecutor | None = None
        self._last: dict[tuple[str, int, int], list[ResolveResult]] = {}
        self._under_way: dict[tuple[str, int, int], asyncio.Task[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host; raises OSError."""
        key = (host, port, int(family))
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.ensure_future(self._ask(key))
            task.add_done_callback(lambda done: self._done(key, done))
        try:
            async with asyncio.timeout(self._bound_s):
                return await asyncio.shield(task)
        except OSError:  # a timeout is one, too
            if key in self._last:
                return self._last[key]
            raise OSError(None, "the name could not be resolved") from None

    async def close(self) -> None:
        """Ask nothing more."""
        for task in list(self._under_way.values()):
            task.cancel()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, key: tuple[str, int, int]) -> list[ResolveResult]:
        return await self._lookup(*key)

    def _done(self, key: tuple[str, int, int], task: asyncio.Task[list[ResolveResult]]) -> None:
        del self._under_way[key]
        if not task.cancelled() and task.exception() is None and task.result():
            self._last[key] = task.result()

    async def _system(self, host: str, port: int, family: int) -> list[ResolveResult]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="names")
        found = await asyncio.get_running_loop().run_in_executor(
            self._pool, _look_up, host, port, family
        )
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
            if len(address) < 4 or not address[3]  # a link-local address cannot be called by name
        ]  # fmt: skip


def _look_up(
    host: str, port: int, family: int
) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    return socket.getaddrinfo(  # type: ignore[return-value]
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
