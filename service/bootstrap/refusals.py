"""What a refusal meets: the rules of the plan, and what the log remembers of earlier ones."""

from __future__ import annotations

from collections.abc import Callable

from service.domain.clock import Clock
from service.domain.records import Outcome
from service.plan.whole import Plan
from service.routing.offenders import HOUR_S, Offenders
from service.routing.refusals import RefusalParts, RefusalRules, Refusals, Suggestion
from service.runtime import Kept
from service.storage.refusals import RefusalMemory, refusals_since
from service.storage.reviews import ReviewStore
from service.telemetry import Telemetry


def refusals(
    plan: Plan,
    kept: Kept,
    clock: Clock,
    telemetry: Telemetry,
    ended: Callable[[Outcome], None],
    secret: bytes,
) -> Refusals:
    asked = plan.refusals
    memory = RefusalMemory(clock, asked.remember_s)
    memory.load(kept.database.cursor())
    parts = RefusalParts(
        memory=memory,
        reviews=ReviewStore(kept.database, clock, asked.remember_s),
        offenders=_offenders(asked.most_per_hour, kept, clock),
        log=kept.log,
        telemetry=telemetry,
        clock=clock,
        secret=secret,
        ended=ended,
    )
    return Refusals(refusal_rules(plan), parts)


def refusal_rules(plan: Plan) -> RefusalRules:
    return RefusalRules(
        tuple(
            Suggestion(each.condition, each.task or "", each.text)
            for each in plan.refusals.suggestions
        ),
        frozenset(plan.review_tiers),
        plan.refusals.review_within_s,
    )


def _offenders(most: int, kept: Kept, clock: Clock) -> Offenders:
    """Those of the last hour, as old as they are."""
    offenders, now_us, now_s = Offenders(most), clock.wall_us(), clock.monotonic_s()
    for refusal in refusals_since(kept.database.cursor(), now_us - int(HOUR_S * 1e6)):
        offenders.add(refusal.unit, now_s - max(now_us - refusal.at_us, 0) / 1e6)
    return offenders
