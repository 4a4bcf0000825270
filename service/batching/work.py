"""The workers of batches: requests tried on the way of live ones, each to exactly one result."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from service.batching import lines
from service.batching.schedule import NEVER, Pick, Rules, Schedule, latest
from service.batching.slack import Durations
from service.domain.batches import Batch, BatchLine, BatchState, Standing, Taken
from service.domain.chat import ChatRequest
from service.domain.clock import Clock, new_id
from service.domain.errors import HeadgateError, PermissionDenied
from service.domain.parcels import Posting
from service.domain.records import Key, Usage
from service.storage.batch_store import BatchStore
from service.storage.store_thread import StoreThread

log = logging.getLogger("headgate.batches")

FIRST_S, MOST_S = 2.0, 300.0
WRITE_AGAIN_S = 1.0
ENDING_S = 5.0  # for results that are being written when all is called off
AT_A_TIME = 100  # results told in one go
NOTHING = Usage(0, 0, 0, 0)


def file_id() -> str:
    """The id of a new file."""
    return "file-" + new_id().replace("-", "")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. ``told``: what a live answer tells in its headers."""

    body: bytes
    decision_id: str
    deployment: str
    usage: Usage
    told: Mapping[str, Any]


class Allowance(Protocol):
    """What a key may take in a minute, shared with its live requests."""

    def wait_s(self, key_id: str, tokens: int) -> float:
        """Seconds until there is room; 0 where there is some now."""

    def book(self, key_id: str, tokens: int) -> Callable[[Usage], None]:
        """Take it; the result corrects it by what was used."""


@dataclass(frozen=True, slots=True)
class Way:
    """The way of a live request. ``read``: a body to a request of an endpoint; ``ask``: its answer,
    with a decision of its own, or who is to give it in a batch where the time that is left for
    that (seconds) is enough; ``calm``: whether the gateway has room beside live traffic.
    """

    read: Callable[[str, bytes], tuple[ChatRequest, int]]
    ask: Callable[[str, bytes, Key, float], Awaitable[Reply | Posting]]
    key: Callable[[str], Key | None]
    allowance: Allowance
    calm: Callable[[], bool]


class Post(Protocol):
    """Takes requests that go to a provider's batch."""

    async def post(self, taken: Taken, hours: str, posting: Posting) -> None:
        """One more; it is durable then, and no longer tried here."""


async def _at_once() -> None:
    """There is nothing to wait for."""


@dataclass(frozen=True, slots=True)
class WorkParts:
    """What the workers stand on. ``record``: where each result is logged and counted;
    ``durable``: until what was logged before is so.
    """

    store: BatchStore
    thread: StoreThread
    way: Way
    rules: Callable[[], Rules]
    record: Callable[[BatchLine], object]
    clock: Clock
    chance: random.Random
    durations: Durations = field(default_factory=lambda: Durations(20.0))
    durable: Callable[[], Awaitable[object]] = _at_once


