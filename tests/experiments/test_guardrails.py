"""Harm is found and dated, equal treatments are left alone, and a verdict says why."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.design import Action, Experiment, Guardrail, Unit, Variant
from experiments.errors import ExperimentError
from experiments.guardrails import (
    Status,
    Verdict,
    alpha_each,
    failure_of,
    judge,
    onset,
    share_against_control,
    watches,
)
from experiments.metrics import Direction, Frame
from experiments.switchback import Blocks
from tests.experiments.statistics.looks import allowed
from tests.experiments.traffic import (
    CANARY,
    STEP_US,
    experiment,
    failing,
    looks,
    of,
    part,
    times,
    traffic,
)

THREE = (Variant("control", 0.5), Variant("a", 0.3), Variant("b", 0.2))
ALL = (
    Guardrail("error_rate"),
    Guardrail("latency_mean", tolerance=0.05),
    Guardrail("cost_per_success", tolerance=0.05),
    Guardrail("ttft_p95", tolerance=0.1),
    Guardrail("quality", tolerance=0.02),
    Guardrail("success_rate", tolerance=0.01),
)
ALIKE = experiment(CANARY, ("reward",), ALL)


def only(asked: Experiment, frame: Frame) -> Verdict:
    (verdict,) = judge(asked, frame)
    return verdict


def in_words(verdict: Verdict) -> None:
    """Whatever happened, it says so in words and in JSON."""
    assert verdict.metric in verdict.words and verdict.treatment in verdict.words
    text = json.dumps(verdict.to_dict(), allow_nan=False) + verdict.words
    assert "nan" not in text.lower() and "inf" not in text.lower()


def fooled(paths: int, at: range) -> float:
    """The share of seeded streams of equal arms with any breach at any look."""
    breaches = 0
    for seed in range(paths):
        frame = traffic(ALIKE, at[-1], seed, rows_a_unit=2.0)
        told = [each for look in looks(frame, at) for each in judge(ALIKE, look)]
        breaches += any(each.breached for each in told)
    return breaches / paths


def test_equal_arms_are_left_alone() -> None:
    """Six guardrails, 25 seeded streams of sessions, 3 looks each: at most 5 % + 3 deviations."""
    assert fooled(25, range(1_000, 3_001, 1_000)) <= allowed(0.05, 25)


@pytest.mark.slow
def test_equal_arms_are_left_alone_at_many_looks() -> None:
    """The same in 100 streams at 12 looks; a false alarm of this test: 0.1 %."""
    assert fooled(100, range(250, 3_001, 250)) <= allowed(0.05, 100)


@pytest.mark.parametrize(
    ("guardrail", "column", "factor"),
    [
        (Guardrail("latency_mean", tolerance=0.05), "latency_s", 1.5),
        (Guardrail("cost_per_request", tolerance=0.05), "cost_micro_usd", 1.5),
        (Guardrail("ttft_p95", tolerance=0.05), "ttft_s", 2.0),
        (Guardrail("quality", tolerance=0.05), "quality", 0.7),
        (Guardrail("judged_quality", tolerance=0.05), "quality", 0.7),
        (Guardrail("tokens_out", Direction.UP), "tokens_out", 0.7),
        (Guardrail("tokens_out", Direction.DOWN), "tokens_out", 1.4),
    ],
    ids=lambda each: each.metric if isinstance(each, Guardrail) else str(each),
)
def test_harm_of_each_kind_is_found_and_dated(
    guardrail: Guardrail, column: str, factor: float
) -> None:
    """Harm from the middle on: breached, and dated within a tenth of the whole time; the other
    way round it is good, and nothing is said.
    """
    asked = experiment(goals=("reward",), guardrails=(guardrail,))
    frame = traffic(asked, 6_000, 1)
    late = (np.arange(6_000) >= 3_000) & of(frame, "cheaper")
    harmed = times(frame, column, factor, late)
    verdict = only(asked, harmed)
    assert verdict.status is Status.BREACHED and verdict.action is Action.ROLL_BACK
    assert verdict.e_value is not None and verdict.e_value >= verdict.threshold == 20.0
    began = onset(asked, harmed, verdict)
    assert began is not None and abs(began / STEP_US - 3_000) <= 600
    in_words(verdict)
    good = only(asked, times(frame, column, 1.0 / factor, late))
    assert good.status is Status.OK and onset(asked, frame, good) is None
    in_words(good)


def test_what_is_tolerated_is_no_harm() -> None:
    """A tenth more is allowed: that much exactly is left, at every second guardrail of ALL."""
    for slug, column in (("latency_mean", "latency_s"), ("ttft_p95", "ttft_s")):
        asked = experiment(goals=("reward",), guardrails=(Guardrail(slug, tolerance=0.1),))
        frame = traffic(asked, 6_000, 2)
        assert only(asked, times(frame, column, 1.1, of(frame, "cheaper"))).status is Status.OK
        strict = replace(asked, guardrails=(Guardrail(slug),))
        worse = times(frame, column, 1.5, of(frame, "cheaper"))
        assert only(asked, worse).breached and only(strict, worse).breached


def test_failures_are_dated_to_the_failure_and_judged_as_by_the_watch() -> None:
    """A canary that fails ten times as often from the middle on; the hot path says the same."""
    asked = experiment(CANARY, ("reward",), (Guardrail("error_rate"),))
    frame = traffic(asked, 12_000, 3)
    late = (np.arange(12_000) >= 6_000) & of(frame, "canary")
    harmed = failing(frame, 0.2, late, 4)
    verdict = only(asked, harmed)
    assert verdict.breached and verdict.effect is not None and verdict.effect > 1.0
    ((key, watch),) = watches(asked).items()
    assert key == ("error_rate", "canary")
    for row in np.flatnonzero(harmed["status"] == 503.0):
        name = str(harmed["variant"][row])
        share = share_against_control(asked, "canary", name, float(harmed["share"][row]))  # type: ignore[arg-type]
        unit, at_us = str(harmed["unit"][row]), int(harmed["ts_us"][row])  # type: ignore[call-overload]
        watch.failed(float(share), name == "canary", unit, at_us)
    assert verdict.log_e == pytest.approx(watch.peak, abs=1e-9)
    began = onset(asked, harmed, verdict)
    assert began == watch.onset_us is not None
    assert 4_500 <= began / STEP_US <= 6_200
    in_words(verdict)


def test_an_alarm_stays() -> None:
    asked = experiment(CANARY, ("reward",), (Guardrail("error_rate"),))
    frame = traffic(asked, 8_000, 5)
    early = (np.arange(8_000) < 3_000) & of(frame, "canary")
    late = (np.arange(8_000) >= 3_000) & ~of(frame, "canary")
    harmed = failing(failing(frame, 0.15, early, 6), 0.5, late, 7)
    verdict = only(asked, harmed)
    assert verdict.breached and verdict.effect is not None and verdict.effect < 0.0


def test_a_dry_run_and_a_warning_say_what_they_would_do() -> None:
    frame = traffic(experiment(), 3_000, 8)
    harmed = failing(frame, 0.3, of(frame, "cheaper"), 9)
    for action in Action:
        for dry_run, status in ((False, Status.BREACHED), (True, Status.WOULD_HAVE)):
            rail = Guardrail("error_rate", action=action, dry_run=dry_run)
            asked = experiment(guardrails=(rail,))
            verdict = only(asked, harmed)
            assert verdict.status is status and verdict.action is action
            assert str(action) in verdict.words and ("dry run" in verdict.words) == dry_run
            in_words(verdict)


def test_few_units_are_not_enough_data_yet() -> None:
    """Below ``least`` nothing is said, however bad it looks, nor without any row."""
    frame = traffic(ALIKE, 400, 10)
    canary = of(frame, "canary")
    harmed = failing(frame, 1.0, canary, 11)
    number = int(canary.sum())
    for least, status in ((number, Status.BREACHED), (number + 1, Status.NOT_ENOUGH)):
        asked = experiment(CANARY, ("reward",), (Guardrail("error_rate", least=least),))
        verdict = only(asked, harmed)
        assert verdict.status is status
        assert (verdict.log_e is None) == (status is Status.NOT_ENOUGH) == (verdict.e_value is None)
        in_words(verdict)
    for verdict in judge(ALIKE, part(frame, slice(0, 0))):
        assert verdict.status is Status.NOT_ENOUGH and verdict.units == (0, 0)
        in_words(verdict)


def test_each_guardrail_has_its_part_of_the_level() -> None:
    asked = experiment(THREE, ("reward",), ALL[:2])
    assert alpha_each(asked) == pytest.approx(0.05 / 4)
    verdicts = judge(asked, traffic(asked, 300, 12))
    assert [(each.metric, each.treatment) for each in verdicts] == [
        ("error_rate", "a"), ("error_rate", "b"), ("latency_mean", "a"), ("latency_mean", "b"),
    ]  # fmt: skip
    assert [each.threshold for each in verdicts] == pytest.approx([80.0] * 4)
    assert alpha_each(experiment()) == 0.05 and judge(experiment(), traffic(asked, 0, 0)) == []


def test_the_share_is_that_of_the_two_that_are_compared() -> None:
    asked = experiment(THREE, ("reward",), ALL[:1])
    assert share_against_control(asked, "a", "a", 0.3) == pytest.approx(0.3 / 0.8)
    assert share_against_control(asked, "a", "control", 0.5) == pytest.approx(0.3 / 0.8)
    two = experiment(CANARY)
    assert share_against_control(two, "canary", "canary", 0.25) == pytest.approx(0.25)
    assert share_against_control(two, "canary", "control", 0.6) == pytest.approx(0.4)
    for treatment, variant in (("control", "control"), ("a", "b"), ("c", "c")):
        with pytest.raises(ExperimentError, match="give the control"):
            share_against_control(asked, treatment, variant, 0.3)


def test_only_failures_of_known_sign_are_counted_alone() -> None:
    assert failure_of(Guardrail("error_rate", tolerance=0.2)) == 1.0
    assert failure_of(Guardrail("success_rate")) == 0.0
    assert failure_of(Guardrail("success_rate", tolerance=0.01)) is None
    assert failure_of(Guardrail("rating_rate", Direction.UP)) is None
    assert failure_of(Guardrail("attempts")) is None
    assert list(watches(ALIKE)) == [("error_rate", "canary")]
    assert watches(experiment()) == {}


def blocked(
    guardrail: Guardrail, hours: int, factor: float, late: float
) -> tuple[Experiment, Frame]:
    """A request a minute in blocks of half an hour; the treatment's harm from a part on."""
    plan = Blocks("trial/1", 0)
    asked = experiment(goals=("reward",), guardrails=(guardrail,), unit=Unit.BLOCK, blocks=plan)
    rows = hours * 60
    frame = dict(traffic(asked, rows, 13))
    at_us = 60_000_000 * np.arange(rows, dtype=np.int64)
    treated = np.array([plan.treated(plan.block(at)) for at in at_us.tolist()], dtype=np.bool_)
    frame["ts_us"] = at_us
    frame["variant"] = np.where(treated, "cheaper", "control").astype(object)
    bad = treated & (np.arange(rows) >= late * rows)
    return asked, times(frame, "latency_s", factor, bad)


