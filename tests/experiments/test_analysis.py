"""A report says what is better and what may be trusted, at any look, in numbers that are ones."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from experiments.analysis import Options, Report, across, analyse
from experiments.comparing import Looks
from experiments.design import Action, Experiment, Guardrail, Unit, Variant
from experiments.errors import ExperimentError
from experiments.findings import Compared, Finding
from experiments.metrics import METRICS, Direction, Frame, Role
from experiments.plain import plain
from experiments.recommending import Recommendation
from experiments.statistics.sample_ratio import ALPHA
from experiments.switchback import Blocks
from tests.experiments.statistics.looks import allowed
from tests.experiments.traffic import TWO, experiment, failing, looks, of, part, times, traffic

THREE = (Variant("control", 0.4), Variant("a", 0.3), Variant("b", 0.3))
GOALS = ("cost_per_request", "quality", "success_rate", "latency_p95")
ALIKE = experiment(goals=GOALS, guardrails=(Guardrail("attempts", tolerance=0.02),))


def in_words(report: Report) -> None:
    """All of it fits into JSON, and no word is a number that is none."""
    text = json.dumps(report.to_dict(), allow_nan=False)
    assert "nan" not in text.lower() and "infinity" not in text.lower()
    assert report.advice.reasons and report.advice.would_change
    for each in report.comparisons:
        assert each.metric in each.words and str(each.finding) in each.words
        assert each.days is None or math.isfinite(each.days)


def one(report: Report, metric: str, treatment: str = "cheaper") -> Compared:
    (found,) = [each for each in report.comparisons
                if (each.metric, each.treatment) == (metric, treatment)]  # fmt: skip
    return found


def fooled(paths: int, at: range) -> float:
    """The share of seeded streams of equal arms in which any goal ever differs, at any look."""
    wrong = 0
    for seed in range(paths):
        frame = traffic(ALIKE, at[-1], seed, rows_a_unit=2.0)
        reports = [analyse(ALIKE, look) for look in looks(frame, at)]
        found = [each for report in reports for each in report.comparisons
                 if each.role is Role.GOAL]  # fmt: skip
        wrong += any(each.finding in (Finding.BETTER, Finding.WORSE) for each in found)
    return wrong / paths


def test_equal_arms_do_not_differ() -> None:
    """Four goals, 25 seeded streams of sessions, 3 looks: at most 5 % + 3 deviations."""
    assert fooled(25, range(1_000, 3_001, 1_000)) <= allowed(0.05, 25)


@pytest.mark.slow
def test_equal_arms_do_not_differ_at_many_looks() -> None:
    """The same in 100 streams at 12 looks; a false alarm of this test: 0.1 %."""
    assert fooled(100, range(250, 3_001, 250)) <= allowed(0.05, 100)


@pytest.mark.parametrize(
    ("goal", "column", "factor"),
    [("cost_per_request", "cost_micro_usd", 0.7), ("cost_per_success", "cost_micro_usd", 0.7),
     ("quality", "quality", 1.1), ("latency_mean", "latency_s", 0.7),
     ("latency_p95", "latency_s", 0.6)],
)  # fmt: skip
def test_a_better_treatment_is_found_and_shipped_and_a_worse_one_is_not(
    goal: str, column: str, factor: float
) -> None:
    asked = experiment(goals=(goal,), guardrails=(Guardrail("attempts", tolerance=0.1),))
    frame = traffic(asked, 6_000, 1)
    mine = of(frame, "cheaper")
    report = analyse(asked, times(frame, column, factor, mine))
    found = one(report, goal)
    assert found.finding is Finding.BETTER and found.looks is Looks.ANY
    assert found.relative is not None and found.effect is not None and found.means is not None
    assert found.relative.low < factor - 1.0 < found.relative.high
    assert found.effect.estimate == pytest.approx(found.means[1] - found.means[0])
    assert found.log_e is not None and math.exp(-found.log_e) == pytest.approx(found.p_value)
    assert (report.advice.recommendation, report.advice.variant) == (
        Recommendation.SHIP, "cheaper",
    )  # fmt: skip
    assert "breached at" in report.advice.would_change[0]
    worse = analyse(asked, times(frame, column, 1.0 / factor, mine))
    assert one(worse, goal).finding is Finding.WORSE
    assert worse.advice.recommendation is Recommendation.STOP
    back = replace(asked, variants=(replace(TWO[0], settings=TWO[1].settings),
                                    replace(TWO[1], settings=())), reverse=True)  # fmt: skip
    watched = analyse(back, times(frame, column, 1.0 / factor, mine))
    assert watched.advice.recommendation is Recommendation.ROLL_BACK
    for each in (report, worse, watched):
        in_words(each)


def test_sizes_and_means_by_hand() -> None:
    """Units add up their rows: of three sessions with five requests, three are rated."""
    asked = experiment(goals=("quality",))
    frame = part(traffic(asked, 5, 2), slice(0, 5))
    frame = {
        **frame,
        "unit": np.array(["a", "a", "b", "c", "c"], dtype=object),
        "variant": np.array(["control"] * 3 + ["cheaper"] * 2, dtype=object),
        "quality": np.array([0.5, math.nan, 0.75, math.nan, 1.0]),
    }
    found = one(analyse(asked, frame), "quality")
    assert found.finding is Finding.NOT_ENOUGH and found.means is None
    assert found.counts.units == (2, 1) and found.counts.rows == (3, 2)
    assert found.counts.measured == (2, 1)


def test_too_little_is_not_enough_data_yet_with_the_time_it_takes() -> None:
    """60 units in ten minutes: 100 of each arm take about 25 minutes more at least."""
    frame = traffic(experiment(), 60, 3)
    report = analyse(experiment(), frame)
    found = one(report, "cost_per_request")
    assert found.finding is Finding.NOT_ENOUGH and found.days is not None
    lacking = 100 - min(found.counts.units)
    assert found.days == pytest.approx(lacking / 0.5 / (60 / (590 / 86_400)), rel=0.02)
    assert "at least" in found.words and report.advice.recommendation is Recommendation.KEEP_ON
    in_words(report)
    none = analyse(ALIKE, part(traffic(ALIKE, 5, 0), slice(0, 0)))
    assert none.advice.recommendation is Recommendation.CANNOT_SAY
    assert {each.finding for each in none.comparisons} == {Finding.NOT_ENOUGH}
    in_words(none)


def test_no_difference_ends_when_what_matters_would_have_been_seen() -> None:
    asked = experiment(smallest_effect=0.05)
    early = analyse(asked, traffic(asked, 1_500, 4))
    found = one(early, "cost_per_request")
    assert found.finding is Finding.NO_DIFFERENCE and found.days is not None and found.days > 0.0
    assert early.advice.recommendation is Recommendation.KEEP_ON
    rough = analyse(replace(asked, smallest_effect=0.5), traffic(asked, 3_000, 4))
    assert rough.advice.recommendation is Recommendation.STOP
    assert "would matter" in rough.advice.reasons[0]
    for each in (early, rough):
        in_words(each)


def test_the_days_that_are_named_are_the_days_it_takes() -> None:
    """At the planned size an effect of that size is found in most of 20 seeded experiments."""
    asked = experiment(smallest_effect=0.2)
    found = one(analyse(asked, traffic(asked, 600, 5)), "cost_per_request")
    assert found.days is not None
    rows = 600 + round(found.days * 8_640)
    better = 0
    for seed in range(20):
        frame = traffic(asked, rows, 100 + seed)
        frame = times(frame, "cost_micro_usd", 0.8, of(frame, "cheaper"))
        better += one(analyse(asked, frame), "cost_per_request").finding is Finding.BETTER
    assert better >= 14


def test_lost_units_void_the_report() -> None:
    """A third of the treatment's units is lost: the ratio alarms and nothing is recommended."""
    asked = experiment(THREE)
    frame = traffic(asked, 3_000, 6)
    sound = analyse(asked, frame)
    assert sound.valid and sound.ratio is not None and not sound.ratio.alarm
    lost = of(frame, "a") & (np.random.default_rng(7).random(3_000) < 1 / 3)
    report = analyse(asked, part(frame, ~lost))
    assert not report.valid and report.ratio is not None and report.ratio.alarm
    assert report.ratio.log_e >= -math.log(ALPHA)
    assert report.advice.recommendation is Recommendation.INVALID
    assert "was meant" in report.invalid[0]
    in_words(report)


