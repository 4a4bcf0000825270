"""Advice weighs harm before gain, the first goal before others, and says what would change it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from experiments.comparing import Looks
from experiments.design import Action, Experiment, Guardrail, Variant
from experiments.findings import Compared, Counts, Finding
from experiments.guardrails import Status, Verdict
from experiments.metrics import METRICS, Direction, Role
from experiments.recommending import Advice, Recommendation, advise
from experiments.statistics.moments import Interval
from tests.experiments.traffic import TWO, experiment

THREE = (Variant("control", 0.4), Variant("a", 0.3), Variant("b", 0.3))
GOALS = ("quality", "cost_per_request")
PLAIN = experiment(goals=GOALS, guardrails=(Guardrail("error_rate"),))


def compared(
    metric: str, finding: Finding, treatment: str = "cheaper", gap: float = 0.1
) -> Compared:
    better = METRICS[metric].direction or Direction.UP
    known = finding is not Finding.NOT_ENOUGH
    effect = Interval(gap, gap - 0.2, gap + 0.2) if known else None
    return Compared(
        metric, Role.GOAL, treatment, better, finding, Counts((9, 9), (9, 9), (9, 9)),
        (1.0, 1.0 + gap) if known else None, effect, effect, 1.0 if known else None,
        0.1 if known else None, 0.1 if known else None, 0.05, Looks.ANY, 3.0, (), (),
        f"{metric} of {treatment}: {finding}",
    )  # fmt: skip


def verdict(
    status: Status, action: Action = Action.ROLL_BACK, treatment: str = "cheaper"
) -> Verdict:
    log_e = None if status is Status.NOT_ENOUGH else 0.0
    return Verdict("error_rate", treatment, status, action, log_e, (9, 9), 0.1, 0.0, 20.0,
                   f"error_rate of {treatment}: {status}")  # fmt: skip


def told(
    findings: tuple[Finding, Finding], *verdicts: Verdict, asked: Experiment = PLAIN
) -> Advice:
    pairs = [compared(goal, found) for goal, found in zip(GOALS, findings, strict=True)]
    advice = advise(asked, (), pairs, verdicts)
    assert advice.reasons and advice.would_change
    return advice


BETTER, WORSE, SAME, FEW = Finding
OK, NOT_ENOUGH, BREACHED, WOULD_HAVE = Status
REVERSE = replace(PLAIN, reverse=True, variants=(replace(TWO[0], settings=(("a", "b"),)),
                                                 replace(TWO[1], settings=())))  # fmt: skip


@pytest.mark.parametrize(
    ("findings", "status", "action", "what"),
    [
        ((BETTER, SAME), OK, Action.ROLL_BACK, Recommendation.SHIP),
        ((BETTER, FEW), OK, Action.ROLL_BACK, Recommendation.SHIP),
        ((BETTER, WORSE), OK, Action.ROLL_BACK, Recommendation.CANNOT_SAY),
        ((SAME, BETTER), OK, Action.ROLL_BACK, Recommendation.KEEP_ON),
        ((SAME, WORSE), OK, Action.ROLL_BACK, Recommendation.STOP),
        ((WORSE, BETTER), OK, Action.ROLL_BACK, Recommendation.STOP),
        ((FEW, FEW), OK, Action.ROLL_BACK, Recommendation.KEEP_ON),
        ((BETTER, SAME), NOT_ENOUGH, Action.HOLD, Recommendation.KEEP_ON),
        ((BETTER, SAME), NOT_ENOUGH, Action.WARN, Recommendation.SHIP),
        ((BETTER, SAME), BREACHED, Action.ROLL_BACK, Recommendation.ROLL_BACK),
        ((BETTER, SAME), BREACHED, Action.HOLD, Recommendation.KEEP_ON),
        ((BETTER, SAME), BREACHED, Action.WARN, Recommendation.SHIP),
        ((BETTER, SAME), WOULD_HAVE, Action.ROLL_BACK, Recommendation.SHIP),
        ((WORSE, SAME), BREACHED, Action.ROLL_BACK, Recommendation.ROLL_BACK),
    ],
)
def test_the_table_of_advice(
    findings: tuple[Finding, Finding], status: Status, action: Action, what: Recommendation
) -> None:
    advice = told(findings, verdict(status, action))
    assert advice.recommendation is what
    assert (advice.variant is not None) == (what in (Recommendation.SHIP, Recommendation.ROLL_BACK))
    if status in (BREACHED, WOULD_HAVE):
        assert any("error_rate" in each for each in advice.reasons)


def test_a_promotion_that_made_the_first_goal_worse_is_rolled_back() -> None:
    assert told((WORSE, SAME), asked=REVERSE).recommendation is Recommendation.ROLL_BACK
    assert told((BETTER, SAME), asked=REVERSE).recommendation is Recommendation.SHIP


def test_what_is_invalid_is_not_weighed() -> None:
    pairs = [compared(goal, BETTER) for goal in GOALS]
    advice = advise(PLAIN, ("lost units",), pairs, (verdict(BREACHED),))
    assert advice.recommendation is Recommendation.INVALID and advice.reasons == ("lost units",)


def test_of_two_better_ones_the_one_that_gains_more() -> None:
    asked = experiment(THREE, ("cost_per_request",))
    pairs = [compared("cost_per_request", BETTER, "a", -0.1),
             compared("cost_per_request", BETTER, "b", -0.3)]  # fmt: skip
    assert advise(asked, (), pairs, ()).variant == "b"
    mixed = [pairs[0], compared("cost_per_request", WORSE, "b", 0.3)]
    assert advise(asked, (), mixed, ()).variant == "a"
    waiting = [compared("cost_per_request", WORSE, "a"), compared("cost_per_request", FEW, "b")]
    assert advise(asked, (), waiting, ()).recommendation is Recommendation.KEEP_ON
    hopeless = [compared("cost_per_request", WORSE, each) for each in ("a", "b")]
    assert advise(asked, (), hopeless, ()).recommendation is Recommendation.STOP


def test_no_effect_that_matters_and_no_units_at_all() -> None:
    one, two = (compared(goal, SAME) for goal in GOALS)
    narrow = replace(one, relative=Interval(0.0, -0.01, 0.01))
    assert advise(PLAIN, (), (narrow, two), ()).recommendation is Recommendation.STOP
    assert advise(PLAIN, (), (replace(one, days=0.0), two), ()).recommendation is (
        Recommendation.STOP
    )
    assert advise(PLAIN, (), (replace(one, days=None), two), ()).recommendation is (
        Recommendation.KEEP_ON
    )
    nobody = replace(compared("quality", FEW), days=None, counts=Counts((0, 3), (0, 3), (0, 3)))
    assert advise(PLAIN, (), (nobody, two), ()).recommendation is Recommendation.CANNOT_SAY