def test_blocks_are_judged_by_their_pairs() -> None:
    rail = Guardrail("latency_mean", tolerance=0.1, least=8)
    asked, frame = blocked(rail, 60, 1.6, 0.3)
    verdict = only(asked, frame)
    assert verdict.breached and verdict.units == (59, 59)
    began = onset(asked, frame, verdict)
    assert began is not None and abs(began / 3_600e6 - 18) <= 5
    in_words(verdict)
    calm = only(*blocked(rail, 60, 1.1, 0.0))
    assert calm.status is Status.OK
    few = only(*blocked(rail, 7, 3.0, 0.0))
    assert few.status is Status.NOT_ENOUGH
    none = only(*blocked(rail, 0, 3.0, 0.0))
    assert none.status is Status.NOT_ENOUGH and none.effect is None
    for each in (calm, few, none):
        in_words(each)
    assert watches(asked) == {}


def test_a_metric_below_zero_has_its_limit_below_as_well() -> None:
    """Rewards of minus one: a tenth of tolerance is down to minus 1.1."""
    asked = experiment(goals=("quality",), guardrails=(Guardrail("reward", tolerance=0.1),))
    frame = dict(traffic(asked, 4_000, 14))
    frame["reward"] = np.random.default_rng(15).normal(-1.0, 0.1, 4_000)
    mine = of(frame, "cheaper")
    assert only(asked, times(frame, "reward", 1.05, mine)).status is Status.OK
    worse = only(asked, times(frame, "reward", 1.2, mine))
    assert worse.breached and worse.effect == pytest.approx(-0.2, abs=0.02)


