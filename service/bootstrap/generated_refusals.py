"""The refusals of a made-up past, and what reviewers made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from experiments.offline.past import Day
from experiments.offline.past_cast import Cast
from service.bootstrap.generated_records import Names
from service.domain.records import Act
from service.domain.refusals import Refusal, Review, ReviewDecision
from service.plan.whole import Plan
from service.providers.refusals import FILTERED, REFUSAL

VERDICTS = ("uphold", "uphold", "dismiss", "allow", "uphold")
UNDECIDED = 7  # every so many a review is still open
REVIEWERS = ("ida", "noor")


class Reviewing:
    """Whose refusals are reviewed, by when; and ids for both."""

    def __init__(self, plan: Plan, names: Names) -> None:
        self.tiers = plan.review_tiers
        self.within_us = int(plan.refusals.review_within_s * 1e6)
        self.names = names
        self.seen = 0


def refused(cast: Cast, day: Day, reviewing: Reviewing) -> Sequence[Any]:
    """The refusals of a day, with their reviews and verdicts."""
    found: list[Any] = []
    for row in day.refused.tolist():
        refusal = _refusal(cast, day, row, reviewing)
        found.append(refusal)
        if refusal.tier in reviewing.tiers:
            found += _reviewed(refusal, reviewing)
    return found


def _refusal(cast: Cast, day: Day, row: int, reviewing: Reviewing) -> Refusal:
    visit, made = int(day.turns.visit[row]), day.choices
    tenant = cast.tenants[int(day.visits.tenant[visit])]
    at_us = int(day.ends.at_us[row])
    arm = cast.members[int(day.calls.deployment[day.ends.last[row]])]
    asks_by = int(day.visits.asks_by[visit])
    reviewing.seen += 1
    digits = bytes(made.ids[row]).hex()
    return Refusal(
        id=reviewing.names.at(at_us),
        at_us=at_us,
        decision_id=f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}",
        prompt_hash=bytes(day.prompt_hashes[row]).hex(),
        request_hash=reviewing.names.digest()[:32],
        key_id=tenant.key_id,
        tenant=tenant.name,
        tier=cast.tiers[tenant.tier],
        unit=bytes(day.visits.unit[visit]).hex() if asks_by else "",
        task=cast.tasks[int(made.asked.task[row])],
        deployment=arm.name,
        provider=arm.provider,
        word=FILTERED if reviewing.seen % 3 else REFUSAL,
    )


def _reviewed(refusal: Refusal, reviewing: Reviewing) -> list[Any]:
    review = Review(
        reviewing.names.at(refusal.at_us), refusal.at_us, refusal.id, refusal.decision_id,
        refusal.request_hash, refusal.key_id, refusal.tenant, refusal.tier, refusal.unit,
        refusal.task, refusal.deployment, refusal.provider, refusal.word,
        refusal.at_us + reviewing.within_us,
    )  # fmt: skip
    if reviewing.seen % UNDECIDED == 0:
        return [review]
    at_us = refusal.at_us + (1 + reviewing.seen * 37 % 170) * 60_000_000
    verdict = VERDICTS[reviewing.seen % len(VERDICTS)]
    who = REVIEWERS[reviewing.seen % len(REVIEWERS)]
    decision = ReviewDecision(review.id, at_us, verdict, who, "looked at")
    detail = json.dumps({"incident": refusal.id})
    act = Act(reviewing.names.at(at_us), at_us, who, f"review.{verdict}", review.id,
              "looked at", detail)  # fmt: skip
    return [review, decision, act]
