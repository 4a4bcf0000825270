"""Overrides laid, renewed, lifted and ended: what reduces risk acts before it is durable."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from service.domain.clock import Clock, new_id
from service.domain.errors import Conflict, HeadgateError, NotFound, StorageUnavailable
from service.domain.live import LivePolicy
from service.domain.records import Act, Override, OverrideEnd
from service.domain.will import Action
from service.experimentation.desk import ExperimentDesk
from service.feedback.promoting import Changed, Signature, VersionDesk
from service.operating.wanted import Wanted, check, check_room, lasting, lifting_reduces, reduces
from service.plan.whole import Plan
from service.storage.event_log import EventLog
from service.storage.overrides import OverrideStore

log = logging.getLogger("headgate")

HEADGATE = "headgate"
REMEMBERED = 1_000  # states that somebody may have looked at

Follow = Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class OperatingParts:
    """What the desk stands on. ``want`` has a version learn beside the live one for somebody and
    ``release`` lets go of it.
    """

    store: OverrideStore
    log: EventLog
    clock: Clock
    plan: Callable[[], Plan]
    live: Callable[[], LivePolicy]
    versions: VersionDesk
    experiments: ExperimentDesk
    want: Follow
    release: Follow


@dataclass(frozen=True, slots=True)
class _State:
    """What a tag stands for: the overrides in force, in words by id, and the live version; of
    somebody who sees a tenant's alone, that tenant's.
    """

    overrides: dict[str, str]
    version: str
    tenant: str


class OverrideDesk:
    """What raises risk is done one at a time; what reduces it waits for nothing."""

    def __init__(self, parts: OperatingParts) -> None:
        self._parts = parts
        self._one_at_a_time = asyncio.Lock()
        self._logging = asyncio.Lock()
        self._unlogged: list[tuple[object, ...]] = []
        self._seen: OrderedDict[str, _State] = OrderedDict()
        self.ended: Callable[[Override], None] = lambda override: None
        self.troubles: dict[str, str] = {}  # by override: what keeps a pinned version away

    @property
    def holding(self) -> tuple[Override, ...]:
        """Those in force."""
        return self._parts.store.holding()

    def of(self, tenant: str) -> tuple[Override, ...]:
        """Those in force that a tenant's key sees: its tenant's; of no tenant: all."""
        return tuple(each for each in self.holding if tenant in ("", each.tenant))

    # what stands ------------------------------------------------------------------------------

    def warnings(self) -> list[str]:
        """What acts already and is not durable yet."""
        if not self._unlogged:
            return []
        return [f"{len(self._unlogged)} acts on overrides are in effect and not durable yet"]

    def find(self, override_id: str, tenant: str = "") -> Override:
        """One in force, by its id or the beginning of it that no other has; raises NotFound."""
        exact = self._parts.store.find(override_id)
        if exact is not None and tenant in ("", exact.tenant):
            return exact
        seen = self.of(tenant)
        found = [each for each in seen if override_id and each.id.startswith(override_id)]
        if len(found) == 1:
            return found[0]
        raise NotFound(
            "no override of that id is in force; it may have expired, been lifted or been renewed"
        )

    def version(self, tenant: str = "") -> str:
        """A tag of what is in force: the overrides and the live version."""
        state = _State(
            {each.id: words(each) for each in self.of(tenant)},
            self._parts.live().current.mark.version_id,
            tenant,
        )
        text = json.dumps([sorted(state.overrides), state.version, tenant])
        tag = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._seen[tag] = state
        self._seen.move_to_end(tag)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return tag

    def check_unchanged(self, tag: str, tenant: str = "") -> None:
        """Refuse where something else is in force than when ``tag`` was given; raises Conflict."""
        before, now = self._seen.get(tag), self.version(tenant)
        if tag == now:
            return
        changes = ["what it names was not given by this process; look again"]
        if before is not None and before.tenant == tenant:
            changes = list(_changes(before, self._seen[now]))
        raise Conflict(
            f"something else is in force than was looked at: {'; '.join(changes)}. Try it again "
            f"against {now}",
            param="if-match",
            code="overrides_changed",
        )

    # what is done -----------------------------------------------------------------------------

    async def lay(
        self, wanted: Wanted, by: Signature, unless_changed: str | None = None, tenant: str = ""
    ) -> Override:
        """An override, in force on the next request when this returns. What only lowers risk acts
        at once and is then made durable; StorageUnavailable says where that is still to come. All
        else is durable first. Raises HeadgateError that names what is wrong.

        ``unless_changed``: the tag that was looked at; Conflict where something else is in force.
        ``tenant``: of the key that asks for it.
        """
        if unless_changed is not None:
            self.check_unchanged(unless_changed, tenant)
        override = self.drafted(wanted, by)
        check_room(override, self.holding, self._parts.plan(), tenant)
        act = self._act(f"override.{override.action}", override, by, (None, laid(override)))
        if self.reduces(override):
            self._parts.store.put(override)
            await self._reduced(override, "in effect", override, act)
            return override
        async with self._one_at_a_time:
            await self.retry()
            if unless_changed is not None:
                self.check_unchanged(unless_changed, tenant)
            check_room(override, self.holding, self._parts.plan(), tenant)
            await self._follow(override)
            try:
                await self._durable(override, act)
            except StorageUnavailable:
                await self._let_go(override)
                raise
            self._parts.store.put(override)
            return override

    def reduces(self, override: Override) -> bool:
        """Whether laying it, or going on with it, can only lower risk as things stand."""
        others = [each for each in self.holding if each.id != override.id]
        return reduces(override, others, self._parts.plan(), self._parts.clock.wall_us())

    def drafted(self, wanted: Wanted, by: Signature) -> Override:
        """The override that is wanted, checked, not yet in force."""
        asked = check(wanted, self._parts.plan())
        now_us = self._parts.clock.wall_us()
        return Override(
            id=new_id(),
            at_us=now_us,
            action=asked.action,
            deployment=asked.deployment,
            task=asked.task,
            reason=by.reason,
            author=by.author,
            starts_us=now_us,
            expires_us=now_us + int(asked.lasts_s * 1e6),
            tenant=asked.tenant,
            tier=asked.tier,
            target=self._target(asked),
            least=asked.least,
            greatest=asked.greatest,
            usd=asked.usd,
            ticket=asked.ticket,
        )

    def _target(self, wanted: Wanted) -> str:
        if wanted.action == Action.PIN:
            version = self._parts.versions.find(wanted.target).id
            if version != self._parts.live().current.mark.version_id:
                self._parts.experiments.check_version(version)
            return version
        if wanted.action == Action.KILL_EXPERIMENT:
            found = self._parts.experiments.find(wanted.target)
            if found.design.reverse:
                raise Conflict(
                    f"{found.id} watches a promotion, and without it nobody would: roll the "
                    "promotion back instead (headgate policy rollback)",
                    code="experiment_state",
                )
            if not found.holds_buckets:
                raise Conflict(
                    f"{found.id} is {found.standing.state} already", code="experiment_state"
                )
            return found.id
        return ""

    async def renew(self, override_id: str, lasts_s: float, by: Signature) -> Override:
        """Go on with an override as a new record; the one before ends as renewed."""
        async with self._one_at_a_time:
            await self.retry()
            old = self.find(override_id)
            now_us = self._parts.clock.wall_us()
            new = Override(
                new_id(), now_us, old.action, old.deployment, old.task, by.reason, by.author,
                now_us, now_us + int(lasting(lasts_s) * 1e6), old.tenant, old.tier, old.target,
                old.least, old.greatest, old.usd, old.ticket, old.id,
            )  # fmt: skip
            end = OverrideEnd(old.id, now_us, "renewed", by.author, by.reason)
            act = self._act("override.renewed", new, by, (laid(old), laid(new)))
            await self._follow(new)
            try:
                await self._durable(end, new, act)
            except StorageUnavailable:
                await self._let_go(new)
                raise
            self._parts.store.put(new, instead_of=old.id)
            await self._let_go(old)
            self.ended(old)
            return new

    async def lift(self, override_id: str, by: Signature) -> Override:
        """End an override before its time; raises NotFound where it is not in force."""
        override = self.find(override_id)
        now_us = self._parts.clock.wall_us()
        end = OverrideEnd(override.id, now_us, "lifted", by.author, by.reason)
        act = self._act("override.lifted", override, by, (laid(override), None))
        if lifting_reduces(override):
            self._parts.store.remove(override.id)
            await self._reduced(override, "lifted", end, act)
        else:
            async with self._one_at_a_time:
                await self.retry()
                self.find(override.id)
                await self._durable(end, act)
                self._parts.store.remove(override.id)
        await self._let_go(override)
        self.ended(override)
        return override

    async def expire(self) -> None:
        """End what has run its time, and log what was done before it could be logged."""
        for override in self._parts.store.expire():
            log.info("override %s (%s) has expired", override.id, words(override))
            by = Signature(HEADGATE, "expiry")
            self._parts.log.append(
                self._act("override.expired", override, by, (laid(override), None))
            )
            self.ended(override)
            await self._let_go(override)
        try:
            await self.retry()
        except StorageUnavailable as error:  # the next turn tries again
            log.debug("an override is not durable yet: %s", error)

    async def follow(self) -> None:
        """Have every pinned version learn beside the live one: after a restart, and whatever else
        came between. Until it does, the live version draws in its place, and is learned from.
        """
        live = self._parts.live()
        for override in self.holding:
            if override.action != Action.PIN:
                continue
            if live.of(override.target) is not None and override.id not in self.troubles:
                continue
            try:
                await self._follow(override)
                self.troubles.pop(override.id, None)
            except Exception as error:
                log.warning("the pinned version %s cannot be followed: %s", override.target, error)
                self.troubles[override.id] = str(error) or type(error).__name__

    async def retry(self) -> None:
        """Log what was done before it could be logged, in its order; raises StorageUnavailable."""
        async with self._logging:
            while self._unlogged:
                await self._durable(*self._unlogged[0])
                self._unlogged.pop(0)

    # parts ------------------------------------------------------------------------------------

    async def _reduced(self, override: Override, state: str, *records: object) -> None:
        self._unlogged.append(records)
        try:
            await self.retry()
        except StorageUnavailable as error:
            raise StorageUnavailable(
                f"override {override.id} ({words(override)}) is {state} already, but that is not "
                "durable yet: it is logged as soon as the log can be written",
                retry_after_s=error.retry_after_s,
            ) from None

    async def _follow(self, override: Override) -> None:
        if override.action == Action.PIN:
            await self._parts.want(override.target, _who(override))

    async def _let_go(self, override: Override) -> None:
        if override.action != Action.PIN:
            return
        self.troubles.pop(override.id, None)
        try:
            await self._parts.release(override.target, _who(override))
        except HeadgateError as error:
            log.warning("version %s is not parked: %s", override.target, error)

    def _act(self, act: str, override: Override, by: Signature, changed: Changed) -> Act:
        more = changed[1] or changed[0] or {}
        told = replace(by, cause=json.dumps({**json.loads(by.cause), **more}))
        return told.act(act, override.id, self._parts.clock.wall_us(), changed)

    async def _durable(self, *records: object) -> None:
        await asyncio.wrap_future(self._parts.log.append_durable(*records))


def laid(override: Override) -> dict[str, object]:
    """What an override says, without what is empty."""
    told = {
        "action": override.action,
        "deployment": override.deployment,
        "task": override.task,
        "tenant": override.tenant,
        "tier": override.tier,
        "target": override.target,
        "least": override.least,
        "greatest": override.greatest,
        "usd": override.usd,
        "ticket": override.ticket,
        "renews": override.renews,
        "expires_in_s": (override.expires_us - override.starts_us) / 1e6,
    }
    return {name: value for name, value in told.items() if value not in ("", None)}


def words(override: Override) -> str:
    """An override in a few words."""
    parts = [override.action, override.deployment or override.target]
    if override.least is not None or override.greatest is not None:
        least = 0.0 if override.least is None else override.least
        greatest = 1.0 if override.greatest is None else override.greatest
        parts.append(f"to {least:.0%} - {greatest:.0%}")
    if override.usd is not None:
        parts.append(f"at ${override.usd:g}")
    named = (("tenant", override.tenant), ("tier", override.tier))
    where = [each for each in (override.task, *(f"{n} {v}" for n, v in named if v)) if each]
    return " ".join(
        part for part in (*parts, *(["for", ", ".join(where)] if where else [])) if part
    )


def _changes(before: _State, now: _State) -> Sequence[str]:
    told = [
        f"{text} ({each}) was laid" for each, text in now.overrides.items()
        if each not in before.overrides
    ]  # fmt: skip
    told += [
        f"{text} ({each}) has ended" for each, text in before.overrides.items()
        if each not in now.overrides
    ]  # fmt: skip
    if before.version != now.version:
        told.append(f"version {now.version} is live instead of {before.version}")
    return told


def _who(override: Override) -> str:
    return f"override {override.id}"
