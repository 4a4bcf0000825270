"""Webhooks: an ended ticket told to its owner's address, signed, at least once, boundedly often."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import random
from dataclasses import dataclass

import msgspec

from service.domain.clock import Clock
from service.domain.tickets import Ticket
from service.outbound import Outbound, OutboundFailed, OutboundRefused, signature
from service.queueing import view
from service.queueing.gate import backoff_s
from service.storage.queue import QueueStore
from service.storage.store_thread import StoreThread

log = logging.getLogger("headgate.queue")

AT_ONCE = 4
CALLS = 10
FIRST_S, MOST_S = 10.0, 3_600.0
GONE = 410


def signing_secret(hash_key: bytes, key_id: str) -> str:
    """The secret that signs an API key's webhooks; without the hash key nobody can make it."""
    text = f"headgate webhook signing v1:{key_id}".encode()
    return "whsec_" + hmac.new(hash_key, text, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class HookParts:
    """What the webhooks stand on."""

    store: QueueStore
    thread: StoreThread
    outbound: Outbound
    clock: Clock
    chance: random.Random
    hash_key: bytes


class Webhooks:
    """What is due is in the store, so a crash forgets none; one may then come twice."""

    def __init__(self, parts: HookParts) -> None:
        self._parts = parts

    async def turn(self) -> None:
        """Call what is due, a few at once."""
        do, store = self._parts.thread.do, self._parts.store
        if not store.counts.done + store.counts.dead + store.counts.expired:
            return
        due = await do(store.hooks_due, AT_ONCE)
        await asyncio.gather(*(self._call(ticket) for ticket in due))

    async def _call(self, ticket: Ticket) -> None:
        clock = self._parts.clock
        body = msgspec.json.encode(view.ticket(ticket, clock, None))
        secret = signing_secret(self._parts.hash_key, ticket.key_id)
        headers = {
            "Content-Type": "application/json",
            "X-Headgate-Signature": signature(secret, clock.wall_us() // 1_000_000, body),
            "X-Headgate-Ticket": ticket.id,
        }
        try:
            status = await self._parts.outbound.post(ticket.webhook, headers, body)
        except OutboundRefused as refusal:
            await self._done(ticket, str(refusal))
        except OutboundFailed as failure:
            await self._later(ticket, str(failure))
        else:
            if 200 <= status < 300 or status == GONE:
                await self._done(ticket)
            else:
                await self._later(ticket, f"it answered {status}")

    async def _later(self, ticket: Ticket, told: str) -> None:
        if ticket.webhook_tries + 1 >= CALLS:
            await self._done(ticket, told)
            return
        wait_s = backoff_s(ticket.webhook_tries, FIRST_S, MOST_S, self._parts.chance)
        await self._parts.thread.do(self._parts.store.hook_called, ticket.id, wait_s)

    async def _done(self, ticket: Ticket, given_up: str = "") -> None:
        if given_up:
            log.warning("the webhook of ticket %s is given up: %s", ticket.id, given_up)
        await self._parts.thread.do(self._parts.store.hook_called, ticket.id, None)
