"""The queue of human review, whole: who is put to a person, the desk, and what is told of both."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.clock import Clock
from service.domain.experiments import Judgement
from service.domain.records import Decision, Feedback
from service.domain.reviews import Kind
from service.people.desk import ReviewDesk, late
from service.people.quality import report
from service.people.relearning import Relearner
from service.people.unsure_days import DAYS
from service.people.versions import RolledBack
from service.people.watching import ClassificationRules, Classified, Judged, JudgeRules
from service.plan.review import ReviewPlan
from service.plan.whole import Plan
from service.storage.cases import Case
from service.storage.review_items import ReviewItems
from service.telemetry import Telemetry

DAY_US = 86_400_000_000
FIGURED_DAYS = 7
HOUR_S = 3_600.0


@dataclass(frozen=True, slots=True)
class PeopleParts:
    """What it stands on."""

    items: ReviewItems
    desk: ReviewDesk
    versions: RolledBack
    plan: Callable[[], Plan]
    telemetry: Telemetry
    clock: Clock


class People:
    """What a runtime has of it. Lives on the event loop."""

    def __init__(self, parts: PeopleParts) -> None:
        self._parts = parts
        self.desk = parts.desk
        self.relearner: Relearner | None = None
        self._classified = Classified(parts.desk.put, parts.desk.room, parts.clock)
        self._classified.keep = parts.desk.keep
        self._judged = Judged(parts.desk.put, parts.clock)
        self.take_plan()

    # from elsewhere ---------------------------------------------------------------------------

    @property
    def classified(self) -> Callable[[Decision], None]:
        """To be told of every decision; it waits for nothing."""
        return self._classified

    def judged(self, judgement: Judgement, decision: Decision) -> None:
        """A judge has compared two answers."""
        self._judged.judged(judgement, decision)

    def rated(self, case: Case, feedback: Feedback) -> None:
        """An answer was rated."""
        self._judged.rated(case, feedback)

    def see_by(self, seen_of: Callable[[Decision], tuple[str, NDArray[np.float32]] | None]) -> None:
        """Keep what the classifier saw of the requests that a person is asked about."""
        self._classified.seen_of = seen_of

    def unsure(self) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """How many requests were unsure, before today and today; None where nobody is asked."""
        return self._classified.days.standing() if self._classified.rules is not None else None

    def take_plan(self) -> None:
        """Another plan is in force; what is open keeps its time."""
        plan, before = self._parts.plan(), self._classified.rules
        asked, judge = plan.review.classification, plan.review.judge
        self._classified.rules = (
            ClassificationRules(plan.threshold, asked.sample, asked.audit, asked.due_h * HOUR_S)
            if asked is not None and (plan.tasks or plan.taxonomy is not None)
            else None
        )
        if self.relearner is not None:
            self.relearner.retake()
        now = self._classified.rules
        if before is not None and (now is None or now.threshold != before.threshold):
            self._classified.days.forget()
        self._judged.rules = (
            JudgeRules(judge.apart, judge.due_h * HOUR_S) if judge is not None else None
        )

    def resume(self, most: int = 20_000) -> None:
        """After a restart; blocks."""
        known = self._parts.items.of_kind(Kind.JUDGE, most)
        self._judged.load([each.item.decision_id or "" for each in known])
        if self._classified.rules is not None:
            since_us = self._parts.clock.wall_us() // DAY_US * DAY_US - DAYS * DAY_US
            threshold = self._classified.rules.threshold
            self._classified.days.resume(self._parts.items.unsure_days(since_us, threshold))

    # by the clock -----------------------------------------------------------------------------

    async def turn(self) -> None:
        """Put rolled-back versions, leave late items to their default, and count."""
        versions, asked = self._parts.versions, self._parts.plan().review.policy
        room = max(asked.most_open - self._parts.items.count(Kind.POLICY), 0)
        for item in versions.new(asked.due_h * HOUR_S)[:room]:  # the others wait for their turn
            if self.desk.put(item):
                versions.put(item)
        self._count()
        await self.desk.default_late()

    def _count(self) -> None:
        telemetry = self._parts.telemetry
        self._classified.mark()
        went, unsure = self._classified.rates()
        telemetry.gauge("review_rate", went)
        telemetry.gauge("review_unsure_share", unsure)
        found = self.desk.counts()
        for kind in Kind:
            telemetry.reviews(kind, found.waiting[kind], found.late[kind])

    # told -------------------------------------------------------------------------------------

    def standing(self) -> dict[str, Any]:
        """The queue in a few figures, for the status; of all kinds."""
        found = self.desk.counts()
        went, unsure = self._classified.rates()
        return {
            "open": dict(found.waiting),
            "claimed": found.claimed,
            "overdue": found.late.total(),
            "defaulted": dict(self.desk.defaulted.counts()),
            "passed_over": dict(self.desk.passed_over.counts()),
            "rate": went,
            "unsure_share": unsure,
        }

    def warnings(self) -> list[str]:
        """What an operator should know: what was left to itself, and what there was no room for.
        Refusals beyond their time are told by the refusals.
        """
        found = []
        if told := _told(self.desk.defaulted.counts()):
            found.append(
                f"{told} waited for review beyond their time within a day, and were left to their "
                "default"
            )
        if told := _told(self.desk.passed_over.counts()):
            found.append(f"the review queue is, or was within a day, full: {told} were passed over")
        return found

    def stats(self, tenant: str) -> dict[str, Any]:
        """What waits and for how long, and what was decided in a week; reads the log."""
        parts = self._parts
        found = [each for each in self.desk.open() if tenant in ("", each.item.tenant)]
        now_us = parts.clock.wall_us()
        ages = [(now_us - each.item.at_us) / 1e6 for each in found]
        since_us = now_us - FIGURED_DAYS * DAY_US
        ended = parts.items.figures(since_us, tenant)
        shown: dict[str, Any] = {
            "open": len(found),
            "claimed": sum(each.lease is not None for each in found),
            "overdue": len(late(found)),
            "median_age_s": statistics.median(ages) if ages else None,
            "days": FIGURED_DAYS,
            "kinds": [
                {
                    "kind": row["kind"],
                    "decided_per_day": row["decided"] / FIGURED_DAYS,
                    "decided": row["decided"],
                    "defaulted": row["defaulted"],
                    "median_took_s": row["took_s"],
                    "agreement": row["agreement"],
                }
                for row in ended
            ],
        }
        if not tenant:
            shown["passed_over"] = dict(self.desk.passed_over.counts())
        return shown

    def quality(self, days: float, tenant: str) -> dict[str, Any]:
        """How well requests are classified, by the labels of so many days; reads the log."""
        since_us = self._parts.clock.wall_us() - int(days * DAY_US)
        rows = self._parts.items.labels(since_us, tenant)
        plan = self._parts.plan()
        asked = plan.review.classification
        passed_over = self.desk.passed_over.counts()[Kind.CLASSIFICATION]
        return {"days": days, "passed_over": passed_over} | report(
            rows, plan.threshold if asked is not None else None
        )


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{n} of {kind}" for kind, n in sorted(counts.items()) if n)


def most_open(plan: ReviewPlan, kind: str) -> int:
    """How many of a kind may wait at once; of one that the plan no longer names, none more."""
    asked = {
        Kind.CLASSIFICATION: plan.classification,
        Kind.JUDGE: plan.judge,
        Kind.POLICY: plan.policy,
    }.get(Kind(kind))
    return asked.most_open if asked is not None else 0
