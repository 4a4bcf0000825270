"""Versions promoted, shipped and rolled back, each promotion watched beside the one before."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from experiments.design import Action, Experiment, Guardrail, Unit, Variant
from experiments.states import State, Step
from service.domain.errors import Conflict, HeadgateError, StorageUnavailable
from service.domain.experiments import How, Promotion
from service.experimentation.desk import HEADGATE, Asked, ExperimentDesk, versions_in
from service.experimentation.followers import Followers
from service.experimentation.placing import WATCH_LAYER
from service.feedback.promoting import Signature, VersionDesk
from service.routing.treatments import VERSION
from service.storage.experiments import Conducted

log = logging.getLogger("headgate.experiments")

PENDING = "a rollback"  # follows the version before until it is live
JUST_NOW_US = 60_000_000
KEPT = 0.1  # of the units stay on the version before, while a promotion is watched
BEFORE, AFTER = "before", "after"
WATCHED = (
    Guardrail("error_rate", tolerance=0.1),
    Guardrail("fallback_rate", tolerance=0.25, action=Action.WARN),
    Guardrail("latency_p95", tolerance=0.25, action=Action.WARN, least=100),
    Guardrail("cost_per_request", tolerance=0.25, action=Action.WARN, least=100),
)


@dataclass(frozen=True, slots=True)
class Back:
    """Where a rollback goes: a version, one of its checkpoints, or its last before a time."""

    to: str | None = None
    checkpoint: str | None = None
    before_us: int | None = None


class _Pending(NamedTuple):
    """A rollback that is in effect and not durable yet."""

    by: Signature
    before: str
    onset_us: int | None


class Promotions:
    """What makes a version the live one, and what takes it back."""

    def __init__(
        self, desk: ExperimentDesk, versions: VersionDesk, followers: Followers, watch_s: float
    ) -> None:
        self._desk, self.versions, self._followers = desk, versions, followers
        self.watch_s = watch_s
        self._pending: _Pending | None = None
        self._returning, self._promoting = asyncio.Lock(), asyncio.Lock()

    async def promote(
        self, name: str, by: Signature, how: How = How.PROMOTED,
        guardrails: Sequence[Guardrail] = (),
    ) -> Promotion:  # fmt: skip
        """Let a version decide for everybody; the one before keeps a tenth while it is watched."""
        async with self._promoting:
            return await self._promote(name, by, how, guardrails)

    async def _promote(
        self, name: str, by: Signature, how: How, guardrails: Sequence[Guardrail]
    ) -> Promotion:
        version = self.versions.find(name)
        self._desk.check_version(version.id)
        self._check_alone()
        await self.end_watches("another version is promoted")
        made = await asyncio.wrap_future(self.versions.promote(version.id, how, by))
        if self.watch_s > 0.0 and made.from_version_id is not None:
            try:
                await self._watch(made, guardrails or WATCHED)
            except HeadgateError as error:  # it is live all the same, and tried again
                log.error("the promotion of %s is not watched: %s", made.version_id, error)
        await self._let_go(made)
        return made

    async def ship(
        self, experiment: str, variant: str, by: Signature, unproven: bool = False
    ) -> Conducted:
        """Give everybody a variant; a version that it names becomes the live one."""
        async with self._promoting:
            mine = self._desk.find(experiment)
            version = version_of(mine, variant)
            if version in (None, self._live_id()) or mine.design.reverse:
                version = None
            else:
                self._check_alone()  # first: what is shipped and not live would be neither
            taken = await self._desk.take(mine.id, Asked(Step.SHIP, by, variant, unproven=unproven))
            if version is not None:
                await self._promote(version, by, How.SHIPPED, mine.design.guardrails)
            return taken

    async def catch_up(self) -> None:
        """Do what a kill, or a log that could not be written, left half done: a shipped version
        that is not live, a promotion that nobody watches, harm seen and not rolled back.
        """
        promotions = self.versions.store.promotions
        if self._promoting.locked() or not promotions:
            return
        async with self._promoting:
            for each in list(self._desk.store.known.values()):
                if each.standing.shipped is None or each.design.reverse:
                    continue
                step, version = each.steps[-1], version_of(each, each.standing.shipped)
                if version not in (None, self._live_id()) and step.at_us > promotions[-1].at_us:
                    assert version is not None
                    by = Signature(step.author, step.reason)
                    await self._promote(version, by, How.SHIPPED, each.design.guardrails)
            await self._watch_again(promotions[-1])

    async def _watch_again(self, last: Promotion) -> None:
        late_us = self._desk.now_us() - last.at_us
        if last.how not in (How.PROMOTED, How.SHIPPED) or late_us >= self.watch_s * 1e6:
            return
        watches = self._desk.store.versions_of(_watch_slug(last))
        if watches and watches[-1].standing.state is State.ROLLED_BACK and watches[-1].started_us:
            step, before = watches[-1].steps[-1], last.from_version_id
            cause = json.loads(step.cause)
            if "metric" in cause and before is not None and self._pending is None:
                by = Signature(step.author, step.reason, step.cause)
                self._pending = _Pending(by, before, cause.get("onset_us"))
                self._stand_in(before)
        elif last.from_version_id is not None and all(
            each.standing.state is State.DRAFT for each in watches
        ):
            for each in watches:
                await self._end(each, "it was left a draft")
            await self._watch(last, WATCHED)

    def _check_alone(self) -> None:
        """The live version stays while experiments compare others with it."""
        if asked := [each.id for each in self._desk.running()
                     if versions_in(each.design) and not each.design.reverse]:  # fmt: skip
            raise Conflict(
                f"{', '.join(asked)} compares versions with the live one; end it first, or ship it",
                code="experiments_conflict",
            )

    async def roll_back(self, by: Signature, back: Back | None = None) -> Promotion:
        """Return to the version before; a rollback of a rollback returns to what that left."""
        back = back or Back()
        to = self.to_return_to(back.to) if back.to else self._before_live()
        if to is not None:
            self._stand_in(to)
        try:
            await self.end_watches("it is rolled back", roll_back=True)
            made = await asyncio.wrap_future(
                self.versions.roll_back(by, to, back.checkpoint, back.before_us)
            )
        finally:
            if to is not None and self._pending is None:
                await self._stand_back(to)
        await self._let_go(made)
        return made

    def to_return_to(self, name: str) -> str:
        """The version that is named; raises NotFound, and Conflict where it may not be exposed."""
        version = self.versions.find(name).id
        if version != self._live_id():
            self._desk.check_version(version)
        return version

    def returns(self, version: str) -> bool:
        """Whether a rollback to it returns to what was live, and was not taken back for harm."""
        was_live = any(each.version_id == version for each in self.versions.store.promotions)
        return was_live and not self._desk.rollbacks(version)

    def _stand_in(self, version: str) -> None:
        """Let a version that learns beside the live one decide until the learner, which may be at
        long work, has come to it; one that does not must not be caught up for that first.
        """
        if version in self._followers.wanted:
            self._followers.asked(version, PENDING)
        self._desk.stand_in(version)

    async def _stand_back(self, version: str) -> None:
        self._desk.stand_in(None)
        await self._followers.release(version, PENDING)

    def _before_live(self) -> str | None:
        """Where a rollback that names nothing goes: not back to what the service took away just
        now, which somebody who acts at the same time as it would else bring back.
        """
        last = self.versions.store.promotions[-1:]
        if not last:
            return None
        by_itself = last[0].how == How.ROLLED_BACK and last[0].author == HEADGATE
        late_us = self._desk.now_us() - last[0].at_us
        if self._pending or (by_itself and late_us < JUST_NOW_US):
            raise Conflict(
                "the service itself is returning, or has just returned, to the version before; "
                "name the version that is wanted (to) where that is another",
                code="rolled_back_already",
            )
        return last[0].from_version_id

    async def roll_back_experiment(
        self, name: str, by: Signature, onset_us: int | None = None
    ) -> tuple[Conducted, Promotion | None]:
        """End an experiment at once. Where its treatment is the live version, watched or shipped,
        the version before comes back with its last checkpoint from before ``onset_us``.
        """
        mine = self._desk.find(name)
        before = self._before(mine) if Step.ROLL_BACK in mine.standing.legal() else None
        if before is None:
            return await self._desk.take(mine.id, Asked(Step.ROLL_BACK, by)), None
        self._pending = _Pending(by, before, onset_us)
        self._stand_in(before)
        try:
            await self._desk.take(mine.id, Asked(Step.ROLL_BACK, by))
        except StorageUnavailable as error:  # in effect already, and logged later
            log.warning("%s", error)
        except BaseException:  # somebody else has ended it meanwhile
            self._pending = None
            await self._stand_back(before)
            raise
        return self._desk.find(mine.id), await self._returned()

    async def retry(self) -> None:
        """Come to a rollback that could not be made durable; raises where it still cannot."""
        if self._pending is not None and not self._returning.locked():
            await self._returned()

    async def _returned(self) -> Promotion | None:
        """The version before, live again and durable. Until then it stands in."""
        async with self._returning:
            if self._pending is None:
                return None
            by, before, onset_us = self._pending
            made = None
            if before != self._live_id():
                made = await asyncio.wrap_future(
                    self.versions.roll_back(by, before, None, onset_us)
                )
            self._pending = None
            await self._stand_back(before)
            if made is not None:
                await self._let_go(made)
            return made

    def _before(self, mine: Conducted) -> str | None:
        """The version to come back, where rolling an experiment back takes the live one away."""
        if mine.design.reverse:
            return dict(mine.design.control.settings)[VERSION]
        if mine.standing.shipped is None:
            return None
        shipped = version_of(mine, mine.standing.shipped)
        last = self.versions.store.promotions[-1:]
        if shipped is None or not last or last[0].version_id != shipped:
            return None
        return last[0].from_version_id

    async def end_overdue(self, now_us: int) -> None:
        """End the watches whose time is over without an alarm."""
        for each in self.watches():
            if each.started_us is not None and now_us - each.started_us >= self.watch_s * 1e6:
                await self._end(each, "watched without an alarm")

    def watches(self) -> list[Conducted]:
        """The promotions that are watched now."""
        return [each for each in self._desk.running() if each.design.reverse]

    async def _watch(self, made: Promotion, guardrails: Sequence[Guardrail]) -> None:
        assert made.from_version_id is not None
        before = ((VERSION, made.from_version_id),)
        design = Experiment(
            slug=_watch_slug(made),
            hypothesis=f"version {made.version_id} is no worse than {made.from_version_id}",
            variants=(Variant(BEFORE, KEPT, before), Variant(AFTER, 1.0 - KEPT)),
            goals=("success_rate",),
            guardrails=tuple(guardrails),
            unit=Unit.SESSION,
            reverse=True,
        )
        cause = json.dumps({"promotion": made.id})
        by = Signature(HEADGATE, f"watches the promotion of {made.version_id}", cause)
        drawn = await self._desk.create(design, WATCH_LAYER, 1.0, by)
        await self._desk.take(drawn.id, Asked(Step.START, by, percent=100))

    async def end_watches(self, why: str, roll_back: bool = False) -> None:
        """End what watches a promotion: what it watched is live no more, or nobody's concern. So
        is what somebody stopped or paused, or a kill left a draft: it holds the layer's buckets.
        """
        for each in list(self._desk.store.known.values()):
            if each.design.reverse and each.holds_buckets:
                await self._end(each, why, roll_back)

    async def _end(self, watch: Conducted, why: str, roll_back: bool = False) -> None:
        by = Signature(HEADGATE, why)
        if roll_back or watch.standing.state is State.DRAFT:
            await self._desk.take(watch.id, Asked(Step.ROLL_BACK, by))
            return
        if watch.standing.state is not State.STOPPED:
            await self._desk.take(watch.id, Asked(Step.STOP, by))
        if self._desk.find(watch.id).standing.state is State.STOPPED:
            await self._desk.take(watch.id, Asked(Step.SHIP, by, AFTER))

    async def _let_go(self, made: Promotion) -> None:
        """The one before learns on only where a watch, an experiment or a shadow needs it."""
        before = made.from_version_id
        if before and before != made.version_id and before not in self._followers.wanted:
            await asyncio.wrap_future(self.versions.leave(before))

    def _live_id(self) -> str:
        return self.versions.store.promotions[-1].version_id


def version_of(mine: Conducted, variant: str) -> str | None:
    """The policy version that a variant names, if it does."""
    settings = {each.name: dict(each.settings) for each in mine.design.variants}
    return settings.get(variant, {}).get(VERSION)


def _watch_slug(made: Promotion) -> str:
    return f"watch-{made.id.replace('-', '')[-16:]}"
