"""The desk: takes tickets for requests that found no deployment, shows them, takes them back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.domain.chat import ChatRequest
from service.domain.clock import Clock, new_id
from service.domain.errors import HeadgateError, InvalidRequest, NoDeployment, UpstreamExhausted
from service.domain.hashing import keyed_hash
from service.domain.records import Key
from service.domain.tickets import Counts, NewTicket, State, Ticket
from service.outbound import Outbound, OutboundRefused
from service.queueing import view
from service.queueing.gate import Gate
from service.queueing.pace import Pace
from service.storage.queue import QueueStore
from service.storage.queue_views import ahead, listed, ready_s
from service.storage.store_thread import StoreThread

NOBODY = (NoDeployment, UpstreamExhausted)  # what a ticket is given for
LEAST_S = 0.5  # a ticket with less time left than this is no use to anybody
LISTED = 200


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request as it came: what a ticket is made of."""

    request: ChatRequest
    key: Key
    body: bytes
    session: str
    idempotency: str
    at_s: float


@dataclass(frozen=True, slots=True)
class DeskParts:
    """What the desk stands on."""

    store: QueueStore
    thread: StoreThread
    gate: Gate
    pace: Pace
    outbound: Outbound
    clock: Clock
    secret: bytes


class Desk:
    """All that the routes may ask of the queue. ``longest_s``: the greatest deadline."""

    def __init__(self, parts: DeskParts, longest_s: float) -> None:
        self._parts = parts
        self._store, self._do = parts.store, parts.thread.do
        self._longest_s = longest_s
        self.cancel: Callable[[str], None] = lambda ticket_id: None

    @property
    def counts(self) -> Counts:
        """How many tickets stand where."""
        return self._store.counts

    # callers ----------------------------------------------------------------------------------

    async def before(self, arrival: Arrival) -> Ticket | None:
        """The ticket that the same Idempotency-Key got before; raises what cannot be queued."""
        webhook = arrival.request.options.webhook
        if webhook is not None:
            try:
                self._parts.outbound.check(webhook)
            except OutboundRefused as refusal:
                raise InvalidRequest(
                    f"headgate.webhook {refusal}", param="headgate.webhook", code="invalid_option"
                ) from None
        if not arrival.idempotency:
            return None
        return await self._do(self._store.known, arrival.key.id, *self._marks(arrival))

    async def take(self, arrival: Arrival, error: HeadgateError) -> Ticket:
        """A ticket, durable; or the error itself where no time is left to wait."""
        if not error.willed:
            self._parts.gate.callers_refused(error.retry_after_s)
        options = arrival.request.options
        whole_s = min(options.deadline_s or self._longest_s, self._longest_s)
        left_s = whole_s - (self._parts.clock.monotonic_s() - arrival.at_s)
        if left_s < LEAST_S:
            raise error
        idempotency, digest = self._marks(arrival)
        tenant = arrival.key.tenant
        new = NewTicket(
            new_id(), arrival.key.id, tenant, arrival.body, arrival.session,
            options.webhook or "", idempotency, digest, left_s,
        )  # fmt: skip
        return await self._do(self._store.put, new)

    def _marks(self, arrival: Arrival) -> tuple[str, str]:
        secret, given = self._parts.secret, arrival.idempotency
        mark = keyed_hash(secret, "idempotency", arrival.key.id, given) if given else ""
        return mark, keyed_hash(secret, "queued", arrival.body)

    async def find(self, ticket_id: str) -> Ticket | None:
        """A ticket by its id."""
        return await self._do(self._store.find, ticket_id)

    async def shown(self, ticket: Ticket) -> dict[str, Any]:
        """A ticket as its owner sees it, with its eta."""
        eta_s = None
        if ticket.state in (State.WAITING, State.RUNNING):
            eta_s = await self.eta_s(ticket)
        return view.ticket(ticket, self._parts.clock, eta_s)

    async def eta_s(self, ticket: Ticket) -> float:
        """Seconds until its answer, by the line before it, the pace, who may be tried, and what it
        waits for itself: a budget's period that is to end.
        """
        db, clock = self._store.connection, self._parts.clock
        before, due_s = await self._do(ahead, db, ticket.id), await self._do(ready_s, db, ticket.id)
        wait_s = max(self._parts.gate.wait_s(), due_s - clock.monotonic_s())
        return self._parts.pace.eta_s(before, wait_s)

    async def fetched(self, ticket: Ticket) -> None:
        """Its answer was given out."""
        await self._do(self._store.fetched, ticket.id)

    async def remove(self, ticket_id: str) -> bool:
        """Erase a ticket; a try under way is called off."""
        gone = await self._do(self._store.remove, ticket_id)
        self.cancel(ticket_id)
        return gone

    # operators --------------------------------------------------------------------------------

    async def overview(self) -> dict[str, Any]:
        """Counts, the oldest, the eta of one more ticket, the unanswered and the dead."""
        counts, db = await self._do(self._store.recount), self._store.connection
        unanswered = await self._do(listed, db, (State.WAITING, State.RUNNING), LISTED)
        dead = await self._do(listed, db, (State.DEAD, State.EXPIRED), LISTED)
        wait_s = self._parts.gate.wait_s()
        return {
            "enabled": True,
            "waiting": counts.waiting,
            "running": counts.running,
            "done": counts.done,
            "dead": counts.dead,
            "expired": counts.expired,
            "oldest_s": counts.oldest_s,
            "probing": not self._parts.gate.open,
            "next_try_in_s": wait_s,
            "seconds_a_ticket": self._parts.pace.each_s,
            "eta_s": self._parts.pace.eta_s(counts.unanswered, wait_s),
            "tickets": [view.entry(each, self._parts.clock) for each in unanswered],
            "dead_letters": [view.entry(each, self._parts.clock) for each in dead],
        }

    def entry(self, ticket: Ticket) -> dict[str, Any]:
        """A ticket as operators see it."""
        return view.entry(ticket, self._parts.clock)

    async def retry(self, ticket_id: str) -> bool:
        """Let a dead ticket wait again."""
        return await self._do(self._store.retry, ticket_id)
