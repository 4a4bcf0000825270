"""Makes the objects and joins them; the only file that knows every class."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import secrets
import time
from pathlib import Path

from experiments.statistics.response_rate import Cell
from learning.features import Featurizer
from learning.policies import registry
from learning.policies.base import PolicySetup
from learning.reward import RewardScale
from service.config import Plan, Settings, child_environment
from service.domain.catalog import Deployment
from service.domain.clock import Clock, SystemClock, new_id
from service.domain.live import LivePolicy, Published
from service.domain.records import Act, PolicyMark
from service.feedback.credit import CreditRules
from service.feedback.intake import Intake, Scale
from service.feedback.learner import Learner, LearnerParts
from service.feedback.refit import RefitParts, RefitRules, Refitter
from service.feedback.versions import Resumed, Wanted, arm_of, promoted, resume
from service.monitoring.live import LiveBoard
from service.monitoring.responses import ResponseBoard
from service.monitoring.weights import WeightBoard
from service.providers.registry import PROVIDERS
from service.routing.asked import Dials, RoutingTable, Rule
from service.routing.dispatch import Bounds, Dispatcher, Means
from service.routing.eligibility import RateWindows
from service.routing.router import Router, RouterParts
from service.routing.sessions import Sessions
from service.runtime import Kept, Ledger, Runtime
from service.scheduler import Job, Scheduler
from service.storage.cases import Cases, at_time, rows_of
from service.storage.database import StateLock
from service.storage.event_log import EventLog
from service.storage.history import Publisher, read_manifest
from service.storage.keys import KeyStore
from service.storage.overrides import OverrideStore
from service.storage.responses import drawn_responses
from service.storage.restore import open_live
from service.storage.tally import Tally
from service.storage.updates import unlearned
from service.storage.versions import VersionStore
from service.telemetry import Telemetry

log = logging.getLogger("headgate")

PUBLISH_EVERY_S = 30.0
RESPONSES_EVERY_S = 60.0
UNLEARNED_WINDOW_US = 3_600_000_000
SESSION_SPAN_US = 7 * 86_400_000_000
HASH_KEY_FILE = "hash.key"


def build(
    plan: Plan, settings: Settings, clock: Clock | None = None, seed: int | None = None
) -> Runtime:
    """A runtime on a state directory; raises StorageError, PlanInvalid or HeadgateError."""
    clock = clock or SystemClock()
    notices: list[str] = []
    catalog = plan.catalog()
    kept = _open(settings, clock, notices)
    first_key = kept.keys.bootstrap(settings.bootstrap_key)
    featurizer = Featurizer(plan.task_names)
    live, learner, refitter = _learning(plan, catalog, featurizer, kept, clock)
    windows = RateWindows(catalog)
    parts = RouterParts(
        live=live,
        featurizer=featurizer,
        windows=windows,
        sessions=_sessions(plan, kept, clock),
        holding=kept.overrides.holding,
        clock=clock,
        chance=random.Random(secrets.randbits(128) if seed is None else seed),
        secret=_hash_key(settings),
    )
    router = Router(_table(plan, catalog), parts)
    board = LiveBoard(tuple(each.name for each in catalog), clock)
    weights = WeightBoard(live, kept.overrides.holding, clock)
    telemetry = Telemetry()
    provider_names = {each.name: each.provider for each in catalog}
    ledger = Ledger(kept, learner, (board, weights), telemetry, provider_names)
    providers = {name: PROVIDERS[name]() for name in {each.dialect for each in catalog}}
    bounds = Bounds(
        tuple(plan.service.attempt_timeouts_s), plan.service.stream_idle_s, plan.service.deadline_s
    )
    means = Means(catalog, providers, router.alternatives, windows.sent, ledger, clock, bounds)
    runtime = Runtime(
        plan=plan,
        catalog=catalog,
        clock=clock,
        kept=kept,
        live=live,
        router=router,
        dispatcher=Dispatcher(means),
        learner=learner,
        intake=_intake(plan, kept, learner, clock),
        ledger=ledger,
        board=board,
        weights=weights,
        responses=_responses(plan, kept, clock),
        quality=refitter,
        telemetry=telemetry,
        providers=providers,
        scheduler=Scheduler([]),
        notices=notices,
        first_key=first_key,
    )
    runtime.scheduler = Scheduler(_jobs(runtime))
    learner.start()
    return runtime


def _learning(
    plan: Plan,
    catalog: tuple[Deployment, ...],
    featurizer: Featurizer,
    kept: Kept,
    clock: Clock,
) -> tuple[LivePolicy, Learner, Refitter]:
    """The live policy as it stood, its learner with what a kill left uncredited queued, and the
    refits of its prior.
    """
    versions = VersionStore(kept.database, kept.state_dir)
    now_us = clock.wall_us()
    wanted = _wanted(plan, catalog, featurizer, now_us)
    resumed = resume(wanted, versions, kept.database.cursor, now_us)
    if resumed.is_new:
        resumed = promoted(resumed, versions, kept.log)
    mark = PolicyMark(
        resumed.version.policy, resumed.version.id, resumed.checkpoint_id, resumed.update_seq
    )
    live = LivePolicy(Published(resumed.policy.chooser(resumed.last_at_us / 1e6), mark))
    rules = CreditRules(plan.reward.metric, plan.policy.learn_from_pinned)
    learner = Learner(resumed, LearnerParts(kept.log, versions, live, clock, rules))
    parts = RefitParts(
        kept.log, kept.database.cursor, versions, learner, clock, child_environment()
    )
    refitter = Refitter(_refit_rules(plan), parts)
    refitter.resume(resumed.is_new)
    _credit_unlearned(kept, learner, clock, resumed)
    return live, learner, refitter


def _refit_rules(plan: Plan) -> RefitRules:
    """Answers age in the refit as they do in the policy, where that says how."""
    half_life_s = plan.policy.parameters.get("quality_half_life_s", RefitRules().half_life_s)
    return RefitRules(plan.quality.least_ratings, float(half_life_s))


def _open(settings: Settings, clock: Clock, notices: list[str]) -> Kept:
    state_dir = settings.state_dir
    lock = StateLock(state_dir)
    database, restored = open_live(state_dir)
    event_log = EventLog(database)
    event_log.start()
    counts = rows_of(
        database.cursor(),
        "SELECT (SELECT count(*) FROM decisions) AS d, (SELECT count(*) FROM attempts) AS a",
    )[0]
    tally = Tally(state_dir)
    lost = tally.lost(counts["d"], counts["a"])
    detail: dict[str, object] = {"lost_decisions": lost[0], "lost_attempts": lost[1]}
    if any(lost):
        notices.append(
            f"{lost[0]} decisions and {lost[1]} attempts of the last moments before the stop "
            "were not durable yet and are lost; nothing acknowledged is"
        )
    if restored is not None:
        detail["restored_rows"] = restored.rows
        detail["set_aside"] = list(restored.set_aside)
        notices.append(
            f"the live file was mended from the published history: {restored.rows} rows put "
            f"back ({restored.reason}); rows that came after the last publication "
            f"({_published_at(state_dir)}) cannot be restored"
            + (f"; the damaged files are {', '.join(restored.set_aside)}" if restored.set_aside
               else "")
        )  # fmt: skip
    event_log.append(
        Act(new_id(), clock.wall_us(), "headgate", "service.started", str(state_dir.name), "",
            json.dumps(detail))
    )  # fmt: skip
    return Kept(
        state_dir=state_dir,
        lock=lock,
        database=database,
        log=event_log,
        tally=tally,
        cases=Cases(database.cursor),
        keys=KeyStore(database, event_log, clock),
        overrides=OverrideStore(database, event_log, clock),
        publisher=Publisher(database, state_dir),
    )


def _published_at(state_dir: Path) -> str:
    at_s = read_manifest(state_dir).published_at
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at_s)) if at_s else "none yet"


def _wanted(
    plan: Plan, catalog: tuple[Deployment, ...], featurizer: Featurizer, now_us: int
) -> Wanted:
    setup = PolicySetup(
        arms=tuple(arm_of(each, now_us) for each in catalog),
        features=featurizer.names,
        scale=RewardScale(plan.reward.worth_usd, plan.reward.patience_s),
    )
    parameters, budget_usd = dict(plan.policy.parameters), plan.budgets.usd_per_request
    if budget_usd is not None and registry.POLICIES[plan.policy.kind].takes_budget:
        parameters.setdefault("budget_usd", budget_usd)
    return Wanted(plan.policy.name, plan.policy.kind, parameters, setup)


def _table(plan: Plan, catalog: tuple[Deployment, ...]) -> RoutingTable:
    return RoutingTable(
        catalog=catalog,
        tasks=tuple((task.name, task.condition) for task in plan.tasks),
        rules=tuple(
            Rule(rule.condition, rule.task, tuple(rule.use), tuple(rule.exclude))
            for rule in plan.rules
        ),
        tiers=tuple(plan.tiers),
        policy=plan.policy.name,
        sticky=plan.sessions.sticky,
        dials=Dials(plan.dials.tenants, plan.dials.tiers),
    )


def _intake(plan: Plan, kept: Kept, learner: Learner, clock: Clock) -> Intake:
    scales = {
        name: Scale(metric.scale, tuple(metric.labels))
        for name, metric in plan.feedback.metrics.items()
    }
    return Intake(scales, plan.feedback.expires_days, kept.log, learner, clock)


def _responses(plan: Plan, kept: Kept, clock: Clock) -> ResponseBoard:
    def counts(since_us: int, until_us: int) -> list[Cell]:
        return drawn_responses(kept.database.cursor(), plan.reward.metric, since_us, until_us)

    return ResponseBoard(counts, clock)


def _sessions(plan: Plan, kept: Kept, clock: Clock) -> Sessions:
    """The sessions that were held before the restart are held again."""
    sessions, now_us = Sessions(plan.sessions.idle_s), clock.wall_us()
    rows = rows_of(
        kept.database.cursor(),
        "SELECT session, arg_max(deployment, log_seq) FILTER (mode = 'randomised') AS deployment, "
        "arg_max(id, log_seq) FILTER (mode = 'randomised') AS id FROM decisions "
        "WHERE session <> '' AND ts >= ? GROUP BY session HAVING max(ts) >= ? AND id IS NOT NULL",
        [at_time(now_us - SESSION_SPAN_US), at_time(now_us - int(plan.sessions.idle_s * 1e6))],
    )
    for row in rows:
        sessions.hold(row["session"], row["deployment"], str(row["id"]), clock.monotonic_s())
    return sessions


def _credit_unlearned(kept: Kept, learner: Learner, clock: Clock, resumed: Resumed) -> None:
    outcomes, rated = unlearned(
        kept.database.cursor(), min(resumed.last_at_us, clock.wall_us()) - UNLEARNED_WINDOW_US
    )
    for decision_id in outcomes:
        case = kept.cases.load(decision_id)
        if case is not None:
            learner.ended(case)
    for decision_id in rated:
        case = kept.cases.load(decision_id)
        if case is not None:
            for feedback in case.feedback.values():
                learner.rated(case, feedback)


def _hash_key(settings: Settings) -> bytes:
    """The key of all keyed hashes: from the environment, or made once and kept beside the data."""
    if settings.hash_key is not None:
        return settings.hash_key.encode()[:64]
    path: Path = settings.state_dir / HASH_KEY_FILE
    if not path.exists():
        aside = path.with_suffix(".aside")
        aside.touch(mode=0o600)
        aside.write_bytes(secrets.token_bytes(32))
        aside.rename(path)
    return path.read_bytes()


def _jobs(runtime: Runtime) -> list[Job]:
    kept, telemetry = runtime.kept, runtime.telemetry

    async def weigh() -> None:
        keep = await asyncio.to_thread(runtime.weights.evaluate)
        for weight in keep:
            kept.log.append(weight)
        for weight in runtime.weights.current:
            telemetry.weight(weight.task, weight.deployment, weight.share)
        for deployment, state in runtime.live.current.states().items():
            telemetry.state(deployment, state)
        telemetry.gauge("log_queued", kept.log.queued)
        telemetry.gauge("learner_waiting", runtime.learner.waiting)
        telemetry.gauge("storage_healthy", float(kept.log.healthy))

    async def expire() -> None:
        for override in kept.overrides.expire():
            log.info("override %s (%s %s) has expired", override.id, override.action,
                     override.deployment)  # fmt: skip
            kept.log.append(
                Act(new_id(), runtime.clock.wall_us(), "headgate", "override.expired",
                    override.id, "expiry", json.dumps({"deployment": override.deployment}))
            )  # fmt: skip

    async def publish() -> None:
        await asyncio.to_thread(kept.publisher.publish, kept.log.last_seq)

    async def count_responses() -> None:
        await asyncio.to_thread(runtime.responses.evaluate)

    every_s = runtime.plan.quality.refit_minutes * 60.0
    refits = [Job("quality", every_s, runtime.quality.turn)] if every_s else []
    return [
        Job("weights", 1.0, weigh),
        Job("responses", RESPONSES_EVERY_S, count_responses),
        Job("expiry", 0.5, expire),
        Job("publication", PUBLISH_EVERY_S, publish),
        *refits,
    ]
