"""A runtime from a plan and settings."""

from __future__ import annotations

import logging
import random
import secrets

from learning.features import Featurizer
from service.bootstrap import experiments
from service.bootstrap.alerts import attach_alerts
from service.bootstrap.batches import attach_batches
from service.bootstrap.benchmarks import attach_benchmarks
from service.bootstrap.budgets import attach_budgets
from service.bootstrap.caching import attach_caching
from service.bootstrap.capabilities import attach_capabilities
from service.bootstrap.conversations import attach_conversations
from service.bootstrap.escalation import attach_escalation
from service.bootstrap.jobs import jobs
from service.bootstrap.judging import attach_judging
from service.bootstrap.learning import intake, learning, propensities, responses
from service.bootstrap.modalities import attach_modalities
from service.bootstrap.opening import hash_key, open_kept
from service.bootstrap.overrides import attach_overrides, resume_pins
from service.bootstrap.people import attach_people
from service.bootstrap.prediction import attach_prediction
from service.bootstrap.queue import attach
from service.bootstrap.refusals import refusals
from service.bootstrap.relearning import attach_relearning
from service.bootstrap.reload import PlanSource, Reloader
from service.bootstrap.routing import sessions
from service.bootstrap.shadow import attach_shadows
from service.bootstrap.taxonomy import attach_asking, attach_taxonomy
from service.bootstrap.traces import attach_traces
from service.bootstrap.trends import attach_trends
from service.bootstrap.trust import weights as weights_of
from service.bootstrap.way_out import Ground, WayOut, way_out
from service.bootstrap.workflows import attach_workflows
from service.config import Settings, plan_digest, process_environment
from service.domain.clock import Clock, SystemClock
from service.domain.plan_standing import PlanStanding
from service.monitoring.live import LiveBoard
from service.monitoring.load import Load
from service.monitoring.outage import OutageWatch
from service.monitoring.weights import WeightBoard
from service.plan.whole import Plan
from service.routing.assignments import AssignmentHolder
from service.routing.budgets import Budgets
from service.routing.key_limits import KeyLimits
from service.runtime import Kept, Ledger, Runtime
from service.scheduler import Scheduler
from service.storage.errors import ReadFailed
from service.telemetry import Telemetry

log = logging.getLogger("headgate")


def build(
    plan: Plan,
    settings: Settings,
    clock: Clock | None = None,
    seed: int | None = None,
    source: PlanSource | None = None,
) -> Runtime:
    """A runtime on a state directory; raises StorageError, PlanInvalid or HeadgateError.

    ``source`` is where a reload finds the plan; without it there is no reload. A live file that
    opens and then cannot be read is rebuilt from the history, once.
    """
    clock = clock or SystemClock()
    notices: list[str] = []
    chance = random.Random(secrets.randbits(128) if seed is None else seed)
    kept = open_kept(settings, clock, notices)
    first_key = None
    try:
        first_key = kept.keys.bootstrap(settings.bootstrap_key)
        runtime, ground, way = _joined(plan, settings, kept, clock, chance)
    except ReadFailed as error:
        log.error("the live file is damaged: %s", error)
        kept.close()
        kept = open_kept(settings, clock, notices, damage=str(error))
        first_key = kept.keys.bootstrap(settings.bootstrap_key) or first_key
        runtime, ground, way = _joined(plan, settings, kept, clock, chance)
    except BaseException:
        kept.close()
        raise
    attach_conversations(runtime, ground.secret)
    if skipped := runtime.learner.skipped:
        notices.append(
            f"{len(skipped)} checkpoints were damaged or gone and were passed over (the newest is "
            f"{skipped[0]}); what was learned was taken from the one before and the logged updates"
        )
    attach_modalities(runtime, way.modal)
    runtime.notices[:0] = notices  # the list itself is held by others
    runtime.first_key = first_key
    runtime.plan_standing = PlanStanding(
        plan_digest(source.path) if source else "", clock.wall_us()
    )
    if source is not None:
        reloader = Reloader(runtime, ground, way, source)
        runtime.reload, runtime.ask_reload = reloader, reloader.ask
        runtime.scheduler.put(reloader.job())
    attach_caching(runtime, ground.secret)
    attach_batches(runtime, ground.secret)
    runtime.learner.start()
    experiments.resume(runtime)
    resume_pins(runtime)
    return runtime


def _joined(
    plan: Plan, settings: Settings, kept: Kept, clock: Clock, chance: random.Random
) -> tuple[Runtime, Ground, WayOut]:
    catalog = plan.catalog(process_environment())
    live, learner, refitter = learning(plan, catalog, Featurizer(plan.task_names), kept, clock)
    board = LiveBoard(tuple(each.name for each in catalog), clock)
    weights = WeightBoard(live, kept.overrides.holding, clock)
    provider_names = {each.name: each.provider for each in catalog}
    outage, telemetry = OutageWatch(clock), Telemetry()
    ledger = Ledger(kept, learner, (board, weights, outage), telemetry, provider_names, clock)
    ground = Ground(
        kept, clock, chance, hash_key(settings), sessions(plan, kept, clock), ledger, telemetry,
        AssignmentHolder(), Budgets(clock, kept.keys.name_of),
    )  # fmt: skip
    way = way_out(plan, catalog, live, ground)
    runtime = Runtime(
        plan=plan,
        catalog=catalog,
        clock=clock,
        kept=kept,
        live=live,
        router=way.router,
        fleet=way.fleet,
        dispatcher=way.dispatcher,
        learner=learner,
        intake=intake(plan, kept, learner, clock, weights_of(plan, kept, ground.secret, telemetry)),
        ledger=ledger,
        board=board,
        weights=weights,
        responses=responses(plan, kept, clock),
        propensities=propensities(kept, clock),
        quality=refitter,
        refusals=refusals(plan, kept, clock, telemetry, ledger.outcome, ground.secret),
        telemetry=telemetry,
        providers=way.providers,
        scheduler=Scheduler([]),
        load=Load(plan.service, telemetry),
        key_limits=KeyLimits(),
        outage=outage,
        plan_standing=PlanStanding("", 0),
    )
    attach(runtime, hash_key(settings), process_environment())
    _attached(runtime, ground)
    return runtime, ground, way


def _attached(runtime: Runtime, ground: Ground) -> None:
    """What stands beside the requests, in the order in which one part needs another."""
    runtime.scheduler = Scheduler(jobs(runtime))
    experiments.attach(runtime, ground.assignments)
    attach_overrides(runtime)
    attach_shadows(runtime)
    attach_trends(runtime)
    attach_capabilities(runtime)
    attach_traces(runtime, process_environment())
    attach_alerts(runtime, process_environment())
    attach_people(runtime)
    attach_taxonomy(runtime)
    attach_asking(runtime)
    attach_benchmarks(runtime)
    attach_judging(runtime)
    attach_prediction(runtime)
    attach_escalation(runtime)
    attach_relearning(runtime)
    attach_budgets(runtime, ground.budgets)
    attach_workflows(runtime, ground.secret)
