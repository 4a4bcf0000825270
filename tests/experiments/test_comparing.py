"""Each kind of metric is compared by its own formula, and what was looked at once is marked so."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.arms import Arm, arm_of, expose
from experiments.comparing import Estimate, Looks, Setting, compare
from experiments.design import Experiment
from experiments.errors import CannotSay
from experiments.metrics import METRICS, Frame
from experiments.statistics.fixed_horizon import Covaried, Sums, cuped
from experiments.statistics.mean_sequences import AsymptoticSequence
from experiments.statistics.moments import Interval, Moments
from experiments.statistics.quantiles import QuantileSequence
from tests.experiments.statistics.looks import allowed
from tests.experiments.traffic import experiment, of, times, traffic

ASKED = experiment()
SETTING = Setting(0.05, 1_000.0)


def arms(frame: Frame, slug: str, asked: Experiment = ASKED) -> tuple[Arm, Arm]:
    exposure, measured = expose(asked, frame), METRICS[slug].measure(frame)
    return arm_of(exposure, measured, 0), arm_of(exposure, measured, 1)


def estimate(
    frame: Frame, slug: str, setting: Setting = SETTING, covariate: np.ndarray | None = None
) -> Estimate:
    found = compare(METRICS[slug], *arms(frame, slug), covariate, setting)
    assert isinstance(found, Estimate)
    return found


def test_means_are_those_of_rows_and_their_errors_those_of_units() -> None:
    frame = traffic(ASKED, 3_000, 1, rows_a_unit=3.0)
    found, (control, treatment) = estimate(frame, "latency_mean"), arms(frame, "latency_mean")
    assert found.control == pytest.approx(control.values.mean())
    assert found.treatment == pytest.approx(treatment.values.mean())
    by_row = AsymptoticSequence(best_at=1_000.0).of_difference(
        Moments.of(treatment.values), Moments.of(control.values)
    )
    by_unit = AsymptoticSequence(best_at=1_000.0).of_difference(
        treatment.sums().linearised(), control.sums().linearised()
    )
    assert isinstance(by_row, Interval) and isinstance(by_unit, Interval)
    assert found.effect == by_unit
    assert by_unit.high - by_unit.low > 1.2 * (by_row.high - by_row.low) * math.sqrt(
        control.number / len(control.rows)
    )


def test_the_relative_sequence_holds_the_truth_at_every_look() -> None:
    """200 seeded streams of lognormal costs with a fifth less, 5 looks: at most 5 % + 3
    deviations leave it.
    """
    missed = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        one, two = rng.lognormal(0.0, 0.7, (2, 1_000))
        rows = np.arange(1_000)
        out = False
        for stop in range(200, 1_001, 200):
            sides = [Arm(rows[:stop], values[:stop], np.ones(stop), rows[:stop])
                     for values in (one, 0.8 * two)]  # fmt: skip
            found = compare(METRICS["latency_mean"], sides[0], sides[1], None, SETTING)
            assert isinstance(found, Estimate)
            assert found.relative is not None or stop < 400  # the control may still be 0
            if found.relative is not None:
                out |= not found.relative.low <= -0.2 <= found.relative.high
        missed += out
    assert missed / 200 <= allowed(0.05, 200)


def test_a_relative_effect_needs_a_control_that_is_not_zero() -> None:
    frame = dict(traffic(ASKED, 1_000, 2))
    frame["reward"] = np.random.default_rng(3).normal(0.0, 1.0, 1_000)
    found = estimate(frame, "reward")
    assert found.relative is None and math.isfinite(found.effect.low)


def test_a_slope_from_before_decides_at_any_look_and_one_from_the_same_rows_does_not() -> None:
    """The prompt's tokens foretell half of the latency: with the slope of an earlier period the
    sequence itself is narrower; with none it stays, and CUPED is told for one look.
    """
    frame = traffic(ASKED, 4_000, 4)
    frame = times(frame, "latency_s", 0.9, of(frame, "cheaper"))
    covariate = np.log(np.asarray(frame["tokens_in"], dtype=np.float64))
    plain = estimate(frame, "latency_mean")
    once = estimate(frame, "latency_mean", covariate=covariate)
    assert once.effect == plain.effect and once.log_e == plain.log_e
    (aside,) = once.beside
    assert aside.name == "CUPED" and aside.looks is Looks.ONE and "one look" in aside.words
    control, treatment = arms(frame, "latency_mean")
    same = cuped(*(Covaried(arm.values, covariate[arm.rows]) for arm in (control, treatment)), 0.05)
    assert not isinstance(same, CannotSay)
    assert aside.effect.low == pytest.approx(same.adjusted.difference.low)
    before = traffic(ASKED, 4_000, 5)
    past = np.log(np.asarray(before["tokens_in"], dtype=np.float64))
    theta = float(np.polyfit(past, np.asarray(before["latency_s"], dtype=np.float64), 1)[0])
    setting = Setting(0.05, 1_000.0, theta=theta)
    fixed = estimate(frame, "latency_mean", setting, covariate)
    assert fixed.looks is Looks.ANY and fixed.beside[0].name == "unadjusted"
    assert fixed.beside[0].effect == plain.effect and "CUPED" in fixed.notes[0]
    width = (fixed.effect.high - fixed.effect.low) / (plain.effect.high - plain.effect.low)
    assert width < 0.85
    assert fixed.effect.estimate == pytest.approx(plain.effect.estimate, abs=0.1)


def test_an_unknown_covariate_adjusts_nothing() -> None:
    frame = traffic(ASKED, 1_000, 6)
    nothing = np.full(1_000, np.nan)
    found = estimate(frame, "latency_mean", covariate=nothing)
    assert found.effect == estimate(frame, "latency_mean").effect
    assert "not adjusted" in found.notes[0] and found.beside == ()
    known = np.log(np.asarray(frame["tokens_in"], dtype=np.float64))
    half = np.where(np.arange(1_000) % 2 == 0, known, nothing)
    some = estimate(frame, "latency_mean", Setting(0.05, 1_000.0, theta=1.0), half)
    assert math.isfinite(some.effect.low) and some.effect != found.effect


def test_a_declared_cut_decides_and_the_whole_is_told_beside() -> None:
    frame = dict(traffic(ASKED, 4_000, 7))
    cost = np.asarray(frame["cost_micro_usd"], dtype=np.float64).copy()
    cost[np.flatnonzero(of(frame, "cheaper"))[0]] = 1e7
    frame["cost_micro_usd"] = np.where(of(frame, "cheaper"), 0.8 * cost, cost)
    raw = estimate(frame, "cost_per_request")
    cut = estimate(frame, "cost_per_request", Setting(0.05, 1_000.0, winsorise=0.99))
    assert cut.beside[0].name == "not winsorised" and cut.beside[0].effect == raw.effect
    assert cut.effect.estimate < 0.0 < raw.effect.estimate
    assert cut.p_value < 0.05 < raw.p_value
    assert any("are cut at" in each for each in cut.notes)
    assert any("the signs differ" in each for each in cut.notes)
    assert estimate(frame, "latency_mean", Setting(0.05, 1_000.0, winsorise=0.99)).beside == ()


def test_a_quantile_takes_the_first_row_of_each_unit() -> None:
    frame = traffic(ASKED, 6_000, 8, rows_a_unit=2.0)
    found, (control, treatment) = estimate(frame, "latency_p95"), arms(frame, "latency_p95")
    sequence = QuantileSequence(0.95)
    assert found.effect == sequence.difference(treatment.first(), control.first())
    evidence = sequence.evidence_of_difference(treatment.first(), control.first())
    assert found.log_e == evidence.log_e
    others = 6_000 - control.number - treatment.number
    assert f"{others} others are not used" in found.notes[0]
    assert found.relative is not None and found.relative.low < 0.0 < found.relative.high
    two = np.linspace(0.0, 9.0, 30)
    rows = np.arange(30)
    few = compare(METRICS["latency_p95"], Arm(rows, two, np.ones(30), rows),
                  Arm(rows, two + 1.0, np.ones(30), rows), None, SETTING)  # fmt: skip
    assert isinstance(few, Estimate) and few.sd is None and few.effect.high == math.inf
    assert few.relative is not None and few.relative.low == -1.0


def test_the_spread_of_a_quantile_is_that_of_its_density() -> None:
    """sqrt(p (1 - p)) / f(q) for latencies of an exponential distribution: 4.36 at 95 %. Within
    a half: a band is a rough ruler.
    """
    rng, rows = np.random.default_rng(9), np.arange(20_000)
    sides = [Arm(rows, rng.exponential(1.0, 20_000), np.ones(20_000), rows) for _ in range(2)]
    found = compare(METRICS["latency_p95"], sides[0], sides[1], None, SETTING)
    assert isinstance(found, Estimate) and found.sd is not None
    assert math.sqrt(0.95 * 0.05) / 0.05 <= found.sd * 1.5
    assert found.sd <= 1.6 * math.sqrt(0.95 * 0.05) / 0.05


@pytest.mark.parametrize("slug", ["success_rate", "cost_per_success", "latency_p95"])
def test_thin_data_cannot_say(slug: str) -> None:
    one = traffic(ASKED, 2, 10)
    told = compare(METRICS[slug], *arms(one, slug), None, SETTING)
    assert isinstance(told, CannotSay) and "two measured units" in str(told)
    if slug == "success_rate":
        rare = compare(METRICS[slug], *arms(traffic(ASKED, 400, 10), slug), None, SETTING)
        assert isinstance(rare, CannotSay) and "rarer outcome" in str(rare)


def test_a_denominator_that_may_be_zero_cannot_be_divided_by() -> None:
    rows = np.arange(400)
    rare = np.where(rows % 150 == 0, 1.0, 0.0)
    side = Arm(rows, rare, rare, rows)
    told = compare(METRICS["cost_per_success"], side, side, None, SETTING)
    assert isinstance(told, CannotSay) and "divided by cannot be told from 0" in str(told)
    assert Sums(rare, rare).denominator.mean() > 0.0


def test_a_judges_scores_are_corrected_and_what_each_says_alone_stands_beside() -> None:
    """The judge favours the treatment, people do not: nothing is found, at any look; beside it
    the judge's own mean differs, and the ratings alone are wider.
    """
    frame = dict(traffic(ASKED, 4_000, 11, rows_a_unit=2.0))
    favoured = np.where(of(frame, "cheaper"), 0.05, 0.0)
    frame["judged"] = np.clip(np.asarray(frame["judged"], dtype=np.float64) + favoured, 0.0, 1.0)
    found = estimate(frame, "judged_quality")
    control, treatment = (arm.judged().linearised() for arm in arms(frame, "judged_quality"))
    assert isinstance(control, Moments) and isinstance(treatment, Moments)
    same = AsymptoticSequence(best_at=1_000.0).of_difference(treatment, control)
    assert found.effect == same and found.looks is Looks.ANY and found.log_e is not None
    assert found.effect.low < 0.0 < found.effect.high and found.p_value > 0.05
    assert "right only if the rated answers are like the others" in found.notes[0]
    beside = {each.name: each for each in found.beside}
    assert list(beside) == ["ratings alone", "judge alone", "PPI++"]
    assert beside["judge alone"].effect.low > 0.0
    alone, once = beside["ratings alone"].effect, beside["PPI++"]
    assert found.effect.high - found.effect.low < 0.8 * (alone.high - alone.low)
    assert once.looks is Looks.ONE and "one look" in once.words
    ratings = estimate(frame, "quality")
    assert alone == ratings.effect, "where the judge scored every answer"


def test_the_scale_of_a_judge_is_given_and_few_ratings_are_not_enough() -> None:
    frame = dict(traffic(ASKED, 2_000, 12))
    whole = estimate(frame, "judged_quality")
    none = estimate(frame, "judged_quality", Setting(0.05, 1_000.0, scale=0.0))
    alone = next(each for each in whole.beside if each.name == "ratings alone")
    assert none.effect.estimate == pytest.approx(alone.effect.estimate)
    assert none.effect.high - none.effect.low == pytest.approx(
        alone.effect.high - alone.effect.low, rel=0.2
    )
    quality = np.asarray(frame["quality"], dtype=np.float64)
    for mine in ("control", "cheaper"):
        few = np.where(of(frame, mine), np.nan, quality)
        sides = arms({**frame, "quality": few}, "judged_quality")
        told = compare(METRICS["judged_quality"], *sides, None, SETTING)
        assert isinstance(told, CannotSay) and "20 units" in str(told) and "has 0" in str(told)
    unjudged = {**frame, "judged": np.full(2_000, np.nan)}
    told = compare(METRICS["judged_quality"], *arms(unjudged, "judged_quality"), None, SETTING)
    assert isinstance(told, CannotSay) and "two measured units" in str(told)
