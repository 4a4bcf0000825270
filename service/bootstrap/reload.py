"""The plan read again while the service runs: checked wholly, taken in one step, or refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from learning.errors import LearningError
from learning.features import Featurizer
from service.bootstrap.alerts import renew_channels
from service.bootstrap.batches import renew_batches
from service.bootstrap.budgets import budget_rules, log_tariffs
from service.bootstrap.caching import renew_caching
from service.bootstrap.capabilities import matter_of
from service.bootstrap.ensembles import take_ensembles
from service.bootstrap.escalation import attach_escalation
from service.bootstrap.experiments import take_plan
from service.bootstrap.jobs import refit_job
from service.bootstrap.judging import take_judging
from service.bootstrap.learning import (
    credit_rules,
    intake,
    policy_wanted,
    refit_rules,
    responses,
)
from service.bootstrap.prediction import attach_prediction
from service.bootstrap.refusals import refusal_rules
from service.bootstrap.relearning import relearn_job
from service.bootstrap.traces import attach_traces
from service.bootstrap.trust import trust_rules
from service.bootstrap.way_out import Ground, WayOut, way_out
from service.config import plan_digest, process_environment
from service.domain.acting import Person, Told, act_of
from service.domain.errors import HeadgateError, PlanInvalid, PlanRefused, StorageUnavailable
from service.domain.live import LivePolicy
from service.domain.plan_standing import PlanRefusal, PlanStanding
from service.feedback.versions import Wanted, is_of, wanted_now
from service.monitoring.weights import WeightBoard
from service.plan.whole import Plan
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.errors import StorageError

log = logging.getLogger("headgate")

LOOK_EVERY_S = 0.25
LEARNER_S = 60.0


@dataclass(frozen=True, slots=True)
class PlanSource:
    """The plan's file, and what reads and checks it wholly (raises PlanInvalid)."""

    path: Path
    load: Callable[[Path], Plan]


class _By(NamedTuple):
    """Who has the plan read again, and from where."""

    actor: str
    origin: str
    who: Person | None


