"""The live objects by name: what a route may ask for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from service.batching.whole import Batching
from service.benchmarking.desk import BenchmarkDesk
from service.caching.desk import Caching
from service.caching.passage import Ways
from service.domain.caching import CachedAnswer
from service.domain.catalog import Deployment
from service.domain.clock import Clock
from service.domain.errors import StorageUnavailable
from service.domain.live import LivePolicy
from service.domain.money import charge
from service.domain.plan_standing import PlanStanding, Reload
from service.domain.records import Attempt, Decision, Mode, Outcome
from service.experimentation.shadow import Shadows
from service.experimentation.whole import Experimentation
from service.feedback.intake import Intake
from service.feedback.learner import Learner
from service.feedback.refit import Refitter
from service.monitoring.alerting import Alerting
from service.monitoring.audit import PropensityAudit
from service.monitoring.capabilities import CapabilityBoard
from service.monitoring.live import LiveBoard
from service.monitoring.load import Load
from service.monitoring.notify import Notifier
from service.monitoring.outage import OutageWatch
from service.monitoring.responses import ResponseBoard
from service.monitoring.trends import TrendBoard
from service.monitoring.weights import WeightBoard
from service.monitoring.windows import MinuteWindows
from service.operating.budgets import BudgetDesk
from service.operating.dry_run import DryRun
from service.operating.overrides import OverrideDesk
from service.orchestration.answering import Answering
from service.orchestration.asking import Asker
from service.orchestration.conversation.keeping import Conversations
from service.orchestration.conversation.summarising import Summariser
from service.orchestration.ensembles.way import EnsembleWay
from service.orchestration.escalation.standing import Escalation
from service.orchestration.foretelling import Foretelling
from service.orchestration.mirror import Mirror
from service.orchestration.modalities import Modalities
from service.orchestration.panel import Panel
from service.orchestration.workflows.runs import Runs
from service.people.whole import People
from service.plan.whole import Plan
from service.providers.base import Provider
from service.queueing.whole import Queue
from service.routing.caching import PromptCaches
from service.routing.dispatch import Dispatcher
from service.routing.fleet import Fleet
from service.routing.key_limits import KeyLimits
from service.routing.refusals import Refusals
from service.routing.router import Router
from service.scheduler import Scheduler
from service.storage.approvals import ApprovalStore
from service.storage.cases import Case, Cases
from service.storage.database import Database, StateLock
from service.storage.errors import StorageError
from service.storage.event_log import EventLog
from service.storage.history import Publisher
from service.storage.key_uses import KeyUses
from service.storage.keys import KeyStore
from service.storage.overrides import OverrideStore
from service.storage.tally import Tally
from service.telemetry import Telemetry
from service.tracing.tracer import Tracer

log = logging.getLogger("headgate")


@dataclass(slots=True)
class Kept:
    """What is kept on disk."""

    state_dir: Path
    lock: StateLock
    database: Database
    log: EventLog
    tally: Tally
    cases: Cases
    keys: KeyStore
    key_uses: KeyUses
    approvals: ApprovalStore
    overrides: OverrideStore
    publisher: Publisher

    def close(self) -> None:
        """End the writer and let everything go; what cannot be closed does not stop the rest."""
        ends: tuple[Callable[[], None], ...] = (
            self.log.stop, self.database.close, self.tally.close, self.lock.release,
        )  # fmt: skip
        for end in ends:
            try:
                end()
            except Exception:
                log.exception("a part of what is kept could not be closed")


class Ledger:
    """Where decisions, attempts and outcomes go: the log, the case, the learner, the boards."""

    def __init__(
        self,
        kept: Kept,
        learner: Learner,
        boards: tuple[LiveBoard, WeightBoard, OutageWatch],
        telemetry: Telemetry,
        providers: dict[str, str],
        clock: Clock,
    ) -> None:
        self._log, self._cases, self._tally = kept.log, kept.cases, kept.tally
        self._learner = learner
        self._live, self._weights, self._outage = boards
        self._telemetry = telemetry
        self._provider_of = providers
        self._clock = clock
        self.guarded: Callable[[Decision, Outcome], None] = lambda decision, outcome: None
        self.tracer: Tracer | None = None
        self.caches: PromptCaches | None = None
        self.windows = MinuteWindows(clock)
        self._shed: set[str] = set()  # decisions under way that the log had no room for
        self.offer: Callable[[Decision], None] = lambda _: None  # to the shadows
        self.classified: Callable[[Decision], None] = lambda _: None  # to the queue of review

    def renew(
        self, boards: tuple[LiveBoard, WeightBoard, OutageWatch], providers: dict[str, str]
    ) -> None:
        """Go on with the boards of another plan; calls of the old one may still end here."""
        self._live, self._weights, self._outage = boards
        self._provider_of = {**self._provider_of, **providers}

    def decision(self, decision: Decision) -> Case:
        """A decision was made: queued for the log before the call. When the log has no room it
        is shed with all that follows from it: neither logged nor learned.
        """
        case = Case(decision, made_s=self._clock.monotonic_s())
        if self._log.append(decision):
            if decision.predicted is not None:
                self._log.append(decision.predicted)
            if decision.climb is not None:
                self._log.append(decision.climb)
            if decision.stay is not None:
                self._log.append(decision.stay)
            self._tally.decision()
            self._cases.add(case)
            self.offer(decision)
            self.classified(decision)
        else:
            self._shed.add(decision.id)
        self._weights.saw(decision)
        self._telemetry.decision(decision.policy.name, decision.mode.value)
        return case

    def cached(self, decision: Decision, outcome: Outcome, record: CachedAnswer | None) -> None:
        """A request was answered from what is kept, or waited for that in vain: logged and counted,
        and told to nobody who watches deployments, decides or learns.
        """
        case = Case(decision, outcome=outcome, made_s=self._clock.monotonic_s())
        if self._log.append(decision):
            self._tally.decision()
            self._cases.add(case)
            self._log.append(outcome)
            if record is not None:
                self._log.append(record)
        self._telemetry.decision(decision.policy.name, decision.mode.value)
        name = outcome.deployment or "none"
        self._telemetry.request(
            name, self._provider_of.get(name, "none"), outcome.status, outcome.mode.value,
            outcome.overhead_s,
        )  # fmt: skip
        if self.tracer is not None:
            self.tracer.ended(decision, (), outcome)

    def traceparent(self, decision_id: str, number: int) -> str:
        """What a call tells its provider of the trace that it belongs to."""
        return "" if self.tracer is None else self.tracer.traceparent(decision_id, number)

    def attempt(self, attempt: Attempt) -> None:
        """A call has ended."""
        if attempt.decision_id in self._shed:
            self._log.dropped += 1
        else:
            self._tally.attempt()
            self._log.append(attempt)
            if (more := attempt.usage.extras) is not None:
                self._log.append(charge(attempt, more))
            case = self._cases.recent(attempt.decision_id)
            if case is not None:
                case.attempts.append(attempt)
                if self.caches is not None:
                    self.caches.saw(case.decision, attempt)
                if attempt.role.beside and case.outcome is not None:
                    self._learner.ended(Case(case.decision, [attempt], case.outcome))
        self._live.attempt(attempt)
        self.windows.attempt(attempt)
        self._telemetry.attempt(
            attempt.deployment,
            attempt.error_kind and attempt.error_kind.value,
            attempt.usage.cost_micro_usd / 1e6,
            attempt.ttft_s,
        )
        tokens = attempt.usage.tokens_in, attempt.usage.tokens_out
        self._telemetry.call(attempt.deployment, attempt.role.value, attempt.latency_s, tokens)

    def outcome(self, outcome: Outcome) -> None:
        """A request has ended."""
        self._live.outcome(outcome)
        self.windows.outcome(outcome)
        if outcome.status == 200 and outcome.mode is not Mode.BATCH:
            self._outage.answered()
        name = outcome.deployment or "none"
        self._telemetry.request(
            name, self._provider_of.get(name, "none"), outcome.status, outcome.mode.value,
            outcome.overhead_s,
        )  # fmt: skip
        self._telemetry.took(outcome.latency_s, outcome.mode)
        if outcome.decision_id in self._shed:
            self._shed.discard(outcome.decision_id)
            self._log.dropped += 1
            return
        self._log.append(outcome)
        case = self._cases.recent(outcome.decision_id)
        if case is not None:
            case.outcome = outcome
            if self.tracer is not None:
                self.tracer.ended(case.decision, case.attempts, outcome)
            if case.decision.assigned:
                self.guarded(case.decision, outcome)
            self._learner.ended(case)


@dataclass(slots=True)
class Runtime:
    """Everything that runs."""

    plan: Plan
    catalog: tuple[Deployment, ...]
    clock: Clock
    kept: Kept
    live: LivePolicy
    router: Router
    fleet: Fleet
    dispatcher: Dispatcher
    learner: Learner
    intake: Intake
    ledger: Ledger
    board: LiveBoard
    weights: WeightBoard
    responses: ResponseBoard
    propensities: PropensityAudit
    quality: Refitter
    refusals: Refusals
    telemetry: Telemetry
    providers: dict[str, Provider]
    scheduler: Scheduler
    load: Load
    key_limits: KeyLimits
    outage: OutageWatch
    plan_standing: PlanStanding
    answering: Answering = field(init=False)
    workflows: Runs = field(init=False)
    mirror: Mirror = field(init=False)
    panel: Panel = field(init=False)
    shadows: Shadows = field(init=False)
    notifier: Notifier | None = None
    queue: Queue | None = None
    conversations: Conversations | None = None
    summariser: Summariser | None = None
    prediction: Foretelling | None = None
    escalation: Escalation | None = None
    batches: Batching | None = None
    caching: Caching | None = None
    caching_ways: Ways | None = None  # of the plan in force
    experiments: Experimentation = field(init=False)
    trends: TrendBoard = field(init=False)
    capabilities: CapabilityBoard = field(init=False)
    alerts: Alerting = field(init=False)
    operating: OverrideDesk = field(init=False)
    trying: DryRun = field(init=False)
    people: People = field(init=False)
    asker: Asker = field(init=False)
    ensembles: EnsembleWay = field(init=False)
    benchmarks: BenchmarkDesk = field(init=False)
    budgets: BudgetDesk = field(init=False)
    modalities: Modalities = field(init=False)
    notices: list[str] = field(default_factory=list)
    first_key: str | None = None
    reload: Reload | None = None
    ask_reload: Callable[[], None] = lambda: None
    approving: asyncio.Lock = field(default_factory=asyncio.Lock)
    key_changes: asyncio.Lock = field(default_factory=asyncio.Lock)  # one change at a time
    costing: asyncio.Lock = field(default_factory=asyncio.Lock)  # one look at costs at a time
    weighing: asyncio.Lock = field(default_factory=asyncio.Lock)  # one estimate at a time
    replaying: asyncio.Lock = field(default_factory=asyncio.Lock)  # one replay at a time

    def __post_init__(self) -> None:
        self.answering = Answering(lambda: self.dispatcher)

    @property
    def under_way(self) -> int:
        """Requests in work."""
        return self.load.under_way

    async def case(self, decision_id: str) -> Case | None:
        """A case from memory, or from the log without holding the loop."""
        found = self.kept.cases.recent(decision_id)
        if found is None:
            try:
                loaded = await asyncio.to_thread(self.kept.cases.load, decision_id)
            except StorageError as error:
                log.error("a case cannot be read: %s", error)
                raise StorageUnavailable(
                    "this cannot be read from the log now; try again, and if it stays so, let an "
                    "operator look at the live file (headgate restore)",
                    retry_after_s=5.0,
                ) from None
            # Another request may have loaded it meanwhile: there is one case of a decision.
            found = self.kept.cases.recent(decision_id) or loaded
            if found is not None and found is loaded:
                self.kept.cases.add(found)
        return found

    def ready(self) -> list[str]:
        """Why the service is not fully ready; empty when it is."""
        reasons = []
        if not self.kept.log.healthy:
            reasons.append(
                f"storage cannot be written: {self.kept.log.failure}; feedback, overrides and "
                "reloads are refused, learning is frozen, routing goes on"
            )
        if not self.learner.alive:
            reasons.append("the learner does not run")
        if self.load.stopping:
            reasons.append("stopping")
        return reasons

    async def start(self) -> None:
        """Start what runs beside the requests; the history can be opened from now on."""
        try:
            await asyncio.to_thread(self.publish)
        except Exception as error:  # the job tries again, and tells of it
            log.error("the history cannot be published now: %s", error)
        self.scheduler.start()
        await self.workflows.resume()
        self.load.lag.start()
        if self.ledger.tracer is not None:
            self.ledger.tracer.start()

    def publish(self) -> None:
        """Publish what is durable; blocks."""
        now_s, keep_days = self.clock.wall_us() / 1e6, self.plan.history.keep_days
        self.kept.publisher.publish(self.kept.log.last_seq, now_s, keep_days)

    async def stop(self) -> None:
        """End in an order that loses nothing: calls, learner, log, publication, file."""
        self.load.stopping = True
        self.load.lag.stop()
        if self.queue is not None:
            await self.queue.workers.stop()
        if self.batches is not None:
            await self.batches.stop()
        await self.scheduler.stop()
        await self.workflows.stop()
        await self.mirror.stop()
        await self.panel.stop()
        if self.caching is not None:
            await self.caching.stop()
        if self.summariser is not None:
            await self.summariser.stop()
        if self.queue is not None:
            await self.queue.stop()
        if self.notifier is not None:
            await self.notifier.stop()
        await self.alerts.channels.stop()
        for provider in self.providers.values():
            await provider.close()
        if self.conversations is not None:
            await asyncio.to_thread(self.conversations.close)
        await asyncio.to_thread(self._stop_storage)

    def _stop_storage(self) -> None:
        self.kept.key_uses.keep(self.kept.keys.used_us)
        if self.ledger.tracer is not None:
            self.ledger.tracer.stop()
        self.learner.stop()
        self.kept.log.stop()
        try:
            self.publish()
        except Exception:  # it stays in the live file, and the next start publishes it
            log.exception("the last publication failed")
        self.kept.close()
