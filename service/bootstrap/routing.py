"""The way out: all that a request passes through, assembled for a plan."""

from __future__ import annotations

import random
from dataclasses import dataclass

from learning.features import Featurizer
from service.domain.catalog import Deployment
from service.domain.clock import Clock
from service.domain.live import LivePolicy
from service.plan.whole import Plan
from service.providers.base import Provider
from service.providers.registry import PROVIDERS
from service.routing.asked import Dials, RoutingTable, Rule
from service.routing.dispatch import Bounds, Dispatcher, Means
from service.routing.eligibility import RateWindows
from service.routing.router import Router, RouterParts
from service.routing.sessions import Sessions
from service.runtime import Kept, Ledger
from service.storage.cases import at_time, rows_of

SESSION_SPAN_US = 7 * 86_400_000_000


@dataclass(frozen=True, slots=True)
class Ground:
    """What the way out stands on whatever the plan; it outlives a reload."""

    kept: Kept
    clock: Clock
    chance: random.Random
    secret: bytes
    sessions: Sessions
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class WayOut:
    """One plan's way out. Requests under way keep the one that they began on."""

    catalog: tuple[Deployment, ...]
    windows: RateWindows
    router: Router
    dispatcher: Dispatcher
    providers: dict[str, Provider]


def way_out(
    plan: Plan,
    catalog: tuple[Deployment, ...],
    live: LivePolicy,
    ground: Ground,
    before: WayOut | None = None,
) -> WayOut:
    """Assembled for a plan. Of the one ``before`` the rate windows of the deployments that stay
    are kept, and the providers with their connections: one for every dialect ever spoken here,
    closed at the stop, so that no call under way loses its connection.
    """
    clock = ground.clock
    windows = RateWindows(catalog, before.windows if before else None)
    parts = RouterParts(
        live=live,
        featurizer=Featurizer(plan.task_names),
        windows=windows,
        sessions=ground.sessions,
        holding=ground.kept.overrides.holding,
        clock=clock,
        chance=ground.chance,
        secret=ground.secret,
    )
    router = Router(table(plan, catalog), parts)
    providers = dict(before.providers) if before else {}
    for dialect in {each.dialect for each in catalog} - set(providers):
        providers[dialect] = PROVIDERS[dialect]()
    bounds = Bounds(
        tuple(plan.service.attempt_timeouts_s), plan.service.stream_idle_s, plan.service.deadline_s
    )
    means = Means(
        catalog, providers, router.alternatives, windows.sent, ground.ledger, clock, bounds
    )
    return WayOut(catalog, windows, router, Dispatcher(means), providers)


def table(plan: Plan, catalog: tuple[Deployment, ...]) -> RoutingTable:
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


def sessions(plan: Plan, kept: Kept, clock: Clock) -> Sessions:
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
