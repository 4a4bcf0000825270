"""The workers: tickets sent on the same way as live requests, probing while an outage lasts."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import msgspec

from service.domain.chat import ChatRequest, parse
from service.domain.clock import Clock
from service.domain.errors import HeadgateError, NoDeployment, UpstreamExhausted
from service.domain.records import Decision, Key, Mode
from service.domain.tickets import Claim
from service.providers.base import Answer
from service.queueing.gate import Gate, backoff_s
from service.queueing.pace import Pace
from service.routing.dispatch import Served
from service.storage.queue import QueueStore
from service.storage.store_thread import StoreThread

log = logging.getLogger("headgate.queue")

FIRST_S, MOST_S = 2.0, 300.0
WRITES = 3  # how often an answer that could not be written is offered again
WRITE_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Way:
    """The way of a live request: given a kept answer, or decided, recorded and sent."""

    ask: Callable[[ChatRequest, Key, str], Awaitable[tuple[Decision, Answer, Served]]]
    key: Callable[[str], Key | None]


@dataclass(frozen=True, slots=True)
class WorkParts:
    """What the workers stand on."""

    store: QueueStore
    thread: StoreThread
    gate: Gate
    pace: Pace
    way: Way
    clock: Clock
    chance: random.Random
    lease_s: float


class Workers:
    """Tasks that hold one ticket each. ``turn`` starts as many as the gate lets through."""

    def __init__(self, parts: WorkParts) -> None:
        self._parts = parts
        self._store, self._do = parts.store, parts.thread.do
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._claiming = asyncio.Lock()
        self._stopping = False

    @property
    def running(self) -> int:
        """Tickets being tried now."""
        return len(self._tasks)

    async def turn(self) -> None:
        """Claim and start what may be started now."""
        async with self._claiming:
            while (
                not self._stopping
                and self._store.counts.waiting
                and self._parts.gate.may_start(len(self._tasks))
            ):
                claim = await self._do(self._store.claim)
                if claim is None:
                    break
                self._parts.pace.working()
                task = asyncio.create_task(self._hold(claim))
                self._tasks[claim.id] = task
                task.add_done_callback(partial(self._forget, claim.id))
        if not self._tasks:
            self._parts.pace.idle()

    def cancel(self, ticket_id: str) -> None:
        """Call a try off."""
        task = self._tasks.get(ticket_id)
        if task is not None:
            task.cancel()

    async def stop(self) -> None:
        """Call all tries off; their tickets wait for the next start, no try counted."""
        self._stopping = True
        async with self._claiming:
            await asyncio.sleep(0)  # a task that is called off before it began gives nothing back
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, ticket_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(ticket_id) is task:
            del self._tasks[ticket_id]

    async def _hold(self, claim: Claim) -> None:
        """Try a ticket while its lease is renewed; then let the next one come."""
        owner = asyncio.current_task()
        assert owner is not None
        beat = asyncio.create_task(self._renew(claim, owner))
        try:
            await self._try(claim)
        except asyncio.CancelledError:
            with suppress(HeadgateError):
                await self._do(self._store.release, claim, 0.0, False)
            raise
        except HeadgateError as error:  # storage: the lease will run out and it is tried again
            log.error("ticket %s could not be given back: %s", claim.id, error.message)
        finally:
            beat.cancel()
            self._forget(claim.id, owner)
        with suppress(HeadgateError):
            await self.turn()

    async def _renew(self, claim: Claim, owner: asyncio.Task[None]) -> None:
        while True:
            await asyncio.sleep(self._parts.lease_s / 3.0)
            with suppress(HeadgateError):
                if not await self._do(self._store.renew, claim):
                    owner.cancel()
                    return

    async def _try(self, claim: Claim) -> None:
        counted = self._parts.gate.open
        key = self._parts.way.key(claim.key_id)
        if key is None:
            await self._do(self._store.bury, claim, "key_revoked", "its key is no longer known")
            return
        try:
            request = whole(parse(claim.body))
            decision, answer, served = await self._parts.way.ask(request, key, claim.session)
        except (NoDeployment, UpstreamExhausted) as error:
            if not error.willed:
                self._parts.gate.refused(error.retry_after_s)
            await self._back(claim, error, counted and not error.willed)
        except HeadgateError as error:
            if error.retry_after_s is not None:  # it passes by itself; the deadline bounds it
                await self._back(claim, error, False)
            elif error.status < 500:
                await self._do(self._store.bury, claim, error.code, error.message)
            else:
                await self._back(claim, error, True)
        except Exception:
            log.exception("ticket %s failed", claim.id)
            await self._back(claim, HeadgateError("something went wrong here"), True)
        else:
            if served.mode is not Mode.CACHE:  # what is given again tells of no deployment
                self._parts.gate.answered()
            self._parts.pace.completed()
            await self._keep(claim, decision, answer, served)

    async def _keep(self, claim: Claim, decision: Decision, answer: Answer, served: Served) -> None:
        detail = json.dumps(how(decision, served))
        for turn in range(1, WRITES + 1):
            try:
                kept = await self._do(
                    self._store.complete, claim, decision.id, bytes(answer.body), detail
                )
            except HeadgateError:
                if turn == WRITES:
                    raise
                await asyncio.sleep(WRITE_AGAIN_S)
            else:
                if not kept:
                    log.warning("an answer to ticket %s came after its lease and is dropped",
                                claim.id)  # fmt: skip
                return

    async def _back(self, claim: Claim, error: HeadgateError, counted: bool) -> None:
        turns = max(claim.tries - 1, 0)
        wait_s = backoff_s(turns, FIRST_S, MOST_S, self._parts.chance)
        if error.retry_after_s:
            wait_s = max(wait_s, error.retry_after_s)
        await self._do(self._store.release, claim, wait_s, counted, error.code, error.message)


def whole(request: ChatRequest) -> ChatRequest:
    """The request for an answer in one piece, its own patience spent on the queue."""
    fields = {k: v for k, v in request.fields.items() if k not in ("stream", "stream_options")}
    options = msgspec.structs.replace(request.options, deadline_s=None)
    return replace(request, fields=fields, stream=False, wants_usage=False, options=options)


def how(decision: Decision, served: Served) -> dict[str, object]:
    """How a ticket was served: what a live answer tells in its headers."""
    return {
        "decision_id": decision.id,
        "deployment": served.deployment.name,
        "provider": served.deployment.provider,
        "mode": served.mode.value,
        "reason": decision.reason,
        "task": decision.task,
        "policy": f"{decision.policy.name}@{decision.policy.update_seq}",
        "attempts": served.attempts,
        "fallback_from": served.fallback_from or None,
        "cost_usd": served.usage.cost_micro_usd / 1e6,
        "cache": served.cache,
    }
