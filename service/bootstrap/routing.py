"""The way out: the table that the router reads, the fleet's health, the sessions that were held."""

from __future__ import annotations

import json
import logging
import random

from service.domain.catalog import Deployment
from service.domain.clock import Clock, new_id
from service.domain.expressions import Expression, parse
from service.domain.modalities import CHAT
from service.domain.records import Act
from service.plan.whole import Plan
from service.routing.asked import OTHER, Dials, Requirement, RoutingTable, Rule
from service.routing.breaker import BreakerRules
from service.routing.finding import TaskFinder
from service.routing.fleet import Change, Fleet, FleetRules
from service.routing.hedging import HedgeRules
from service.routing.ladder import Ladder, Ladders, Tier
from service.routing.run import Bounds
from service.routing.sessions import Held, Sessions
from service.runtime import Kept
from service.storage.cases import assigned_from, at_time, rows_of

log = logging.getLogger("headgate.routing")

SESSION_SPAN_US = 7 * 86_400_000_000


def table(
    plan: Plan, catalog: tuple[Deployment, ...], finder: TaskFinder | None = None
) -> RoutingTable:
    """What the router reads of the plan."""
    conditions: dict[str, Expression | None] = {task.name: task.condition for task in plan.tasks}
    for each in plan.modalities:
        conditions.setdefault(each, parse(f'modality == "{each}"'))
    unconditional = [name for name in plan.task_names if name not in (*conditions, OTHER)]
    return RoutingTable(
        catalog=catalog,
        tasks=(*conditions.items(), *((name, None) for name in unconditional)),
        rules=tuple(
            Rule(rule.condition, rule.task, tuple(rule.use), tuple(rule.exclude))
            for rule in plan.rules
        ),
        tiers=tuple(plan.tiers),
        policy=plan.policy.name,
        sticky=plan.sessions.sticky,
        dials=Dials(plan.dials.tenants, plan.dials.tiers),
        ladders=ladders(plan),
        confidences={task.name: task.confidence for task in plan.tasks if task.confidence < 1.0},
        finder=finder,
        requirements=tuple(
            Requirement(each.condition, each.task, frozenset(each.keys), each.demand)
            for each in plan.requirements
        ),
    )


def ladders(plan: Plan) -> Ladders:
    """The tiers of each task."""
    return Ladders(
        {
            each.task or "": Ladder([Tier(tuple(t.use), t.timeout_s) for t in each.tiers])
            for each in plan.fallbacks
        }
    )


def bounds(plan: Plan) -> Bounds:
    """The dispatcher's limits."""
    hedging = plan.resilience.hedging
    return Bounds(
        attempts_s=tuple(plan.service.attempt_timeouts_s),
        stream_idle_s=plan.service.stream_idle_s,
        deadline_s=plan.service.deadline_s,
        stream_s=plan.service.stream_s,
        ladders=ladders(plan),
        least_score=plan.resilience.least_score,
        hedging=HedgeRules(frozenset(hedging.tasks), hedging.spend_share),
    )


def fleet(
    plan: Plan, catalog: tuple[Deployment, ...], kept: Kept, clock: Clock, chance: random.Random
) -> Fleet:
    """The health of the deployments; a breaker that opens or closes is told and logged."""
    wanted = plan.resilience
    rules = FleetRules(
        breaker=BreakerRules(**wanted.breaker.model_dump()),
        most_ejected=wanted.most_ejected,
        panic_below=wanted.panic_below,
        throttle_k=wanted.throttle_k,
        retry_share=wanted.retry_share,
    )

    def changed(change: Change) -> None:
        log.warning("breaker of %s: %s (%s)", change.deployment, change.state, change.why)
        detail = json.dumps({"why": change.why, "for_s": change.for_s})
        kept.log.append(
            Act(new_id(), clock.wall_us(), "headgate", f"breaker.{change.state}",
                change.deployment, change.why, detail)
        )  # fmt: skip

    return Fleet(catalog, rules, chance, changed)


def sessions(plan: Plan, kept: Kept, clock: Clock) -> Sessions:
    """The sessions that were held before the restart are held again; those of chat alone."""
    held, now_us = Sessions(plan.sessions.idle_s), clock.wall_us()
    others = [each.name for each in plan.deployments if each.modality != CHAT]
    rows = rows_of(
        kept.database.cursor(),
        "SELECT session, arg_max(deployment, log_seq) FILTER (mode = 'randomised') AS deployment, "
        "arg_max(id, log_seq) FILTER (mode = 'randomised') AS id, "
        "arg_max({'experiments': experiments, 'variants': variants, "
        "'variant_probabilities': variant_probabilities, 'units': units}, log_seq) "
        "FILTER (mode = 'randomised') AS drawn FROM decisions "
        "WHERE session <> '' AND ts >= ? AND NOT list_contains(?, deployment) "
        "GROUP BY session HAVING max(ts) >= ? AND id IS NOT NULL",
        [
            at_time(now_us - SESSION_SPAN_US),
            others,
            at_time(now_us - int(plan.sessions.idle_s * 1e6)),
        ],
    )
    for row in rows:
        assigned = assigned_from(row["drawn"])
        held.hold(
            row["session"],
            Held(row["deployment"], str(row["id"]), clock.monotonic_s(), assigned),
        )
    return held
