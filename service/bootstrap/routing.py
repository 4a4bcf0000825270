"""The way out: the table that the router reads, and the sessions that were held."""

from __future__ import annotations

from service.domain.catalog import Deployment
from service.domain.clock import Clock
from service.plan.whole import Plan
from service.routing.asked import Dials, RoutingTable, Rule
from service.routing.sessions import Sessions
from service.runtime import Kept
from service.storage.cases import at_time, rows_of

SESSION_SPAN_US = 7 * 86_400_000_000


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
