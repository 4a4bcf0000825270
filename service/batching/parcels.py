"""Parcels on their way: gathered, submitted once, looked at until they end, taken back in time."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from service.batching.bill import Bill
from service.batching.parcel_times import Journey, Times
from service.batching.reading import request_of
from service.batching.work import Workers
from service.domain.batches import CHAT_ENDPOINT, Batch, Taken
from service.domain.catalog import BatchOffer, Deployment
from service.domain.clock import Clock, new_id
from service.domain.errors import HeadgateError
from service.domain.parcels import Entry, Parcel, ParcelState, Posted, Posting, Remote, RemoteLine
from service.domain.records import ErrorKind
from service.providers.base import ProviderFailure
from service.providers.batch_api import BatchAPI, input_line, lines_of
from service.routing.batched import Batched
from service.storage.batch_store import BatchStore
from service.storage.parcel_store import ParcelStore
from service.storage.store_thread import StoreThread

log = logging.getLogger("headgate.batches")

GATHER_S = 300.0  # how long a parcel waits for its last requests to be decided
MISSES = 2  # looks for a mark after which a submit counts as not taken
SOME = 200  # requests at a time
LEFT_S = 165_600.0  # how long what a parcel cost is waited for, from its making


@dataclass(frozen=True, slots=True)
class ParcelParts:
    """What parcels stand on. ``durable``: what was logged so far is so for good; ``lost``: which of
    these decisions a kill kept from the log.
    """

    store: ParcelStore
    batches: BatchStore
    thread: StoreThread
    workers: Workers
    api: BatchAPI
    calls: Batched
    bill: Bill
    allowed: Callable[[Posting, str], bool]
    durable: Callable[[], Awaitable[None]]
    lost: Callable[[Sequence[str]], Awaitable[set[str]]]
    clock: Clock
    chance: random.Random


class Parcels:
    """``turn`` moves each parcel that is due a step on, in a task of its own."""

    def __init__(self, parts: ParcelParts) -> None:
        self._parts = parts
        self._store, self._do = parts.store, parts.thread.do
        self._times = Times(
            parts.batches, parts.workers, parts.allowed, (parts.clock, parts.chance)
        )
        self._ways: dict[str, Journey] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._inherited = {each.mark for each in self._store.parcels.values()
                           if each.state is ParcelState.GATHERING}  # fmt: skip
        self._before = [each.posted.posting for mark in self._store.parcels
                        for each in self._store.entries(mark, 0, 1_000_000)]  # fmt: skip

    @property
    def parcels(self) -> list[Parcel]:
        """Those that are not over."""
        return list(self._store.parcels.values())

    def resume(self) -> None:
        """What an earlier process had reserved is so again."""
        for each in self._before:
            self._parts.calls.resume(each)
        self._before = []

    async def post(self, taken: Taken, hours: str, posting: Posting) -> None:
        """A request joins a parcel; it is durable then."""
        target = self._parts.calls.deployment(posting.deployment)
        offer = (target and target.batch) or BatchOffer()
        posted = Posted(taken.number, posting, hours, taken.tries + 1)
        new = Parcel(new_id(), taken.batch_id, posting.deployment, ParcelState.GATHERING,
                     self._parts.clock.wall_us())  # fmt: skip
        try:
            await self._do(
                self._store.post, taken, posted, new, (offer.most_requests, offer.most_bytes)
            )
        except BaseException:
            self._parts.calls.release(posting)
            raise

    async def turn(self) -> None:
        """Move those that are due."""
        now_us = self._parts.clock.wall_us()
        for mark in list(self._store.parcels):
            way = self._ways.setdefault(mark, Journey())
            if self._stopping or mark in self._tasks or now_us < way.due_us:
                continue
            task = asyncio.create_task(self._move(mark, way))
            self._tasks[mark] = task
            task.add_done_callback(partial(self._moved, mark))

    def _moved(self, mark: str, task: asyncio.Task[None]) -> None:
        del self._tasks[mark]
        if mark not in self._store.parcels:
            self._ways.pop(mark, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a parcel failed: %s", error, exc_info=error)

    async def settled(self) -> None:
        """When no parcel is being moved."""
        while self._tasks:
            await asyncio.gather(*list(self._tasks.values()), return_exceptions=True)

    async def stop(self) -> None:
        """Call off what is being done; it goes on at the next start."""
        self._stopping = True
        for task in list(self._tasks.values()):
            task.cancel()
        await self.settled()
        self._parts.calls.let_go()
        await self._parts.api.close()

    # one parcel -------------------------------------------------------------------------------

    async def _move(self, mark: str, way: Journey) -> None:
        """On, for as long as it comes to another state."""
        parcel = self._store.parcels[mark]
        try:
            while (following := await self._step(parcel, way)) is not None:
                parcel, way.looks = following, 0
        except (HeadgateError, ProviderFailure) as error:
            log.warning("a provider's batch of %s: %s", parcel.deployment, error)
            target = self._parts.calls.deployment(parcel.deployment)
            self._times.rest(way, (target and target.batch) or BatchOffer(), parcel)

    async def _step(self, parcel: Parcel, way: Journey) -> Parcel | None:
        target = self._parts.calls.deployment(parcel.deployment)
        if target is None or target.batch is None:
            await self._return(parcel, ErrorKind.CANCELLED)
            log.warning("%s offers no batches any more: its batch %s there is left to itself",
                        parcel.deployment, parcel.remote or "(none)")  # fmt: skip
            return None
        end = target.ends[min(parcel.endpoint, len(target.ends) - 1)]
        match parcel.state:
            case ParcelState.GATHERING:
                return await self._gather(parcel, target.batch, way)
            case ParcelState.SUBMITTING:
                return await self._submit_or_leave(parcel, end, target.batch, way)
            case _:
                return await self._look(parcel, end, target.batch, way)

    async def _gather(self, parcel: Parcel, offer: BatchOffer, way: Journey) -> Parcel | None:
        """Submit it when nobody else comes, where there still is the time for it."""
        standing, workers = self._parts.batches.standings.get(parcel.batch_id), self._parts.workers
        latest_us = workers.latest_us(parcel.batch_id)
        now_us = self._parts.clock.wall_us()
        if standing is None or latest_us is None:
            await self._return(parcel, ErrorKind.CANCELLED)
            return None
        whole = not standing.waiting and not workers.trying(parcel.batch_id)
        full = parcel.count >= offer.most_requests
        if not whole and not full and now_us < parcel.made_us + GATHER_S * 1e6:
            return None
        await self._drop_lost(parcel)
        entries = await self._entries(parcel)
        unwilled = [each for each in entries
                    if not self._parts.allowed(each.posted.posting, parcel.deployment)]  # fmt: skip
        if latest_us - now_us < offer.needs_s * 1e6 or len(unwilled) == len(entries):
            await self._return(parcel, ErrorKind.CANCELLED)
            return None
        if unwilled:
            await self._give_back(parcel, unwilled, ErrorKind.CANCELLED)
        await self._parts.durable()  # the decisions before what follows from them
        way.fresh = True
        return await self._keep(replace(parcel, state=ParcelState.SUBMITTING))

    async def _drop_lost(self, parcel: Parcel) -> None:
        """Of what an earlier process gathered, what a kill kept from the log is decided anew."""
        if parcel.mark not in self._inherited:
            return
        entries = await self._entries(parcel)
        lost = await self._parts.lost([each.posted.posting.decision_id for each in entries])
        gone = [each.posted for each in entries if each.posted.posting.decision_id in lost]
        await self._do(self._store.forget, parcel.mark, [each.number for each in gone])
        for each in gone:
            self._parts.calls.release(each.posting)
        self._inherited.discard(parcel.mark)

    async def _submit_or_leave(
        self, parcel: Parcel, end: Deployment, offer: BatchOffer, way: Journey
    ) -> Parcel | None:
        """Submit it; where nobody can tell in time whether it was taken, its requests go alone."""
        try:
            return await self._submit(parcel, end, offer, way)
        except ProviderFailure:
            sent = not way.fresh and self._times.why(parcel, offer, way)
            if not sent or not self._times.lost(parcel, offer, way):
                raise
            return await self._leave(replace(parcel, why=sent))

    async def _submit(
        self, parcel: Parcel, end: Deployment, offer: BatchOffer, way: Journey
    ) -> Parcel | None:
        """Once: whether the provider has it is asked before it is sent again."""
        if not way.fresh:
            found = await self._parts.api.find(end, parcel.mark)
            if found is not None:
                return await self._taken(parcel, found)
            way.misses += 1
            if way.misses < MISSES:
                self._times.rest(way, offer, parcel)
                return None
        batch = self._times.live(parcel)
        if batch is None or self._times.why(parcel, offer, way):
            await self._return(parcel, ErrorKind.CANCELLED)  # nobody has it
            return None
        way.misses = 0
        try:
            if not parcel.file:
                content = await self._content(parcel, batch, end)
                file = await self._parts.api.upload(end, content, f"{parcel.mark}.jsonl")
                parcel = await self._keep(replace(parcel, file=file))
            way.fresh = False  # from here on the provider may have it
            made = await self._parts.api.create(end, parcel.file, CHAT_ENDPOINT, parcel.mark)
        except ProviderFailure as failure:
            if _final(failure):
                log.warning("%s does not take a batch: %s", parcel.deployment, failure.kind)
                await self._return(parcel, failure.kind)
                return None
            raise
        return await self._taken(parcel, made)

    async def _taken(self, parcel: Parcel, remote: Remote) -> Parcel:
        return await self._keep(
            replace(parcel, state=ParcelState.SENT, remote=remote.id,
                    file=parcel.file or remote.file, sent_us=self._parts.clock.wall_us())
        )  # fmt: skip

    async def _content(self, parcel: Parcel, batch: Batch, end: Deployment) -> bytes:
        found = []
        for each in await self._entries(parcel):
            request = request_of(batch.endpoint, each.body).whole()
            body = request.for_deployment(end)
            found.append(input_line(each.posted.number, batch.endpoint, body))
        return b"".join(found)

    async def _look(
        self, parcel: Parcel, end: Deployment, offer: BatchOffer, way: Journey
    ) -> Parcel | None:
        """Take what it brought where it has ended; call it off where it should."""
        leaving = parcel.state is ParcelState.LEAVING
        if not way.whose:
            found = (each.posted.posting for each in await self._entries(parcel))
            way.whose = tuple({(each.caller, each.task): each for each in found}.values())
        why = parcel.why or self._times.why(parcel, offer, way)
        if why and not parcel.why:
            parcel = await self._keep(replace(parcel, why=why))
            log.info("a provider's batch of %s is called off: %s", parcel.deployment, why)
        try:
            remote = await self._seen(parcel, end)
            if remote is not None and remote.ended:
                await self._collect(parcel, end, remote)
                return None
            if remote is not None and why and remote.status != "cancelling":
                await self._parts.api.cancel(end, remote.id)
            if remote is None:  # a submit that was never heard of
                way.misses += 1
                if way.misses >= MISSES:
                    await self._return(parcel, ErrorKind.CANCELLED)
                    return None
        except ProviderFailure as failure:
            if failure.status == 404 and way.looks >= MISSES:  # gone, whatever became of it
                await self._return(parcel, ErrorKind.SERVER, sent=True)
                return None
            if not (why and self._times.lost(parcel, offer, way)):
                raise
        if not leaving and why and self._times.lost(parcel, offer, way):
            return await self._leave(parcel)
        if leaving and self._parts.clock.wall_us() > parcel.made_us + LEFT_S * 1e6:
            await self._return(parcel, ErrorKind.TIMEOUT, sent=True)
            return None
        self._times.rest(way, offer, parcel)
        return None

    async def _leave(self, parcel: Parcel) -> Parcel:
        """Its requests are tried alone from now on, whatever it still brings."""
        await self._do(self._store.taken_back, parcel.mark, None, True)
        return await self._keep(replace(parcel, state=ParcelState.LEAVING))

    async def _seen(self, parcel: Parcel, end: Deployment) -> Remote | None:
        if parcel.remote:
            return await self._parts.api.look(end, parcel.remote)
        return await self._parts.api.find(end, parcel.mark)

    async def _collect(self, parcel: Parcel, end: Deployment, remote: Remote) -> None:
        """Each request gets what the provider says of it; the others are tried alone."""
        found: dict[int, RemoteLine] = {}
        for file in (remote.output, remote.errors):
            if file:
                content = await self._parts.api.content(end, file)
                for each in await asyncio.to_thread(lambda data: list(lines_of(data)), content):
                    found.setdefault(each.number, each)
        leaving, after = parcel.state is ParcelState.LEAVING, 0
        batch = None if leaving else self._times.batch(parcel)
        while entries := await self._do(self._store.entries, parcel.mark, after, SOME):
            after = entries[-1].posted.number
            results = await self._parts.bill.came(parcel, batch, entries, found)
            if not leaving:
                await self._do(self._store.done, parcel.mark, results.lines)
                await self._do(self._store.taken_back, parcel.mark, results.others)
                self._parts.bill.written(parcel, entries)
        await self._do(self._store.over, parcel.mark)
        log.info("a provider's batch of %s is %s", parcel.deployment, remote.status)
        for file in (remote.output, remote.errors, parcel.file):
            if file:
                await self._forget(end, file)

    async def _forget(self, end: Deployment, file: str) -> None:
        """The provider need keep no texts any longer."""
        try:
            await self._parts.api.remove(end, file)
        except ProviderFailure as failure:
            log.warning("a file of a batch stays at %s: %s", end.name, failure)

    # taking back ------------------------------------------------------------------------------

    async def _return(self, parcel: Parcel, kind: ErrorKind, sent: bool = False) -> None:
        """Nothing comes of it: all its requests are tried alone."""
        called = parcel.state is not ParcelState.GATHERING
        await self._give_back(parcel, await self._entries(parcel), kind, called, sent)
        await self._do(self._store.over, parcel.mark)

    async def _give_back(
        self, parcel: Parcel, entries: list[Entry], kind: ErrorKind, called: bool = False,
        sent: bool = False,
    ) -> None:  # fmt: skip
        for at in range(0, len(entries), SOME):
            some = entries[at : at + SOME]
            numbers = await self._parts.bill.none(parcel, some, kind, called, sent)
            await self._do(self._store.taken_back, parcel.mark, numbers)
            self._parts.bill.written(parcel, some)

    async def _entries(self, parcel: Parcel) -> list[Entry]:
        return await self._do(self._store.entries, parcel.mark, 0, 1_000_000)

    async def _keep(self, parcel: Parcel) -> Parcel:
        await self._do(self._store.keep, parcel)
        return parcel


def _final(failure: ProviderFailure) -> bool:
    """Whether a submit was surely not taken, and will not be."""
    return 400 <= failure.status < 500 and failure.status not in (404, 408, 409, 425, 429)