def test_shares_that_moved_void_the_report() -> None:
    frame = dict(traffic(experiment(), 400, 8))
    frame["share"] = np.where(np.arange(400) < 40, 0.6, frame["share"])  # type: ignore[arg-type]
    report = analyse(experiment(), frame)
    assert report.invalid == tuple(each for each in report.invalid if "40 rows" in each)
    assert report.advice.recommendation is Recommendation.INVALID


def test_units_of_two_variants_are_named_and_in_no_estimate() -> None:
    asked = experiment()
    frame = traffic(asked, 4_000, 9, rows_a_unit=2.0)
    units, variants = frame["unit"].copy(), frame["variant"].copy()
    first = {str(unit): row for row, unit in reversed(list(enumerate(units)))}
    several = [unit for unit, row in first.items() if row + 1 < 4_000 and units[row + 1] == unit][
        :12
    ]
    for unit in several:
        row = first[unit]
        variants[row] = "cheaper" if variants[row + 1] == "control" else "control"
    crossed = {**frame, "variant": variants}
    report = analyse(asked, crossed)
    assert report.crossed == 12 and set(report.crossed_names) <= set(several)
    assert len(report.crossed_names) == 10 and "12 units" in report.caveats[0] and report.valid
    without = analyse(asked, part(frame, ~np.isin(units.astype(str), several)))
    assert one(report, "cost_per_request") == replace(
        one(without, "cost_per_request"), days=one(report, "cost_per_request").days,
        words=one(report, "cost_per_request").words,
    )  # fmt: skip
    in_words(report)
    variants = np.where(np.arange(4_000) % 2 == 0, "control", "cheaper").astype(object)
    mixed = analyse(asked, {**frame, "variant": variants})
    assert not mixed.valid and any("more than one variant" in each for each in mixed.invalid)


