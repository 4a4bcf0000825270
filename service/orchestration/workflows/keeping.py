"""The journal of a run: its progress told, its results kept on disk where the run is to survive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, ParamSpec, TypeVar

import msgspec

from service.domain.errors import StorageUnavailable
from service.orchestration.workflows.asks import Entry
from service.storage.run_store import RunStore

P = ParamSpec("P")
T = TypeVar("T")
MOST_EVENTS = 5_000
_entry = msgspec.json.Decoder(Entry).decode


class Event(NamedTuple):
    """One thing that happened in a run; ``number`` from 1."""

    number: int
    name: str
    data: Mapping[str, Any]


class Shelf:
    """The store, called in a thread of its own, one call at a time."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="headgate-runs")

    async def do(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a call; raises StorageUnavailable."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, partial(call, *args, **kwargs))
        except OSError as error:
            raise StorageUnavailable(f"runs cannot be kept now: {error}") from None
        except RuntimeError:
            raise StorageUnavailable("runs cannot be kept now: the service stops") from None

    def close(self) -> None:
        """End after what was asked for."""
        self._thread.submit(self.store.close).result(timeout=30)
        self._thread.shutdown()


class Progress:
    """A journal that tells whoever follows; the results of an earlier try are known to it."""

    def __init__(self, before: Sequence[Entry] = ()) -> None:
        self._before = {each.path: each for each in before}
        self.events: list[Event] = []
        self.entries: list[Entry] = []
        self.over = False
        self._more = asyncio.Event()

    def kept(self, path: str) -> Entry | None:
        """A result of an earlier try."""
        return self._before.get(path)

    async def keep(self, entry: Entry) -> None:
        """A result of this one."""
        self.entries.append(entry)

    def tell(self, event: str, path: str, more: Mapping[str, Any]) -> None:
        """Something happened."""
        if len(self.events) < MOST_EVENTS:
            number = len(self.events) + 1
            self.events.append(Event(number, event, {"step": path, **more}))
        self._more.set()

    def end(self, event: str, data: Mapping[str, Any]) -> None:
        """The last thing."""
        self.events.append(Event(len(self.events) + 1, event, data))
        self.over = True
        self._more.set()

    async def after(self, number: int, patience_s: float) -> list[Event]:
        """What came after the event of a number, as soon as there is any; none after a while."""
        try:
            async with asyncio.timeout(patience_s):
                while len(self.events) <= number and not self.over:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            return []
        return self.events[number:]


class Durable(Progress):
    """Of a run that survives a stop: a result is on disk before anything follows from it."""

    def __init__(
        self, shelf: Shelf, run_id: str, used_s: Callable[[], float], before: Sequence[Entry] = ()
    ) -> None:
        super().__init__(before)
        self._shelf, self._run_id, self._used_s = shelf, run_id, used_s

    async def keep(self, entry: Entry) -> None:
        await super().keep(entry)
        body = msgspec.json.encode(entry)
        await self._shelf.do(
            self._shelf.store.keep, self._run_id, entry.path, body, self._used_s()
        )  # fmt: skip


def read_entries(rows: Sequence[bytes]) -> list[Entry]:
    """Results as they lie on disk."""
    return [_entry(each) for each in rows]
