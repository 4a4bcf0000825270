"""A runtime from a plan and settings."""

from __future__ import annotations

import random
import secrets

from learning.features import Featurizer
from service.bootstrap.jobs import jobs
from service.bootstrap.learning import intake, learning, responses
from service.bootstrap.opening import hash_key, open_kept
from service.bootstrap.queue import attach
from service.bootstrap.refusals import refusals
from service.bootstrap.routing import bounds, fleet, sessions, table
from service.config import Settings, process_environment
from service.domain.clock import Clock, SystemClock
from service.monitoring.live import LiveBoard
from service.monitoring.load import Load
from service.monitoring.outage import OutageWatch
from service.monitoring.weights import WeightBoard
from service.plan.whole import Plan
from service.providers.registry import PROVIDERS
from service.routing.dispatch import Dispatcher, Means
from service.routing.key_limits import KeyLimits
from service.routing.router import Router, RouterParts
from service.runtime import Ledger, Runtime
from service.scheduler import Scheduler
from service.telemetry import Telemetry


def build(
    plan: Plan, settings: Settings, clock: Clock | None = None, seed: int | None = None
) -> Runtime:
    """A runtime on a state directory; raises StorageError, PlanInvalid or HeadgateError."""
    clock = clock or SystemClock()
    notices: list[str] = []
    catalog = plan.catalog(process_environment())
    kept = open_kept(settings, clock, notices)
    first_key = kept.keys.bootstrap(settings.bootstrap_key)
    featurizer = Featurizer(plan.task_names)
    live, learner, refitter = learning(plan, catalog, featurizer, kept, clock)
    chance = random.Random(secrets.randbits(128) if seed is None else seed)
    health = fleet(plan, catalog, kept, clock, random.Random(chance.getrandbits(64)))
    parts = RouterParts(
        live=live,
        featurizer=featurizer,
        fleet=health,
        sessions=sessions(plan, kept, clock),
        holding=kept.overrides.holding,
        clock=clock,
        chance=chance,
        secret=hash_key(settings),
    )
    router = Router(table(plan, catalog), parts)
    board = LiveBoard(tuple(each.name for each in catalog), clock)
    weights = WeightBoard(live, kept.overrides.holding, clock)
    telemetry = Telemetry()
    provider_names = {each.name: each.provider for each in catalog}
    outage = OutageWatch(clock)
    ledger = Ledger(kept, learner, (board, weights), telemetry, provider_names, outage)
    providers = {name: PROVIDERS[name]() for name in {each.dialect for each in catalog}}
    for each in providers.values():
        each.incidents.tell = telemetry.incident
    means = Means(catalog, providers, router.alternatives, health, ledger, clock, bounds(plan))
    runtime = Runtime(
        plan=plan,
        catalog=catalog,
        clock=clock,
        kept=kept,
        live=live,
        router=router,
        fleet=health,
        dispatcher=Dispatcher(means),
        learner=learner,
        intake=intake(plan, kept, learner, clock),
        ledger=ledger,
        board=board,
        weights=weights,
        responses=responses(plan, kept, clock),
        quality=refitter,
        refusals=refusals(plan, kept, clock, telemetry, ledger.outcome, parts.secret),
        telemetry=telemetry,
        providers=providers,
        scheduler=Scheduler([]),
        load=Load(plan.service, telemetry),
        key_limits=KeyLimits(),
        outage=outage,
        notices=notices,
        first_key=first_key,
    )
    attach(runtime, hash_key(settings), process_environment())
    runtime.scheduler = Scheduler(jobs(runtime))
    learner.start()
    return runtime
