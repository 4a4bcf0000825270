"""Experiments made and moved: checked, durable, then in force on the next request."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, replace

from experiments.design import Experiment
from experiments.design_json import to_json
from experiments.errors import ExperimentError
from experiments.states import Signed, State, Step, TransitionError
from service.domain.clock import Clock, new_id
from service.domain.errors import Conflict, NotFound, StorageUnavailable, Unprocessable
from service.domain.experiments import ExperimentRecord, ExperimentStep, Promotion
from service.domain.live import LivePolicy
from service.domain.records import Act
from service.experimentation.followers import Followers
from service.experimentation.placing import check_alone, place
from service.experimentation.standing import VersionStanding
from service.feedback.promoting import Changed, Signature, VersionDesk
from service.routing.assignments import AssignmentHolder, Assignments, Holdout, Running
from service.routing.treatments import NO_TREATMENT, VERSION, Known, Treatment, treatment
from service.storage.event_log import EventLog
from service.storage.experiments import Conducted, ExperimentStore, made

log = logging.getLogger("headgate.experiments")

REDUCING = (Step.PAUSE, Step.STOP, Step.ROLL_BACK)  # what exposes fewer is never kept waiting
HEADGATE = "headgate"
QUARANTINE = 2  # automatic rollbacks


@dataclass(frozen=True, slots=True)
class DeskParts:
    """What the desk stands on. ``deployments``: of the plan in force; ``unproven``: why the log
    does not yet allow a version to be exposed, empty where it does.
    """

    store: ExperimentStore
    log: EventLog
    clock: Clock
    holder: AssignmentHolder
    versions: VersionDesk
    followers: Followers
    live: Callable[[], LivePolicy]
    deployments: Callable[[], frozenset[str]]
    unproven: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A step that somebody asks for. ``unproven``: take it though the log has not shown that the
    version is no worse; ``cause``: JSON of what the service saw.
    """

    step: Step
    by: Signature
    variant: str | None = None
    percent: int | None = None
    unproven: bool = False


