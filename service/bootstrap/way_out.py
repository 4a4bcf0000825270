"""The way out: all that a request passes through, assembled for a plan, at the start and anew."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from learning.features import Featurizer
from service.bootstrap.escalation import climbing
from service.bootstrap.modalities import modal_ways, providers_of, seen_by
from service.bootstrap.prediction import prediction
from service.bootstrap.routing import bounds, fleet, table
from service.bootstrap.taxonomy import finder_of
from service.domain.catalog import Deployment
from service.domain.clock import Clock
from service.domain.live import LivePolicy
from service.domain.modalities import CHAT, CHAT_KIND
from service.orchestration.modalities import ModalWays
from service.plan.whole import Plan
from service.providers.base import Provider
from service.providers.registry import PROVIDERS
from service.routing.assignments import AssignmentHolder
from service.routing.budgets import Budgets
from service.routing.caching import PromptCaches
from service.routing.dispatch import Dispatcher, Means
from service.routing.fleet import Fleet
from service.routing.leaving import LeaveRules, Leaving
from service.routing.router import Router, RouterParts
from service.routing.sessions import Sessions
from service.runtime import Kept, Ledger
from service.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Ground:
    """What the way out stands on whatever the plan; it outlives a reload."""

    kept: Kept
    clock: Clock
    chance: random.Random
    secret: bytes
    sessions: Sessions
    ledger: Ledger
    telemetry: Telemetry
    assignments: AssignmentHolder
    budgets: Budgets
    caches: PromptCaches = field(default_factory=PromptCaches)


@dataclass(frozen=True, slots=True)
class WayOut:
    """One plan's way out. Requests under way keep the one that they began on."""

    catalog: tuple[Deployment, ...]
    fleet: Fleet
    router: Router
    dispatcher: Dispatcher
    providers: dict[str, Provider]
    modal: ModalWays
    leaving: Leaving | None = None


def way_out(
    plan: Plan,
    catalog: tuple[Deployment, ...],
    live: LivePolicy,
    ground: Ground,
    before: WayOut | None = None,
) -> WayOut:
    """Assembled for a plan. Of the one ``before``, what is known of the deployments that stay is
    kept (breakers, calls under way, what was sent in the last minute), and the providers with
    their connections: one for every dialect ever spoken here, closed at the stop, so that no call
    under way loses its connection.
    """
    clock = ground.clock
    health = fleet(plan, catalog, ground.kept, clock, random.Random(ground.chance.getrandbits(64)))
    if before is not None:
        health.inherit(before.fleet)
    stays = leaving(plan, catalog, ground, before)
    ground.ledger.caches = ground.caches
    parts = RouterParts(
        live=live,
        featurizer=Featurizer(plan.task_names),
        fleet=health,
        sessions=ground.sessions,
        holding=ground.kept.overrides.holding,
        clock=clock,
        chance=ground.chance,
        secret=ground.secret,
        assignments=ground.assignments,
        prediction=prediction(plan, catalog),
        budgets=ground.budgets,
        climbing=climbing(plan, catalog, clock, ground.secret),
        leaving=stays,
        caches=ground.caches,
    )
    finder = finder_of(plan, ground.kept.state_dir)
    whole = table(plan, catalog, finder)
    chat = seen_by(whole, CHAT_KIND)
    router = Router(chat, parts)
    providers = dict(before.providers) if before else {}
    for dialect in {each.dialect for each in catalog if each.modality == CHAT} - set(providers):
        providers[dialect] = PROVIDERS[dialect]()
        providers[dialect].incidents.tell = ground.telemetry.incident
    providers_of(catalog, providers, ground.telemetry)
    means = Means(
        catalog, providers, router.alternatives, health, ground.ledger, clock, bounds(plan),
        allowed=router.allowed, traceparent=ground.ledger.traceparent, budgets=ground.budgets,
    )  # fmt: skip
    modal = modal_ways(whole, parts, means, providers)
    means = replace(means, bounds=replace(means.bounds, ladders=chat.ladders))
    return WayOut(catalog, health, router, Dispatcher(means), providers, modal, stays)


def leaving(
    plan: Plan, catalog: tuple[Deployment, ...], ground: Ground, before: WayOut | None
) -> Leaving | None:
    """What reckons whether a session should leave, where the plan wants that."""
    wanted = plan.sessions.leave
    if wanted is None:
        return None
    rules = LeaveRules(
        wanted.sureness, wanted.held_out, wanted.reread_tokens_per_s, plan.reward.worth_usd,
        plan.reward.patience_s,
    )  # fmt: skip
    made = Leaving(rules, catalog, ground.caches, ground.clock)
    if before is not None and before.leaving is not None:
        made.inherit(before.leaving)
    return made