def test_nothing_to_divide_by_is_not_enough_data() -> None:
    asked = experiment(goals=("reward",), guardrails=(Guardrail("cost_per_success"),))
    frame = traffic(asked, 500, 16)
    verdict = only(asked, failing(frame, 1.0, of(frame, "cheaper"), 17))
    assert verdict.status is Status.NOT_ENOUGH and verdict.effect is None
    in_words(verdict)


def test_what_cannot_be_judged_is_refused() -> None:
    frame = traffic(ALIKE, 300, 18)
    without = {name: column for name, column in frame.items() if name != "share"}
    with pytest.raises(ExperimentError, match="lacks share"):
        judge(ALIKE, without)
    breached = only(
        experiment(guardrails=ALL[:1]),
        failing(traffic(experiment(), 2_000, 19), 0.5, of(traffic(experiment(), 2_000, 19),
                                                          "cheaper"), 20),
    )  # fmt: skip
    assert breached.breached
    with pytest.raises(ExperimentError, match="is no guardrail of trial"):
        onset(experiment(), frame, breached)


def test_a_judge_alone_breaches_nothing_and_few_ratings_are_not_enough() -> None:
    """The judge thinks a fifth less of the treatment, and people do not: the effect that is told
    is the corrected one. Without ratings nothing is said, whatever the judge thinks.
    """
    asked = experiment(goals=("reward",), guardrails=(Guardrail("judged_quality"),))
    frame = traffic(asked, 4_000, 20)
    disliked = times(frame, "judged", 0.8, of(frame, "cheaper"))
    verdict = only(asked, disliked)
    assert verdict.status is Status.OK and verdict.effect is not None
    assert abs(verdict.effect) < 0.03
    in_words(verdict)
    silent = {**disliked, "quality": np.full(4_000, np.nan)}
    verdict = only(asked, silent)
    assert verdict.status is Status.NOT_ENOUGH and verdict.effect is None
    assert "people rated" in verdict.words
    in_words(verdict)


@pytest.mark.slow
def test_what_a_judge_dislikes_alone_is_left_alone_at_many_looks() -> None:
    """100 streams of sessions, one answer in ten rated, at 20 looks: at most 5 % + 3 deviations,
    while the judge thinks a seventh less of the treatment.
    """
    asked, wrong = experiment(goals=("reward",), guardrails=(Guardrail("judged_quality"),)), 0
    for seed in range(100):
        frame = traffic(asked, 3_000, seed, rows_a_unit=2.0)
        few = np.random.default_rng(seed).random(3_000) < 0.33
        frame = times(frame, "judged", 0.85, of(frame, "cheaper"))
        frame = {**frame, "quality": np.where(few, frame["quality"], np.nan)}
        wrong += any(only(asked, look).breached for look in looks(frame, range(150, 3_001, 150)))
    assert wrong / 100 <= allowed(0.05, 100)