class ExperimentDesk:
    """One act at a time. What reduces exposure acts before it is durable; all else after."""

    def __init__(self, parts: DeskParts, holdout: Holdout) -> None:
        self._parts, self.holdout = parts, holdout
        self._one_at_a_time = asyncio.Lock()  # whatever exposes or takes a place
        self._moving: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # by experiment
        self._held = dict(parts.store.held)
        self._lapsed: dict[str, str] = {}  # what the plan in force no longer knows
        self._unlogged: list[tuple[object, ...]] = []
        self._logging = asyncio.Lock()
        self._stand_in = NO_TREATMENT
        self.moved: Callable[[Conducted], None] = lambda conducted: None
        self.killed: Callable[[], dict[str, str]] = dict  # by overrides, for a while
        self.standing = VersionStanding()  # what people ruled

    @property
    def store(self) -> ExperimentStore:
        """All experiments."""
        return self._parts.store

    @property
    def promotions(self) -> list[Promotion]:
        """All promotions of versions, oldest first."""
        return self._parts.versions.store.promotions

    @property
    def holds(self) -> dict[str, str]:
        """Experiments that may not be ramped or shipped, and why."""
        return {**self._lapsed, **self._held, **self.killed()}

    def now_us(self) -> int:
        """The time, microseconds since the epoch."""
        return self._parts.clock.wall_us()

    def hold(self, name: str, why: str) -> None:
        """Let an experiment that has not ended be neither ramped nor shipped, for good."""
        if self.find(name).holds_buckets:
            self._held[name] = why

    def stand_in(self, version_id: str | None) -> None:
        """Until the learner and the log have come to a rollback: the version that decides for
        everybody meanwhile, where it learns beside the live one; None ends that.
        """
        self._stand_in = Treatment({VERSION: version_id}) if version_id else NO_TREATMENT
        self.refresh()

    def find(self, name: str) -> Conducted:
        """An experiment by its id, or the last version of a slug; raises NotFound."""
        exact = self.store.known.get(name)
        if exact is not None:
            return exact
        versions = self.store.versions_of(name)
        if not versions:
            raise NotFound("no experiment of that name; see headgate experiment list")
        return versions[-1]

    def running(self) -> list[Conducted]:
        """Those that expose units now."""
        return [e for e in self.store.known.values() if e.standing.state is State.RUNNING]

    async def create(
        self, design: Experiment, layer: str, share: float, by: Signature
    ) -> Conducted:
        """A draft with its buckets; a slug that ended before gets the next version."""
        async with self._one_at_a_time:
            before = self.store.versions_of(design.slug)
            if before and before[-1].holds_buckets:
                raise Conflict(
                    f"{before[-1].id} is {before[-1].standing.state}; end it before its next "
                    "version",
                    code="experiment_open",
                )
            if before:
                design = replace(design, version=before[-1].design.version + 1)
            self._treatments(design)
            first, stop = place(design, layer, share, self.store.known.values())
            record = ExperimentRecord(
                f"{design.slug}@{design.version}", self._parts.clock.wall_us(), design.slug,
                design.version, layer, first, stop, to_json(design), by.author, by.reason,
            )  # fmt: skip
            drafted = {"state": State.DRAFT.value, "layer": layer, "first": first, "stop": stop}
            act = self._act("experiment.created", record.id, by, (None, drafted))
            await self._durable(record, act)
            self.store.put(made(record))
            return self.store.known[record.id]

    async def take(self, name: str, asked: Asked) -> Conducted:
        """Take a step; raises Conflict that says which steps can be taken. What reduces exposure
        waits for a step of the same experiment alone.
        """
        name = self.find(name).id
        if asked.step in REDUCING:
            async with self._moving[name]:
                return await self._reduce(self.find(name), asked)
        async with self._one_at_a_time, self._moving[name]:
            return await self._expose(self.find(name), asked)

    async def _reduce(self, mine: Conducted, asked: Asked) -> Conducted:
        step = self._step(mine, asked)
        after = mine.after(step)
        self._in_force(after)
        try:
            await self._reduced(after, step, asked)
        finally:
            await self._ended(after)
        return after

    async def _expose(self, mine: Conducted, asked: Asked) -> Conducted:
        await self.retry()  # the log tells the steps in their order, or the next start stumbles
        step = self._step(mine, asked)
        self._check(mine, asked)
        exposing = asked.step in (Step.START, Step.RESUME)
        if exposing:
            await self._follow(mine)
        try:
            await self._durable(step, self._act_of(asked, mine.id, step))
        except StorageUnavailable:
            if exposing:
                await self._release(mine)
            raise
        after = mine.after(step)
        self._in_force(after)
        await self._ended(after)
        return after

    def _step(self, mine: Conducted, asked: Asked) -> ExperimentStep:
        """The step with its time and state, if the rules allow it."""
        at_us = self._parts.clock.wall_us()
        if mine.steps:
            at_us = max(at_us, mine.steps[-1].at_us)
        draft = ExperimentStep(
            new_id(), mine.id, at_us, asked.step.value, mine.standing.state.value, "", 0,
            asked.variant, asked.by.author, asked.by.reason, asked.by.cause,
        )  # fmt: skip
        try:
            standing = mine.standing.take(
                asked.step,
                Signed(draft.author, draft.reason, draft.at_us),
                asked.variant,
                asked.percent,
            )
        except TransitionError as error:
            raise Conflict(f"{mine.id}: {error}", code="experiment_state") from None
        taken = standing.history[-1]
        return replace(draft, after=taken.after.value, percent=taken.percent)

    def _check(self, mine: Conducted, asked: Asked) -> None:
        """What stands against exposing more."""
        held = self.holds.get(mine.id)
        if held is not None and asked.step in (Step.RAMP, Step.SHIP):
            raise Conflict(
                f"{mine.id} is held: {held}; pause it, or roll it back and make its next version",
                code="experiment_held",
            )
        if asked.step is not Step.SHIP:
            check_alone(mine, self.store.known.values())
        self._treatments(mine.design)
        for version in () if mine.design.reverse else versions_in(mine.design):
            self.check_version(version)
            why = "" if asked.unproven else self._parts.unproven(version)
            if why:
                raise Conflict(
                    f"version {version} may not be exposed yet: {why}", code="version_unproven"
                )

    def check_version(self, version_id: str) -> None:
        """Raises Conflict for a version that may not be exposed: in quarantine, or retired."""
        self.standing.check(version_id)
        if self.rollbacks(version_id) >= QUARANTINE:
            raise Conflict(
                f"version {version_id} was rolled back {QUARANTINE} times and is in quarantine; "
                "make a new version of what it was to do, or let a person release it (headgate "
                "review list --kind policy)",
                code="version_quarantined",
            )

    def rollbacks(self, version_id: str) -> int:
        """How often the service itself rolled this version back, promoted or in an experiment,
        since a person last released it.
        """
        since_us = self.standing.released_us.get(version_id, -1)
        return sum(at_us > since_us for at_us in self.rolled_back_us(version_id))

    def rolled_back_us(self, version_id: str) -> list[int]:
        """When the service itself rolled this version back."""
        found = [
            p.at_us for p in self.promotions
            if p.from_version_id == version_id and p.author == HEADGATE and p.restored_id
        ]  # fmt: skip
        for each in self.store.known.values():
            if each.design.reverse or version_id not in versions_in(each.design):
                continue
            found += [s.at_us for s in each.steps
                      if s.step == Step.ROLL_BACK and s.author == HEADGATE]  # fmt: skip
        return found

    def acted_us(self, experiment: str, metric: str) -> int | None:
        """When the service last rolled back by itself for that metric: an experiment of that name,
        or for a watch any promotion.
        """
        mine = self.find(experiment)
        alike = [
            each for each in self.store.known.values()
            if (each.design.reverse and mine.design.reverse)
            or each.record.slug == mine.record.slug
        ]  # fmt: skip
        steps = (step for each in alike for step in each.steps)
        times = [
            step.at_us for step in steps
            if step.step == Step.ROLL_BACK and step.author == HEADGATE
            and json.loads(step.cause).get("metric") == metric
        ]  # fmt: skip
        return max(times, default=None)

    # in force ---------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Put all that stands in force: at the start, and whenever the plan has changed."""
        self._lapsed = {}
        running = [
            Running(
                each.id, each.design, each.record.layer, each.record.first, each.record.stop,
                each.standing.exposed, self._treatments_now(each),
            )
            for each in self.running()
        ]  # fmt: skip
        shipped = self._stand_in
        for each in self.store.known.values():
            if each.standing.shipped is not None:
                settled = self._treatments_now(each)[each.standing.shipped]
                shipped += settled.without(VERSION)  # a shipped version is the live one
        self._parts.holder.current = Assignments(running, self.holdout, shipped)

    def follow_again(self) -> list[Future[None]]:
        """After a restart, and whatever else came between: the versions that running experiments
        need and that do not learn beside the live one. Until they do, everybody gets that.
        """
        live = self._parts.live()
        return [
            self._parts.followers.asked(version, each.id)
            for each in self.running()
            for version in self._beside(each)
            if live.of(version) is None
        ]

    def _in_force(self, conducted: Conducted) -> None:
        self.store.put(conducted)
        self.refresh()
        if not conducted.holds_buckets:
            self._held.pop(conducted.id, None)
        self.moved(conducted)

    async def _reduced(self, after: Conducted, step: ExperimentStep, asked: Asked) -> None:
        self._unlogged.append((step, self._act_of(asked, after.id, step)))
        try:
            await self.retry()
        except StorageUnavailable as error:
            raise StorageUnavailable(
                f"{after.id} is {after.standing.state} already, but that is not durable yet: it "
                "is logged as soon as the log can be written",
                retry_after_s=error.retry_after_s,
            ) from None

    async def retry(self) -> None:
        """Log what was done before it could be logged, in its order; raises StorageUnavailable."""
        async with self._logging:
            while self._unlogged:
                await self._durable(*self._unlogged[0])
                self._unlogged.pop(0)

    # parts ------------------------------------------------------------------------------------

    def _treatments(self, design: Experiment) -> dict[str, Treatment]:
        store = self._parts.versions.store
        known = Known(self._parts.deployments(), frozenset(each.id for each in store.versions))
        try:
            return {
                each.name: treatment(each.settings, known, f"variants.{each.name}.settings")
                for each in design.variants
            }
        except ExperimentError as error:
            raise Unprocessable(str(error)) from None

    def _treatments_now(self, conducted: Conducted) -> dict[str, Treatment]:
        """Of a running one; what the plan no longer knows changes nothing, and is told."""
        try:
            return self._treatments(conducted.design)
        except Unprocessable as error:
            log.warning("%s has no effect now: %s", conducted.id, error)
            self._lapsed[conducted.id] = error.message
            return {each.name: NO_TREATMENT for each in conducted.design.variants}

    async def _follow(self, mine: Conducted) -> None:
        for version in self._beside(mine):
            await self._parts.followers.want(version, mine.id)

    def _beside(self, mine: Conducted) -> list[str]:
        live = self._parts.live().current.mark.version_id
        return [each for each in versions_in(mine.design) if each != live]

    async def _ended(self, mine: Conducted) -> None:
        """What has ended needs no version beside the live one."""
        if mine.standing.state in (State.STOPPED, State.SHIPPED, State.ROLLED_BACK):
            await self._release(mine)

    async def _release(self, mine: Conducted) -> None:
        for version in versions_in(mine.design):
            await self._parts.followers.release(version, mine.id)

    def _act_of(self, asked: Asked, subject: str, step: ExperimentStep) -> Act:
        more = {"percent": step.percent, "variant": step.variant, "unproven": asked.unproven}
        by = replace(asked.by, cause=json.dumps({**json.loads(asked.by.cause), **more}))
        changed = {"state": step.before}, {"state": step.after, "percent": step.percent}
        return self._act(f"experiment.{asked.step.value.replace(' ', '_')}", subject, by, changed)

    def _act(self, act: str, subject: str, by: Signature, changed: Changed = (None, None)) -> Act:
        return by.act(act, subject, self._parts.clock.wall_us(), changed)

    async def _durable(self, *records: object) -> None:
        await asyncio.wrap_future(self._parts.log.append_durable(*records))


def versions_in(design: Experiment) -> tuple[str, ...]:
    """The policy versions that an experiment's variants name."""
    return _unique(value for each in design.variants for name, value in each.settings
                   if name == VERSION)  # fmt: skip


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
