"""The desk of batches: takes files and batches, shows them to their owners, calls them off."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.batching.reading import read_requests, window_s
from service.batching.schedule import Rules, latest
from service.batching.work import Workers, file_id
from service.domain.batches import ENDPOINTS, Batch, BatchState, Owner, StoredFile
from service.domain.clock import Clock, new_id
from service.domain.errors import (
    CapabilityMissing,
    Conflict,
    InvalidRequest,
    NotFound,
    RateLimited,
)
from service.domain.hashing import keyed_hash
from service.domain.off_peak import next_open_us
from service.domain.records import Key
from service.storage.batch_store import BatchStore
from service.storage.store_thread import StoreThread

LEAST_KEPT_S = 3_600
MOST_NAMES, MOST_VALUE = 16, 512


@dataclass(frozen=True, slots=True)
class Wanted:
    """A batch that is asked for; ``priority``: 0 to 2; ``idempotency``: the caller's own key."""

    input_file: str
    endpoint: str
    window: str
    priority: int
    metadata: Mapping[str, str]
    idempotency: str


@dataclass(frozen=True, slots=True)
class DeskParts:
    """What the desk stands on. ``offers``: whether an endpoint is served at all."""

    store: BatchStore
    thread: StoreThread
    workers: Workers
    rules: Callable[[], Rules]
    offers: Callable[[str], bool]
    clock: Clock
    secret: bytes


@dataclass(frozen=True, slots=True)
class Load:
    """What is under way: batches, and requests that wait, are tried, and are ``away`` with a
    provider's batch. ``each_s``: how long one takes at most; ``slack_s``: how long the first
    batch may still wait without being late, None where there is none; ``open``: whether a window
    is; ``opens_us``: when one is next, None where none is in the next days.
    """

    live: int
    waiting: int
    running: int
    away: int
    each_s: float
    slack_s: float | None
    open: bool
    opens_us: int | None


def owner_of(key: Key) -> Owner:
    """Whose what a key makes is."""
    return Owner(key.id, key.tenant)


