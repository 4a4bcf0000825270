"""Who is put to a person: requests whose task is not sure, judges at odds; and how many are."""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.clock import Clock, new_id
from service.domain.experiments import Judgement
from service.domain.lots import lot
from service.domain.records import Decision, Feedback
from service.domain.reviews import ClassifiedFeatures, Kind, ReviewItem
from service.people.rulings import REVIEWER
from service.people.unsure_days import UnsureDays
from service.storage.cases import Case

CALLER = "caller"  # the source of a task that nobody had to find
UNSURE, AUDIT = "unsure", "audit"
FLIPPED, APART = "flipped", "apart"
SPAN_S = 300.0
MOST_SEEN = 20_000


@dataclass(frozen=True, slots=True)
class ClassificationRules:
    """Below ``threshold`` a person is asked of a share ``sample``, else of a share ``audit``."""

    threshold: float
    sample: float
    audit: float
    due_s: float


@dataclass(frozen=True, slots=True)
class JudgeRules:
    """``apart``: how far, of the scale's length, a judge may be from a person."""

    apart: float
    due_s: float


class Classified:
    """On the path of every request: two comparisons, and for few an item. Nobody waits.

    ``room``: asked before an item is made; counts what is passed over. An item has its decision's
    id, since there is one of each. ``seen_of``: what the classifier saw of a decision's request, by
    which layout, so that ``keep`` logs it with the item; None where nobody classified it.
    """

    def __init__(
        self, put: Callable[[ReviewItem], bool], room: Callable[[str], bool], clock: Clock
    ) -> None:
        self._put, self._room, self._clock = put, room, clock
        self.rules: ClassificationRules | None = None
        self.days = UnsureDays(clock)
        self.seen_of: Callable[[Decision], tuple[str, NDArray[np.float32]] | None] = lambda _: None
        self.seen = self.unsure = self.opened = 0
        self.keep: Callable[[ClassifiedFeatures], object] = lambda _: None
        self._marks = deque([(clock.monotonic_s(), 0, 0, 0)])

    def __call__(self, decision: Decision) -> None:
        """A decision was made."""
        self.seen += 1
        rules = self.rules
        if rules is None or decision.task_source == CALLER:
            return
        unsure = decision.task_confidence < rules.threshold
        if decision.session_decision_id is None:
            self.days.saw(unsure)
        if unsure:
            self.unsure += 1
            self._draw(decision, UNSURE, rules.sample, rules)
        elif rules.audit:
            self._draw(decision, AUDIT, rules.audit, rules)

    def _draw(self, decision: Decision, why: str, share: float, rules: ClassificationRules) -> None:
        if share < 1.0 and lot(decision.id) >= share:
            return
        if not self._room(Kind.CLASSIFICATION):
            return
        caller, name = decision.caller, decision.id
        put = self._put(
            ReviewItem(
                name, decision.at_us, Kind.CLASSIFICATION, name, why, name, caller.key_id,
                caller.tenant, caller.tier, decision.task, decision.deployment,
                decision.task_confidence, share, decision.at_us + int(rules.due_s * 1e6),
                _detail(decision, rules.threshold),
            )
        )  # fmt: skip
        self.opened += put
        seen = self.seen_of(decision) if put else None
        if seen is not None:
            self.keep(ClassifiedFeatures(name, decision.at_us, *seen))

    def mark(self) -> None:
        """Called by the clock: what the shares of five minutes are counted from later."""
        now_s = self._clock.monotonic_s()
        self._marks.append((now_s, self.seen, self.unsure, self.opened))
        while self._marks[1][0] <= now_s - SPAN_S:
            self._marks.popleft()

    def rates(self) -> tuple[float, float]:
        """Of the requests of the last five minutes: the share that went to review, and the share
        that was unsure.
        """
        _, seen, unsure, opened = self._marks[0]
        count = self.seen - seen
        if not count:
            return 0.0, 0.0
        return (self.opened - opened) / count, (self.unsure - unsure) / count


def _detail(decision: Decision, threshold: float) -> str:
    found: dict[str, object] = {"source": decision.task_source, "threshold": threshold}
    if decision.guess is not None:
        found |= {"classifier": decision.guess.version, "probabilities": decision.guess.top()}
    return json.dumps(found)


class Judged:
    """Judges who change their mind with the order, or are far from a person; each answer once."""

    def __init__(self, put: Callable[[ReviewItem], bool], clock: Clock) -> None:
        self._put, self._clock = put, clock
        self.rules: JudgeRules | None = None
        self._seen: OrderedDict[str, None] = OrderedDict()  # decisions

    def load(self, decisions: list[str]) -> None:
        """After a restart: those that were put to a person before."""
        for each in decisions:
            self._first(each)

    def judged(self, judgement: Judgement, decision: Decision) -> None:
        """A judge has compared two answers."""
        if self.rules is None or judgement.consistent or judgement.preference is None:
            return
        detail = {"judge": judgement.judge, "served": judgement.served,
                  "mirrored": judgement.mirrored}  # fmt: skip
        self._open(decision, FLIPPED, judgement.id, judgement.served, detail)

    def rated(self, case: Case, feedback: Feedback) -> None:
        """An answer was rated, by a judge or by a person."""
        rules = self.rules
        if rules is None or feedback.quality is None or feedback.kind not in ("judge", "user"):
            return
        other = "user" if feedback.kind == "judge" else "judge"
        apart = [
            each for each in case.feedback.values()
            if each.metric == feedback.metric and each.kind == other and each.quality is not None
            and not each.author.startswith(REVIEWER)
            and abs(each.quality - feedback.quality) > rules.apart
        ]  # fmt: skip
        if apart:
            pair = {feedback.kind: feedback, other: apart[0]}
            detail = {"metric": feedback.metric, "judge": pair["judge"].quality,
                      "person": pair["user"].quality}  # fmt: skip
            served = feedback.deployment or case.decision.deployment
            self._open(case.decision, APART, pair["judge"].id, served, detail)

    def _open(
        self, decision: Decision, why: str, subject: str, served: str, detail: Mapping[str, object]
    ) -> None:
        if self.rules is None or not self._first(decision.id):
            return
        now_us, caller = self._clock.wall_us(), decision.caller
        self._put(
            ReviewItem(
                new_id(), now_us, Kind.JUDGE, subject, why, decision.id, caller.key_id,
                caller.tenant, caller.tier, decision.task, served, None, 1.0,
                now_us + int(self.rules.due_s * 1e6), json.dumps(dict(detail)),
            )
        )  # fmt: skip

    def _first(self, decision_id: str) -> bool:
        if decision_id in self._seen:
            return False
        self._seen[decision_id] = None
        if len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)
        return True