def test_sums_of_a_small_arm_are_warned_of_unless_cut() -> None:
    for share, winsorise, warned in ((0.1, None, True), (0.1, 0.99, False), (0.5, None, False)):
        sides = (replace(TWO[0], share=1.0 - share), replace(TWO[1], share=share))
        asked = experiment(sides, winsorise=winsorise)
        caveats = analyse(asked, traffic(asked, 300, 17)).caveats
        assert any("declare winsorise" in each for each in caveats) == warned


def test_goals_and_treatments_share_the_level() -> None:
    """Holm's steps: each goal's own p-value at most its adjusted one, six of them together."""
    asked = experiment(THREE, ("cost_per_request", "quality", "latency_mean"))
    frame = traffic(asked, 4_000, 10)
    report = analyse(asked, times(frame, "quality", 1.2, of(frame, "b")))
    found = {(each.metric, each.treatment): each for each in report.comparisons}
    assert len(found) == 6
    best = found["quality", "b"]
    assert best.finding is Finding.BETTER and best.p_value is not None
    assert best.adjusted_p == pytest.approx(6 * best.p_value)
    for each in found.values():
        assert each.p_value is not None and each.adjusted_p is not None
        assert each.p_value <= each.adjusted_p
    assert any("share the level" in each for each in report.caveats)


def test_harm_is_answered_before_gain() -> None:
    frame = traffic(experiment(), 4_000, 11)
    mine = of(frame, "cheaper")
    bad = failing(times(frame, "cost_micro_usd", 0.5, mine), 0.2, mine, 12)
    told = {}
    for action in Action:
        for dry_run in (False, True):
            asked = experiment(
                guardrails=(Guardrail("error_rate", action=action, dry_run=dry_run),)
            )
            report = analyse(asked, bad)
            in_words(report)
            told[action, dry_run] = report.advice.recommendation
            assert any("error_rate" in each for each in report.advice.reasons)
    assert told[Action.ROLL_BACK, False] is Recommendation.ROLL_BACK
    assert told[Action.HOLD, False] is Recommendation.KEEP_ON
    assert told[Action.WARN, False] is Recommendation.SHIP
    assert all(told[action, True] is Recommendation.SHIP for action in Action)


def test_a_guardrail_without_data_keeps_a_better_one_from_being_shipped() -> None:
    asked = experiment(guardrails=(Guardrail("reward"),))
    frame = traffic(asked, 3_000, 13)
    report = analyse(asked, times(frame, "cost_micro_usd", 0.5, of(frame, "cheaper")))
    assert report.advice.recommendation is Recommendation.KEEP_ON
    assert "units enough for reward" in report.advice.would_change
    in_words(report)


