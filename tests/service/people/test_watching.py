"""Who is put to a person: below the threshold and by lot; judges at odds; and how many are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy.stats import binomtest, kstest

from service.domain.clock import new_id
from service.domain.experiments import Judgement
from service.domain.lots import lot
from service.domain.records import Decision, Feedback
from service.domain.reviews import ReviewItem
from service.people.watching import ClassificationRules, Classified, Judged, JudgeRules
from service.storage.cases import Case
from tests.conftest import HandClock
from tests.service.storage import test_tables as made


class Seen:
    """What was put, with room for so many."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.items: list[ReviewItem] = []
        self.room, self.clock = room, HandClock()

    def put(self, item: ReviewItem) -> bool:
        self.items.append(item)
        return True

    def classified(self, sample: float = 1.0, audit: float = 0.0) -> Classified:
        found = Classified(self.put, lambda kind: len(self.items) < self.room, self.clock)
        found.rules = ClassificationRules(0.75, sample, audit, 3_600.0)
        return found

    def judged(self, apart: float = 0.5) -> Judged:
        found = Judged(self.put, self.clock)
        found.rules = JudgeRules(apart, 3_600.0)
        return found


def decision(confidence: float, source: str = "rule") -> Decision:
    return made.decision(task_confidence=confidence, task_source=source)


@pytest.mark.parametrize(
    ("confidence", "asked"),
    [(0.7499, True), (0.75, False), (0.7500001, False), (0.0, True), (1.0, False)],
)
def test_the_threshold_itself_is_sure_enough(confidence: float, asked: bool) -> None:
    seen = Seen()
    of = decision(confidence)
    seen.classified()(of)
    assert len(seen.items) == asked
    for item in seen.items:
        assert (item.kind, item.why, item.subject, item.decision_id, item.confidence) == (
            "classification", "unsure", of.id, of.id, confidence,
        )  # fmt: skip
        assert (item.task, item.tenant, item.probability) == ("code", "acme", 1.0)
        assert item.due_us == item.at_us + 3_600_000_000


def test_a_task_that_the_caller_named_is_no_question() -> None:
    seen = Seen()
    watch = seen.classified(audit=1.0)
    watch(decision(1.0, "caller"))
    assert not seen.items and watch.seen == 1
    watch.rules = None
    watch(decision(0.0, "none"))
    assert not seen.items and watch.seen == 2


def test_lots_are_uniform_and_can_be_drawn_again() -> None:
    """A false alarm once in ten thousand runs, were the ids not what they are."""
    ids = [new_id() for _ in range(4_000)]
    lots = [lot(each) for each in ids]
    assert lots == [lot(each) for each in ids] and min(lots) >= 0.0 and max(lots) < 1.0
    assert kstest(lots, "uniform").pvalue > 1e-4


def test_some_are_drawn_and_it_is_told_how_surely() -> None:
    """A false alarm once in five thousand runs."""
    seen = Seen()
    watch = seen.classified(sample=0.25, audit=0.05)
    for _ in range(4_000):
        watch(decision(0.5))
        watch(decision(0.9))
    unsure = [each for each in seen.items if each.why == "unsure"]
    audit = [each for each in seen.items if each.why == "audit"]
    assert binomtest(len(unsure), 4_000, 0.25).pvalue > 1e-4
    assert binomtest(len(audit), 4_000, 0.05).pvalue > 1e-4
    assert {each.probability for each in unsure} == {0.25}
    assert {each.probability for each in audit} == {0.05}
    assert all(lot(each.subject) < each.probability for each in seen.items)


def test_the_share_of_five_minutes() -> None:
    seen = Seen(room=1)
    watch = seen.classified()
    assert watch.rates() == (0.0, 0.0)
    for confidence in (0.1, 0.2, 0.9, 0.9):
        watch(decision(confidence))
    assert watch.rates() == (0.25, 0.5)  # one found no room
    for _ in range(6):
        seen.clock.advance(60.0)
        watch.mark()
    assert watch.rates() == (0.0, 0.0)
    watch(decision(0.0))
    assert watch.rates() == (0.0, 1.0)


def judgement(of: Decision, preference: float | None, consistent: bool) -> Judgement:
    return Judgement(new_id(), of.id, 0, "v", "x", "y", "small", preference, consistent, 5)


def test_a_judge_who_changes_its_mind_with_the_order_is_put_to_a_person_once() -> None:
    seen = Seen()
    watch, of = seen.judged(), decision(1.0)
    watch.judged(judgement(of, 1.0, True), of)
    watch.judged(judgement(of, None, False), of)
    assert not seen.items
    flip = judgement(of, 0.5, False)
    watch.judged(flip, of)
    watch.judged(flip, of)
    (item,) = seen.items
    assert (item.kind, item.why, item.subject, item.deployment) == (
        "judge",
        "flipped",
        flip.id,
        "x",
    )
    again = seen.judged()
    again.load([of.id])
    again.judged(flip, of)
    watch.rules = None
    watch.judged(flip, decision(1.0))
    assert len(seen.items) == 1


def rated(case: Case, kind: str, quality: float | None, author: str = "key") -> Feedback:
    found = replace(made.feedback(case.decision), kind=kind, quality=quality, author=author)
    case.rated(found)
    return found


@pytest.mark.parametrize(("judge", "person", "asked"), [(1.0, 0.4, True), (1.0, 0.5, False)])
@pytest.mark.parametrize("judge_last", [True, False])
def test_a_judge_further_from_a_person_than_the_plan_says(
    judge: float, person: float, asked: bool, judge_last: bool
) -> None:
    seen = Seen()
    watch, case = seen.judged(), Case(decision(1.0))
    pair = [("user", person), ("judge", judge)]
    for kind, quality in pair if judge_last else reversed(pair):
        watch.rated(case, rated(case, kind, quality))
    assert [each.why for each in seen.items] == (["apart"] if asked else [])


def test_what_people_said_in_a_review_and_other_kinds_are_held_against_nobody() -> None:
    seen = Seen()
    watch, case = seen.judged(), Case(decision(1.0))
    rated(case, "user", 0.0, "review:ann")
    rated(case, "outcome", 0.0)
    watch.rated(case, rated(case, "judge", 1.0))
    watch.rated(case, rated(case, "judge", None))
    assert not seen.items