class Reloader:
    """One reload at a time. Nothing is touched before the plan is good and the act is logged."""

    def __init__(self, runtime: Runtime, ground: Ground, way: WayOut, source: PlanSource) -> None:
        self._runtime, self._ground, self._way, self._source = runtime, ground, way, source
        self._one_at_a_time = asyncio.Lock()
        self._asked = False

    def ask(self) -> None:
        """Reload soon; a signal handler may call this."""
        self._asked = True

    def job(self) -> Job:
        """Looks whether a signal has asked for a reload."""
        return Job("plan", LOOK_EVERY_S, self._look)

    async def _look(self) -> None:
        if not self._asked:
            return
        self._asked = False
        try:
            standing = await self("headgate", "SIGHUP")
            log.warning("the plan %s is in force", standing.digest)
        except HeadgateError as error:
            log.error("the plan is not taken: %s", error)

    async def __call__(self, actor: str, origin: str, who: Person | None = None) -> PlanStanding:
        """Take the plan as its file now is; raises PlanRefused with every problem, or
        StorageUnavailable, and then the plan in force stays.
        """
        by = _By(actor, origin, who)
        async with self._one_at_a_time:
            digest = plan_digest(self._source.path)
            try:
                plan = await asyncio.to_thread(self._source.load, self._source.path)
                await self._take(plan, digest, by)
            except PlanInvalid as error:
                raise self._refused([str(each) for each in error.problems], by) from None
            except (LearningError, StorageError, OSError, ValueError) as error:
                raise self._refused([str(error)], by) from error
            except StorageUnavailable as error:
                self._refused([error.message], by)
                raise
            return self._runtime.plan_standing

    def _refused(self, problems: list[str], by: _By) -> PlanRefused:
        runtime, now_us = self._runtime, self._runtime.clock.wall_us()
        runtime.plan_standing = replace(
            runtime.plan_standing, refused=PlanRefusal(now_us, tuple(problems))
        )
        detail = {"from": by.origin, "problems": problems}
        in_force = runtime.plan_standing.digest
        told = Told("plan.refused", in_force, "it has problems", by.actor, detail)
        runtime.kept.log.append(act_of(by.who, now_us, told))
        return PlanRefused(
            "\n".join(["the plan is not taken; the one in force stays:", *problems]),
        )

    async def _take(self, plan: Plan, digest: str, by: _By) -> None:
        """All that may fail comes first; the swap itself waits for nothing."""
        runtime = self._runtime
        catalog = plan.catalog(process_environment())
        now_us = runtime.clock.wall_us()
        wanted = policy_wanted(plan, catalog, Featurizer(plan.task_names), now_us)
        since = runtime.learner.version
        wanted = wanted_now(wanted, runtime.learner.parts.versions)
        stays = is_of(since, wanted)
        # The old way out keeps the old holder, whose arms are in the order of its catalogue.
        live = runtime.live if stays else LivePolicy(runtime.live.current)
        live.others = runtime.live.others
        way = way_out(plan, catalog, live, self._ground, self._way)
        detail = {
            "from": by.origin,
            "deployments": [each.name for each in catalog],
            "new_version": not stays,
        }
        changed = {"plan": runtime.plan_standing.digest}, {"plan": digest}
        told = Told("plan.loaded", digest, "", by.actor, detail, *changed)
        await asyncio.wrap_future(runtime.kept.log.append_durable(act_of(by.who, now_us, told)))
        await runtime.budgets.follow(budget_rules(plan))
        await asyncio.to_thread(log_tariffs, runtime, catalog)
        if not stays:
            await self._learn_on(wanted, live, since.id)
        runtime.learner.judge_by(credit_rules(plan))
        self._swap(plan, way, live)
        await renew_caching(self._runtime, self._ground.secret)
        await renew_batches(self._runtime, self._ground.secret)
        if not stays:
            await runtime.experiments.promotions.end_watches("the plan changed the version")
        runtime.plan_standing = PlanStanding(
            digest, now_us, runtime.plan_standing.reloads + 1, None
        )

    async def _learn_on(self, wanted: Wanted, live: LivePolicy, instead_of: str) -> None:
        """Let the learner go on under the new version; it comes to it in its own order."""
        done = self._runtime.learner.change(wanted, live, instead_of)
        waiting = asyncio.wrap_future(done)
        try:
            await asyncio.wait_for(asyncio.shield(waiting), LEARNER_S)
        except TimeoutError:
            if done.cancel():
                raise StorageUnavailable(
                    "the learner does not come to it now; try again", retry_after_s=5.0
                ) from None
            await waiting  # it is at it, and that is bounded

    def _swap(self, plan: Plan, way: WayOut, live: LivePolicy) -> None:
        runtime, clock = self._runtime, self._runtime.clock
        if runtime.live is not live:
            holding = runtime.kept.overrides.holding
            runtime.weights = WeightBoard(live, holding, clock)
        if runtime.plan.reward.metric != plan.reward.metric:
            runtime.responses = responses(plan, runtime.kept, clock)
        runtime.plan, runtime.catalog, runtime.live = plan, way.catalog, live
        runtime.router, runtime.dispatcher = way.router, way.dispatcher
        runtime.modalities.ways = way.modal
        runtime.fleet, runtime.load.bounds = way.fleet, plan.service
        runtime.refusals.rules = refusal_rules(plan)
        runtime.providers, self._way = way.providers, way
        runtime.board.retain(tuple(each.name for each in way.catalog))
        provider_names = {each.name: each.provider for each in way.catalog}
        boards = runtime.board, runtime.weights, runtime.outage
        runtime.ledger.renew(boards, provider_names)
        ratings = runtime.intake.weights
        if ratings is not None:
            ratings.trust.take_rules(trust_rules(plan))
        runtime.intake = intake(plan, runtime.kept, runtime.learner, clock, ratings)
        runtime.quality.rules = refit_rules(plan)
        self._ground.sessions.idle_s = plan.sessions.idle_s
        runtime.telemetry.forget_arms()
        runtime.scheduler.put(refit_job(runtime))
        runtime.scheduler.put(relearn_job(runtime))
        attach_traces(runtime, process_environment())
        if runtime.ledger.tracer is not None:
            runtime.ledger.tracer.start()
        take_plan(runtime)
        renew_channels(runtime, process_environment())
        runtime.people.take_plan()
        runtime.capabilities.matter = matter_of(plan)
        take_judging(runtime)
        attach_prediction(runtime)
        attach_escalation(runtime)
        take_ensembles(runtime)