def blocked(hours: int, factor: float) -> tuple[Experiment, Frame]:
    plan = Blocks("trial/1", 0)
    asked = experiment(goals=("latency_mean",), unit=Unit.BLOCK, blocks=plan)
    rows = hours * 60
    frame = dict(traffic(asked, rows, 14))
    at_us = 60_000_000 * np.arange(rows, dtype=np.int64)
    treated = np.array([plan.treated(plan.block(at)) for at in at_us.tolist()], dtype=np.bool_)
    frame["ts_us"] = at_us
    frame["variant"] = np.where(treated, "cheaper", "control").astype(object)
    return asked, times(frame, "latency_s", factor, treated)


def test_a_switchback_is_for_one_look() -> None:
    asked, frame = blocked(40, 0.6)
    report = analyse(asked, frame)
    found = one(report, "latency_mean")
    assert found.finding is Finding.BETTER and found.looks is Looks.ONE and found.log_e is None
    assert found.counts.units == (39, 39) and report.ratio is None and report.valid
    assert report.advice.recommendation is Recommendation.SHIP
    assert any("fixed beforehand" in each for each in report.advice.reasons)
    assert across([report]).standings[0].discovery
    few = analyse(*blocked(3, 0.6))
    assert one(few, "latency_mean").finding is Finding.NOT_ENOUGH
    assert one(few, "latency_mean").days == pytest.approx(4 / 24)
    same = analyse(*blocked(20, 1.0))
    assert one(same, "latency_mean").finding is Finding.NO_DIFFERENCE
    for each in (report, few, same):
        in_words(each)
    wrong = np.where(np.arange(len(frame["unit"])) < 500, "control", frame["variant"])
    off = analyse(asked, {**frame, "variant": wrong.astype(object)})
    assert not off.valid and "schedule was not kept" in off.invalid[0]


def test_discoveries_over_experiments() -> None:
    """One that found something among eight that did not, and one that is not valid."""
    asked = experiment()
    frames = [traffic(asked, 1_500, 200 + seed) for seed in range(9)]
    frames[3] = times(frames[3], "cost_micro_usd", 0.5, of(frames[3], "cheaper"))
    reports = [analyse(replace(asked, slug=f"e{at}"), frame) for at, frame in enumerate(frames)]
    void = analyse(replace(asked, slug="void"), part(frames[0], of(frames[0], "control")))
    told = across([*reports, void])
    assert [each.slug for each in told.standings if each.discovery] == ["e3"]
    assert [each.slug for each in told.standings if each.online] == ["e3"]
    assert told.left_out == ("void",) and told.next_level == pytest.approx(0.05 * 2 / 110)
    json.dumps(told.to_dict(), allow_nan=False)
    assert across([]).next_level == pytest.approx(0.025)


def test_every_metric_can_be_reported() -> None:
    frame = traffic(experiment(), 1_200, 15)
    for slug, row in METRICS.items():
        if row.role is Role.GOAL:
            asked = experiment(goals=(slug,))
        else:
            asked = experiment(guardrails=(Guardrail(slug, row.direction or Direction.UP),))
        in_words(analyse(asked, frame))


def test_what_cannot_be_analysed_is_refused() -> None:
    asked = experiment(covariate="tokens_in")
    frame = traffic(asked, 50, 16)
    without = {name: column for name, column in frame.items() if name != "tokens_in"}
    with pytest.raises(ExperimentError, match="lacks tokens_in, the covariate"):
        analyse(asked, without)
    with pytest.raises(ExperimentError, match="theta names qualty"):
        analyse(asked, frame, Options(theta={"qualty": 1.0}))
    with pytest.raises(ExperimentError, match="theta holds NaN"):
        analyse(asked, frame, Options(theta={"quality": math.nan}))
    with pytest.raises(ExperimentError, match="name one in the design"):
        analyse(experiment(), frame, Options(theta={"quality": 1.0}))
    with pytest.raises(ExperimentError, match="scale is nan: give a finite number"):
        analyse(asked, frame, Options(scale=math.nan))
    with pytest.raises(TypeError, match="has no plain form"):
        plain({"a": object()})
    assert plain({"a": (math.inf, Finding.BETTER)}) == {"a": [None, "better"]}