class Workers:
    """Tasks that try one request each. ``turn`` ends what is over and starts what may start."""

    def __init__(self, parts: WorkParts) -> None:
        self._parts = parts
        self._store, self._do = parts.store, parts.thread.do
        self._schedule = Schedule()
        self._tasks: dict[asyncio.Task[None], str] = {}  # to their batches
        self._ending: set[asyncio.Task[Any] | None] = set()  # of these: who have their result
        self._by_key: dict[str, int] = {}
        self._turning = asyncio.Lock()
        self._stopping = False
        self.forward: Post | None = None  # None: nothing goes to a provider's batch

    @property
    def running(self) -> int:
        """Requests that are being tried."""
        return len(self._tasks)

    @property
    def each_s(self) -> float:
        """How long a request takes at most, as far as it is learned."""
        return self._parts.durations.most_s

    @property
    def standings(self) -> list[Standing]:
        """The batches under way."""
        return list(self._store.standings.values())

    def trying(self, batch_id: str) -> int:
        """How many requests of a batch are being tried."""
        return sum(each == batch_id for each in self._tasks.values())

    def latest_us(self, batch_id: str) -> int | None:
        """By when a batch's requests must be begun, one by one; None where it has ended."""
        return latest(self.standings, self._parts.rules(), self.each_s).get(batch_id)

    def _slack_s(self, taken: Taken) -> float:
        """How long a request may be away with a provider and still be in time alone."""
        if self.forward is None or taken.alone:
            return 0.0
        start_us = self.latest_us(taken.batch_id)
        return 0.0 if start_us is None else (start_us - self._parts.clock.wall_us()) / 1e6

    async def turn(self) -> None:
        """End what is over, start what may start."""
        async with self._turning:
            if self._stopping:
                return
            await self._end()
            passed: set[str] = set()
            rules = self._parts.rules()
            while not self._stopping and len(self._tasks) < rules.most_at_once:
                if not self._parts.way.calm():
                    return
                pick = self._pick(rules, passed)
                if pick is None:
                    return
                now_us = self._parts.clock.wall_us()
                taken = await self._do(self._store.take, pick.batch.id, now_us)
                if taken is None:
                    passed.add(pick.batch.id)
                    continue
                self._start(taken, pick)

    def _pick(self, rules: Rules, passed: set[str]) -> Pick | None:
        def room(each: Standing) -> bool:
            key_id = each.batch.owner.key_id
            if each.batch.id in passed or self._by_key.get(key_id, 0) >= rules.most_per_key:
                return False
            return not self._parts.way.allowance.wait_s(key_id, int(each.batch.cost))

        now = self._parts.clock.wall_us(), self._parts.durations.most_s
        return self._schedule.pick(self.standings, rules, now, room)

    def _start(self, taken: Taken, pick: Pick) -> None:
        key_id = pick.batch.owner.key_id
        self._by_key[key_id] = self._by_key.get(key_id, 0) + 1
        task = asyncio.create_task(self._hold(taken, pick))
        self._tasks[task] = taken.batch_id
        task.add_done_callback(partial(self._forget, key_id))

    def _forget(self, key_id: str, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if self._tasks.pop(task, None) is not None:
            self._by_key[key_id] -= 1
            if not self._by_key[key_id]:
                del self._by_key[key_id]

    async def _end(self) -> None:
        """Batches that are over by time or by their owner's word, or have all their results."""
        now_us = self._parts.clock.wall_us()
        for each in self.standings:
            result = self._over(each.batch, now_us)
            if result:
                await self._give_up(each, result)
            if not each.left:
                await self._close(each.batch)

    def _over(self, batch: Batch, now_us: int) -> str:
        """Why no request of it is tried any more; empty where they are."""
        if batch.state is BatchState.CANCELLING:
            return "cancelled"
        return "expired" if now_us >= batch.deadline_us else ""

    async def _give_up(self, standing: Standing, result: str) -> None:
        await asyncio.sleep(0)  # one that is called off before it began gives nothing back
        for task, batch_id in list(self._tasks.items()):
            if batch_id == standing.batch.id and task not in self._ending:
                task.cancel()
        if not standing.waiting:
            return
        batch = standing.batch

        def line(number: int, name: str) -> bytes:
            return lines.unanswered(number, name, result)

        numbers = await self._do(self._store.give_up, batch.id, result, line)
        for place, number in enumerate(numbers, 1):
            if place % AT_A_TIME == 0:  # live requests come between
                await asyncio.sleep(0)
            self._record(batch, number, (NEVER, 0), result, f"batch_{result}")

    async def _close(self, batch: Batch) -> None:
        now_us = self._parts.clock.wall_us()
        times = now_us, now_us + int(self._parts.rules().keep_s * 1e6)
        ended = await self._do(self._store.close_batch, batch.id, times, (file_id(), file_id()))
        log.info("batch %s is %s", batch.id, ended.state.value)

    # one request ------------------------------------------------------------------------------

    async def _hold(self, taken: Taken, pick: Pick) -> None:
        """Try a request, to its result or until it waits again; then let the next one come."""
        try:
            await self._try(taken, pick)
        except asyncio.CancelledError:
            await self._called_off(taken, pick)
            if self._stopping:
                raise
        except HeadgateError as error:
            log.error("a request of batch %s has no result yet: %s", taken.batch_id, error.message)
        if not self._stopping:
            asyncio.get_running_loop().call_soon(self._again)

    def _again(self) -> None:
        if not self._stopping and not self._turning.locked():
            task = asyncio.create_task(self.turn())
            task.add_done_callback(_told)

    async def _called_off(self, taken: Taken, pick: Pick) -> None:
        standing = self._store.standings.get(taken.batch_id)
        batch = pick.batch if standing is None else standing.batch
        result = self._over(batch, self._parts.clock.wall_us())
        if not result:  # a stop: it waits for the next start, no try counted
            await self._do(self._store.release, taken, 0, False)
            return
        line = lines.unanswered(taken.number, taken.custom_id, result)
        if await self._do(self._store.finish, taken, line, result):
            self._record(batch, taken.number, (pick.hours, taken.tries + 1), result,
                         f"batch_{result}")  # fmt: skip

    async def _try(self, taken: Taken, pick: Pick) -> None:
        way, batch, clock = self._parts.way, pick.batch, self._parts.clock
        began_s = clock.monotonic_s()
        try:
            key = way.key(batch.owner.key_id)
            if key is None:
                raise PermissionDenied("the batch's key is no longer known", code="key_revoked")
            _, tokens = way.read(batch.endpoint, taken.body)
            wait_s = way.allowance.wait_s(key.id, tokens)
            if wait_s:
                await self._back(taken, wait_s, False)
                return
            settle = way.allowance.book(key.id, tokens)
            reply = await way.ask(batch.endpoint, taken.body, key, self._slack_s(taken))
            if isinstance(reply, Posting):
                assert self.forward is not None  # else there was no slack
                await self.forward.post(taken, pick.hours, reply)
                return
            settle(reply.usage)
        except HeadgateError as error:
            await self._failed(taken, pick, error)
            return
        except Exception:
            log.exception("a request of batch %s failed", batch.id)
            await self._failed(taken, pick, HeadgateError("something went wrong here"))
            return
        self._parts.durations.took(clock.monotonic_s() - began_s)
        line = lines.answered(taken.number, taken.custom_id, reply.body, reply.told)
        self._record(batch, taken.number, (pick.hours, taken.tries + 1), "completed", "", reply)
        await self._result(taken, line, "completed")

    async def _result(self, taken: Taken, line: bytes, result: str) -> None:
        """Give it to its owner once it is in the log for good, with its call and its price: after a
        kill between the two it is asked again, but nothing is answered that was never paid.
        """
        self._ending.add(asyncio.current_task())
        try:
            await self._parts.durable()
        except HeadgateError as error:
            log.error("a result of batch %s is not in the log yet: %s", taken.batch_id,
                      error.message)  # fmt: skip
        await self._kept(taken, line, result)

    async def _kept(self, taken: Taken, line: bytes, result: str) -> bool:
        """Write a result; what cannot be written now is offered again."""
        while True:
            try:
                return await self._do(self._store.finish, taken, line, result)
            except HeadgateError as error:
                log.error("a result of batch %s: %s", taken.batch_id, error.message)
                await asyncio.sleep(WRITE_AGAIN_S)

    async def _failed(self, taken: Taken, pick: Pick, error: HeadgateError) -> None:
        """It waits and is tried again where that may help; else this is its result."""
        counted = error.retry_after_s is None and not error.willed and error.status >= 500
        passes = error.retry_after_s is not None or error.willed
        if passes or (counted and taken.tries + 1 < self._parts.rules().tries):
            wait_s = min(FIRST_S * 2.0 ** min(taken.tries, 20), MOST_S)
            wait_s *= self._parts.chance.uniform(0.5, 1.0)
            await self._back(taken, max(wait_s, error.retry_after_s or 0.0), counted)
            return
        line = lines.refused(taken.number, taken.custom_id, error)
        told = pick.hours, taken.tries + 1
        self._record(pick.batch, taken.number, told, "failed", error.code)
        await self._result(taken, line, "failed")

    async def _back(self, taken: Taken, wait_s: float, counted: bool) -> None:
        ready_us = self._parts.clock.wall_us() + int(wait_s * 1e6)
        await self._do(self._store.release, taken, ready_us, counted)

    def _record(
        self, batch: Batch, number: int, how: tuple[str, int], result: str, code: str,
        reply: Reply | None = None,
    ) -> None:  # fmt: skip
        usage = NOTHING if reply is None else reply.usage
        self._parts.record(
            BatchLine(
                batch.id, number, self._parts.clock.wall_us(), batch.owner.key_id,
                batch.owner.tenant, batch.endpoint, reply.decision_id if reply else None,
                reply.deployment if reply else "", "sync", how[0], result, code, how[1],
                usage.tokens_in, usage.tokens_out, usage.cost_micro_usd, usage.cost_micro_usd,
            )
        )  # fmt: skip

    async def stop(self) -> None:
        """Call all off; what was being tried waits for the next start."""
        self._stopping = True
        async with self._turning:
            await asyncio.sleep(0)
        tasks = list(self._tasks)
        for task in tasks:
            if task not in self._ending:
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=ENDING_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _told(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a turn of the batches failed: %s", error)
