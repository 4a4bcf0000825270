"""What is learned from which record: the table, row by row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.domain.records import (
    Attempt,
    Decision,
    ErrorKind,
    Feedback,
    Mode,
    Outcome,
    Role,
    Update,
    Usage,
)
from service.feedback.credit import CreditRules, Ratings, from_feedback, from_outcome, rated_quality
from service.storage.cases import Case
from tests.service.storage.test_tables import attempt, decision, feedback, outcome

RULES = CreditRules("rating")


def test_an_update_in_its_place_of_the_order_is_the_same_but_for_that() -> None:
    plain = Update(
        0, 1, "d", 2, "arm", "revision", 0.25, 0.5, 0.75, 1.25, 7, True, "f", "v", "model"
    )  # fmt: skip
    assert plain.numbered(8, 9, "w") == replace(plain, seq=8, at_us=9, version_id="w")


def ended(made: Decision, *calls: Attempt, cost: int = 30) -> Outcome:
    served = next((c.deployment for c in calls if c.error_kind is None), None)
    return replace(outcome(made), deployment=served, usage=Usage(1, 2, 0, cost))


def call(made: Decision, name: str, kind: ErrorKind | None = None, number: int = 1) -> Attempt:
    role = Role.FIRST if number == 1 else Role.FALLBACK
    return attempt(made, deployment=name, error_kind=kind, number=number, role=role)


def case(mode: Mode = Mode.RANDOMISED, served: str | None = "y") -> Case:
    made = decision(mode=mode)
    return Case(made, outcome=replace(outcome(made), deployment=served))


def rated(of: Case, quality: float = 0.5, **more: object) -> Feedback:
    made = feedback(of.decision, quality=quality, **more)
    of.feedback[made.metric, made.kind, made.author] = made
    return made


def told(of: Case, latest: Feedback, rules: CreditRules = RULES) -> Update | None:
    return from_feedback(
        of, latest, Ratings(of.feedback, of.weights).weighed(rules.metric), rules, "v"
    )


@pytest.mark.parametrize("mode", [m for m in Mode if m is not Mode.CACHE])
def test_every_mode_but_the_cache_feeds_latency_errors_and_cost(mode: Mode) -> None:
    made = decision(mode=mode)
    first = call(made, "y")
    (update,) = from_outcome(made, [first], ended(made, first), "v")
    assert (update.arm, update.failed, update.quality) == ("y", False, None)
    assert update.latency_s == first.latency_s and update.cost_usd == pytest.approx(3e-5)
    assert update.decided_us == made.at_us


def test_a_cache_hit_teaches_nothing() -> None:
    made = decision(mode=Mode.CACHE)
    first = call(made, "y")
    assert from_outcome(made, [first], ended(made, first), "v") == []


def test_after_a_fallback_each_gets_its_own_and_the_spend_is_told_once() -> None:
    made = decision()
    calls = [call(made, "y", ErrorKind.SERVER), call(made, "x", number=2)]
    failed, served = from_outcome(made, calls, ended(made, *calls), "v")
    assert (failed.arm, failed.failed, failed.cost_usd) == ("y", True, None)
    assert (served.arm, served.failed) == ("x", False)
    assert served.cost_usd == pytest.approx(3e-5) and failed.tokens_out is None


@pytest.mark.parametrize(
    "kind", [ErrorKind.CANCELLED, ErrorKind.INVALID, ErrorKind.POLICY, ErrorKind.CONTEXT_LENGTH]
)
def test_what_the_request_itself_caused_does_not_blame_the_deployment(kind: ErrorKind) -> None:
    made = decision()
    first = call(made, "y", kind)
    assert from_outcome(made, [first], ended(made, first, cost=0), "v") == []
    (paid,) = from_outcome(made, [first], ended(made, first, cost=9), "v")
    assert paid.failed is None and paid.latency_s is None and paid.cost_usd == pytest.approx(9e-6)


@pytest.mark.parametrize("kind", [ErrorKind.TIMEOUT, ErrorKind.STALLED])
def test_a_timeout_is_slow_too(kind: ErrorKind) -> None:
    made = decision()
    first = call(made, "y", kind)
    (update,) = from_outcome(made, [first], ended(made, first), "v")
    assert update.failed and update.latency_s == first.latency_s


def test_a_quick_refusal_is_not_fast() -> None:
    made = decision()
    first = call(made, "y", ErrorKind.RATE_LIMIT)
    (update,) = from_outcome(made, [first], ended(made, first), "v")
    assert update.failed and update.latency_s is None


@pytest.mark.parametrize(
    ("mode", "teaches"),
    [(Mode.RANDOMISED, True), (Mode.STICKY, True), (Mode.PINNED, False), (Mode.OVERRIDE, False),
     (Mode.CACHE, False)],
)  # fmt: skip
def test_which_modes_teach_quality(mode: Mode, teaches: bool) -> None:
    of = case(mode)
    update = told(of, rated(of))
    assert (update is not None) == teaches
    if mode is Mode.PINNED:
        assert told(of, rated(of), CreditRules("rating", True)) is not None


def test_the_deployment_that_answered_is_credited() -> None:
    of = case(served="x")
    update = told(of, rated(of, 0.9))
    assert update is not None and (update.arm, update.kind, update.quality) == ("x", "rating", 0.9)
    failed = case(served=None)
    assert told(failed, rated(failed)) is None


def test_a_revision_undoes_first_and_a_repeat_is_nothing() -> None:
    of = case()
    of.learned["y"] = 0.2
    update = told(of, rated(of, 0.8))
    assert update is not None
    assert (update.kind, update.quality, update.revises_quality) == ("revision", 0.8, 0.2)
    of.learned["y"] = 0.8
    assert told(of, rated(of, 0.8)) is None


def test_other_metrics_do_not_teach_and_authors_are_averaged() -> None:
    of = case()
    assert told(of, rated(of, metric="topic")) is None
    rated(of, 0.2, author="a"), rated(of, 0.6, author="b")
    assert rated_quality(of.feedback, "rating") == pytest.approx(0.4)
    assert rated_quality({}, "rating") is None


def test_of_a_race_only_the_one_that_was_waited_for_tells_its_time() -> None:
    made = decision()
    slow = attempt(made, deployment="x", error_kind=ErrorKind.CANCELLED, number=1, latency_s=4.0)
    won = attempt(made, deployment="y", number=2, role=Role.HEDGE, latency_s=1.0, error_kind=None)
    first, second = from_outcome(made, [slow, won], ended(made, slow, won), "v")
    assert (first.arm, first.latency_s, first.failed, first.cost_usd) == ("x", 4.0, None, None)
    assert (second.arm, second.latency_s, second.failed) == ("y", 1.0, False)
    quick = attempt(made, deployment="x", number=1, latency_s=5.0, error_kind=None)
    lost = attempt(made, deployment="y", error_kind=ErrorKind.CANCELLED, number=2,
                   role=Role.HEDGE, latency_s=0.1)  # fmt: skip
    told = from_outcome(made, [lost, quick], ended(made, lost, quick), "v")
    assert [(update.arm, update.latency_s) for update in told] == [("x", 5.0)]


def beside(made: Decision, name: str, role: Role, kind: ErrorKind | None = None) -> Attempt:
    return attempt(made, deployment=name, error_kind=kind, number=2, role=role)


def test_a_mirrored_call_teaches_latency_errors_and_length_and_no_spend_or_quality() -> None:
    made = decision()
    mirrored = beside(made, "x", Role.SHADOW)
    (update,) = from_outcome(made, [mirrored], ended(made, call(made, "y")), "v")
    assert (update.arm, update.failed, update.quality, update.cost_usd) == ("x", False, None, None)
    assert update.latency_s == mirrored.latency_s
    assert update.tokens_out == mirrored.usage.tokens_out
    failed = beside(made, "x", Role.SHADOW, ErrorKind.SERVER)
    (update,) = from_outcome(made, [failed], ended(made, call(made, "y")), "v")
    assert (update.failed, update.latency_s, update.tokens_out) == (True, None, None)


def test_a_judges_letter_says_nothing_of_how_long_answers_are_and_take() -> None:
    made, served = decision(), ended(decision(), call(decision(), "y"))
    (update,) = from_outcome(made, [beside(made, "z", Role.JUDGE)], served, "v")
    assert (update.arm, update.failed, update.cost_usd) == ("z", False, None)
    assert update.latency_s is None and update.tokens_out is None and update.quality is None
    late = beside(made, "z", Role.JUDGE, ErrorKind.TIMEOUT)
    (update,) = from_outcome(made, [late], served, "v")
    assert (update.failed, update.latency_s) == (True, late.latency_s)
    cut = beside(made, "z", Role.JUDGE, ErrorKind.CANCELLED)
    assert from_outcome(made, [cut], served, "v") == []


def test_calls_beside_an_answer_change_nothing_of_what_the_answer_teaches() -> None:
    """As a case is read back after a kill: with all its attempts."""
    made = decision()
    calls = [call(made, "y", ErrorKind.SERVER), call(made, "x", number=2)]
    alone = from_outcome(made, calls, ended(made, *calls), "v")
    more = [beside(made, "w", Role.SHADOW), beside(made, "z", Role.JUDGE)]
    assert from_outcome(made, [*calls, *more], ended(made, *calls), "v") == alone


def test_an_ensembles_answer_is_no_sample_of_its_deployment_but_its_calls_are() -> None:
    of = case()
    assert of.outcome is not None
    of.outcome = replace(of.outcome, mode=Mode.ENSEMBLE)
    assert told(of, rated(of)) is None, "it was chosen for being good"
    made = decision()
    calls = [
        replace(call(made, name, kind, number), role=role)
        for number, (name, kind, role) in enumerate((
            ("x", None, Role.ENSEMBLE), ("y", ErrorKind.CANCELLED, Role.ENSEMBLE),
            ("z", None, Role.FUSION),
        ), 1)
    ]  # fmt: skip
    x, y, z = from_outcome(made, calls, ended(made, *calls), "v")
    assert (x.failed, x.latency_s, x.tokens_out) == (
        False, calls[0].latency_s, calls[0].usage.tokens_out
    )  # fmt: skip
    assert (y.failed, y.latency_s, y.tokens_out) == (None, calls[1].latency_s, None)
    assert (z.failed, z.latency_s, z.tokens_out) == (False, None, None), "it read all candidates"
    assert z.cost_usd is not None and x.cost_usd is None
