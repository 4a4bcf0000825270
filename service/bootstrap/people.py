"""The queue of human review, made from what is kept and joined to the runtime."""

from __future__ import annotations

from service.domain.reviews import Kind
from service.people.asked import Effect
from service.people.desk import DeskParts, ReviewDesk
from service.people.rulings import Labelling, Rating, Refused
from service.people.versions import RolledBack
from service.people.whole import People, PeopleParts, most_open
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.review_items import ReviewItems

TURN_S = 1.0


def attach_people(runtime: Runtime) -> None:
    """Give a runtime its queue of review, as the log left it; before requests are taken."""
    kept, clock = runtime.kept, runtime.clock
    items = ReviewItems(kept.database, clock)
    versions = RolledBack(
        runtime.experiments.desk, lambda: runtime.live.current.mark.version_id, items, kept.log,
        clock,
    )  # fmt: skip
    effects: dict[str, Effect] = {
        Kind.CLASSIFICATION: Labelling(kept.log, lambda: runtime.plan.task_names),
        Kind.REFUSAL: Refused(runtime.refusals),
        Kind.JUDGE: Rating(
            kept.log, lambda: runtime.intake, runtime.case, lambda: runtime.plan.reward.metric
        ),
        Kind.POLICY: versions,
    }
    desk = ReviewDesk(
        DeskParts(
            items=items,
            refusals=runtime.refusals.reviews,
            log=kept.log,
            clock=clock,
            telemetry=runtime.telemetry,
            effects=effects,
            most_open=lambda kind: most_open(runtime.plan.review, kind),
            lease_s=lambda: runtime.plan.review.lease_s,
        )
    )
    parts = PeopleParts(items, desk, versions, lambda: runtime.plan, runtime.telemetry, clock)
    runtime.people = people = People(parts)
    people.resume()
    runtime.ledger.classified = people.classified
    runtime.mirror.judged = people.judged
    runtime.scheduler.put(Job("review", TURN_S, people.turn))
