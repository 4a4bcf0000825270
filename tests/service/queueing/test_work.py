"""Workers hold a ticket by its lease: a lost one is dropped, a cancelled one called off."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from service.domain.chat import ChatRequest, parse
from service.domain.clock import SystemClock, new_id
from service.domain.errors import CapabilityMissing, HeadgateError, UpstreamExhausted
from service.domain.records import Key
from service.domain.tickets import NewTicket, State, Ticket
from service.providers.base import Answer
from service.queueing.gate import Gate, Signals
from service.queueing.pace import Pace
from service.queueing.work import Way, Workers, WorkParts, whole
from service.routing.dispatch import Served
from service.storage.queue import QueueRules, QueueStore
from service.storage.store_thread import StoreThread
from tests.service.routing.world import World

BODY = (b'{"model": "auto", "stream": true, "stream_options": {"include_usage": true}, '
        b'"messages": [{"role": "user", "content": "x"}], '
        b'"headgate": {"queue": true, "deadline_s": 900}}')  # fmt: skip
OWNER = Key("owner", 0, "owner", "caller", "", "", "digest")
Complete = Callable[[Any, ChatRequest], Awaitable[tuple[Answer, Served]]]


class Floor:
    """Workers over a real store and a real router; what a call does is a test's."""

    def __init__(self, state: Path, complete: Complete, lease_s: float = 30.0) -> None:
        self.clock = SystemClock()
        self.world = World()
        rules = QueueRules(tries=2, lease_s=lease_s)
        self.store, self.thread = QueueStore(state, rules, self.clock), StoreThread()
        signals = Signals(lambda: 0, lambda: float("-inf"), lambda: 0.0)
        self.gate = Gate(4, signals, self.clock, random.Random(1))
        self.keys = {OWNER.id: OWNER}

        async def ask(request: ChatRequest, key: Key, session: str) -> Any:
            decision = self.world.router.decide(request, key, session)
            return decision, *await complete(decision, request)

        way = Way(ask, self.keys.get)
        self.workers = Workers(
            WorkParts(self.store, self.thread, self.gate, Pace(self.clock, 4), way, self.clock,
                      random.Random(2), lease_s)
        )  # fmt: skip

    async def put(self) -> Ticket:
        new = NewTicket(new_id(), OWNER.id, "", BODY, "", "", "", "d", 900.0)
        return await self.thread.do(self.store.put, new)

    async def state(self, ticket: Ticket) -> Ticket:
        found = await self.thread.do(self.store.find, ticket.id)
        assert found is not None
        return found

    async def until(self, ticket: Ticket, state: State) -> Ticket:
        async with asyncio.timeout(10):
            while (found := await self.state(ticket)).state is not state:
                await asyncio.sleep(0.01)
        return found

    async def end(self) -> None:
        await self.workers.stop()
        self.thread.close(self.store.close)


@pytest.fixture
async def floors(tmp_path: Path) -> AsyncIterator[Callable[..., Floor]]:
    made: list[Floor] = []

    def make(complete: Complete, **more: Any) -> Floor:
        made.append(Floor(tmp_path, complete, **more))
        return made[-1]

    yield make
    for floor in made:
        await floor.end()


async def hang(decision: Any, request: ChatRequest) -> tuple[Answer, Served]:
    await asyncio.sleep(20)
    raise AssertionError("nobody ended it")


def failing(error: Exception) -> Complete:
    async def fail(decision: Any, request: ChatRequest) -> tuple[Answer, Served]:
        raise error

    return fail


async def test_a_stop_gives_tickets_back_without_a_try(floors: Callable[..., Floor]) -> None:
    floor = floors(hang)
    floor.gate.answered()
    tickets = [await floor.put() for _ in range(6)]
    await floor.workers.turn()
    assert floor.workers.running == 4, "no more than the workers"
    await floor.workers.stop()
    for ticket in tickets:
        found = await floor.state(ticket)
        assert (found.state, found.tries) == (State.WAITING, 0)


async def test_one_probe_while_nothing_answers(floors: Callable[..., Floor]) -> None:
    floor = floors(hang)
    for _ in range(3):
        await floor.put()
    await floor.workers.turn()
    assert floor.workers.running == 1


async def test_an_outage_costs_no_try_but_a_failure_beside_answers_does(
    floors: Callable[..., Floor],
) -> None:
    floor = floors(failing(UpstreamExhausted("all are down", retry_after_s=50.0)))
    ticket = await floor.put()
    await floor.workers.turn()
    found = await floor.until(ticket, State.WAITING)
    assert found.tries == 0 and found.code == "upstream_unavailable"
    assert floor.gate.wait_s() > 49.0 and await floor.thread.do(floor.store.claim) is None
    floor.gate.answered()
    other = await floor.put()
    await floor.workers.turn()
    assert (await floor.until(other, State.WAITING)).tries == 1


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (CapabilityMissing("too long for all"), State.DEAD, "capability_missing"),
        (HeadgateError("odd"), State.WAITING, "internal_error"),
        (ValueError("odder"), State.WAITING, "internal_error"),
    ],
)
async def test_a_request_at_fault_dies_at_once_and_a_fault_of_ours_is_tried_again(
    floors: Callable[..., Floor], error: Exception, state: State, code: str
) -> None:
    floor = floors(failing(error))
    ticket = await floor.put()
    await floor.workers.turn()
    found = await floor.until(ticket, state)
    assert found.code == code and found.tries == 1 and "odder" not in found.reason


async def test_a_revoked_key_kills_its_tickets(floors: Callable[..., Floor]) -> None:
    floor = floors(hang)
    ticket = await floor.put()
    floor.keys.clear()
    await floor.workers.turn()
    assert (await floor.until(ticket, State.DEAD)).code == "key_revoked"


async def test_a_cancelled_ticket_is_called_off(floors: Callable[..., Floor]) -> None:
    floor = floors(hang)
    ticket = await floor.put()
    await floor.workers.turn()
    await floor.until(ticket, State.RUNNING)
    assert await floor.thread.do(floor.store.remove, ticket.id)
    floor.workers.cancel(ticket.id)
    async with asyncio.timeout(10):
        while floor.workers.running:
            await asyncio.sleep(0.01)
    assert await floor.thread.do(floor.store.find, ticket.id) is None


async def test_a_long_call_keeps_its_lease_and_a_lost_lease_ends_the_call(
    floors: Callable[..., Floor],
) -> None:
    floor = floors(hang, lease_s=0.3)
    ticket = await floor.put()
    await floor.workers.turn()
    for _ in range(10):
        await asyncio.sleep(0.05)
        await floor.thread.do(floor.store.sweep)
        found = await floor.state(ticket)
        assert (found.state, found.tries) == (State.RUNNING, 1)
    await floor.thread.do(floor.store.remove, ticket.id)
    async with asyncio.timeout(10):
        while floor.workers.running:
            await asyncio.sleep(0.01)


def test_a_stream_is_answered_in_one_piece() -> None:
    request = whole(parse(BODY))
    sent = request.for_upstream("m")
    assert not request.stream and b"stream" not in sent and b"headgate" not in sent
    assert request.options.deadline_s is None and request.options.queue