class Desk:
    """All that the routes may ask."""

    def __init__(self, parts: DeskParts) -> None:
        self._parts = parts
        self._store, self._do = parts.store, parts.thread.do

    # files ------------------------------------------------------------------------------------

    async def upload(self, key: Key, name: str, content: bytes, lasts_s: int | None) -> StoredFile:
        """Keep a file for a batch."""
        owner, rules, now_us = owner_of(key), self._parts.rules(), self._parts.clock.wall_us()
        if lasts_s is not None and lasts_s < LEAST_KEPT_S:
            raise InvalidRequest(f"expires_after.seconds must be at least {LEAST_KEPT_S}",
                                 param="expires_after")  # fmt: skip
        mine, everybodys, _ = await self._do(self._store.held, owner)
        if mine + len(content) > rules.owner_bytes or everybodys + len(content) > rules.most_bytes:
            raise RateLimited(
                "there is no room for this file: delete files that are no longer needed",
                code="files_full",
            )
        kept_s = min(lasts_s or rules.keep_s, rules.keep_s)
        made = StoredFile(file_id(), owner, "batch", name, len(content), now_us,
                          now_us + int(kept_s * 1e6))  # fmt: skip
        await self._do(self._store.put_file, made, content)
        return made

    async def file(self, key: Key, identity: str) -> StoredFile:
        """A file of the key's or its tenant's; raises NotFound."""
        found = await self._do(self._store.file, identity, owner_of(key))
        if found is None:
            raise _no_file()
        return found

    async def content(self, key: Key, identity: str) -> bytes:
        """What it holds; raises NotFound."""
        found = await self._do(self._store.content, identity, owner_of(key))
        if found is None:
            raise _no_file()
        return found

    async def files(
        self, key: Key, purpose: str, after: str, most: int, order: str = "desc"
    ) -> list[StoredFile]:
        """The newest first, or last where the order is "asc"."""
        return await self._do(self._store.files, owner_of(key), purpose, after, most, order)

    async def remove(self, key: Key, identity: str) -> None:
        """Erase a file; raises NotFound."""
        if not await self._do(self._store.remove_file, identity, owner_of(key)):
            raise _no_file()

    # batches ----------------------------------------------------------------------------------

    async def create(self, key: Key, wanted: Wanted) -> Batch:
        """A batch of a file, durable; failed where the file cannot be read."""
        parts, owner, rules = self._parts, owner_of(key), self._parts.rules()
        lasts_s = window_s(wanted.window, rules.longest_s)
        metadata = _metadata(wanted.metadata)
        if wanted.endpoint not in ENDPOINTS:
            raise InvalidRequest(f"endpoint must be one of {', '.join(ENDPOINTS)}",
                                 param="endpoint", code="invalid_endpoint")  # fmt: skip
        if not parts.offers(wanted.endpoint):
            raise CapabilityMissing(
                f"no deployment of the plan serves {wanted.endpoint}", param="endpoint"
            )
        mark, digest = self._marks(key, wanted)
        if known := await self._do(self._store.known, key.id, mark):
            return _same(known, digest)
        content = await self._do(self._store.content, wanted.input_file, owner)
        if content is None:
            raise _no_file("input_file_id")
        _, _, live = await self._do(self._store.held, owner)
        if live >= rules.most_live:
            raise RateLimited(
                f"{live} batches are under way, the most that there may be at once; come back when "
                "one has ended",
                code="batch_limit",
            )
        requests, problems = await self._do(
            read_requests, content, wanted.endpoint, rules.most_requests
        )
        now_us = parts.clock.wall_us()
        state = BatchState.FAILED if problems else BatchState.IN_PROGRESS
        taken = [] if problems else requests
        batch = Batch(
            "batch_" + new_id().replace("-", ""), owner, wanted.endpoint, wanted.input_file, state,
            now_us, now_us + lasts_s * 1_000_000, wanted.window, wanted.priority, metadata,
            len(taken), sum(each.tokens for each in taken), errors=json.dumps(problems),
            ended_us=now_us if problems else None, idempotency=mark, digest=digest,
            keep_until_us=now_us + int(rules.keep_s * 1e6) if problems else None,
        )  # fmt: skip
        return _same(await self._do(self._store.put, batch, taken), digest)

    def _marks(self, key: Key, wanted: Wanted) -> tuple[str, str]:
        secret, given = self._parts.secret, wanted.idempotency
        mark = keyed_hash(secret, "batch", key.id, given) if given else ""
        asked = json.dumps([wanted.input_file, wanted.endpoint, wanted.window, wanted.priority,
                            dict(wanted.metadata)], sort_keys=True)  # fmt: skip
        return mark, keyed_hash(secret, "batch asked", asked)

    async def batch(self, key: Key | None, identity: str) -> Batch:
        """A batch of the key's or its tenant's (None: of anybody's); raises NotFound."""
        owner = None if key is None else owner_of(key)
        found = await self._do(self._store.batch, identity, owner)
        if found is None:
            raise NotFound("no batch of that id", param="batch_id", code="batch_not_found")
        return found

    async def batches(self, key: Key, after: str, most: int) -> list[Batch]:
        """The newest first."""
        return await self._do(self._store.batches, owner_of(key), after, most)

    async def all_batches(self, tenant: str | None, most: int) -> list[Batch]:
        """Everybody's or a tenant's, the newest first."""
        return await self._do(self._store.all_batches, tenant, most)

    async def cancel(self, batch: Batch) -> Batch:
        """Call a batch off; raises Conflict where it has ended."""
        now_us = self._parts.clock.wall_us()
        if not await self._do(self._store.cancelling, batch.id, now_us):
            if batch.state is BatchState.CANCELLING:
                return batch
            raise Conflict(f"the batch is {batch.state.value}; it cannot be cancelled any more",
                           code="batch_ended")  # fmt: skip
        await self._parts.workers.turn()
        return await self.batch(None, batch.id)

    def times(self, batch: Batch) -> tuple[int | None, int | None]:
        """Of a live batch: its latest start, and when a window is open next."""
        workers, rules = self._parts.workers, self._parts.rules()
        starts = latest(workers.standings, rules, workers.each_s)
        opens = next_open_us(rules.windows, self._parts.clock.wall_us())
        return starts.get(batch.id), opens

    def load(self) -> Load:
        """All batches together, as they stand now."""
        workers, rules = self._parts.workers, self._parts.rules()
        standings, now_us = workers.standings, self._parts.clock.wall_us()
        starts = latest(standings, rules, workers.each_s)
        slack_us = min((each - now_us for each in starts.values()), default=None)
        opens_us = next_open_us(rules.windows, now_us)
        away = max(sum(each.running for each in standings) - workers.running, 0)
        return Load(
            len(standings), sum(each.waiting for each in standings), workers.running, away,
            workers.each_s, None if slack_us is None else slack_us / 1e6, opens_us == now_us,
            opens_us,
        )  # fmt: skip


def _same(known: Batch, digest: str) -> Batch:
    if known.digest != digest:
        raise Conflict("this Idempotency-Key came with another batch before",
                       code="idempotency_conflict")  # fmt: skip
    return known


def _metadata(given: Mapping[str, str]) -> str:
    if len(given) > MOST_NAMES or any(
        len(name) > 64 or len(value) > MOST_VALUE for name, value in given.items()
    ):
        raise InvalidRequest(
            f"metadata has at most {MOST_NAMES} names of 64 characters, with values of "
            f"{MOST_VALUE}",
            param="metadata",
        )
    return json.dumps(dict(given))


def _no_file(param: str = "file_id") -> NotFound:
    return NotFound("no file of that id", param=param, code="file_not_found")
