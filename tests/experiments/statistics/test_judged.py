"""A biased judge makes intervals narrower and never wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.evidence import Evidence
from experiments.statistics.fixed_horizon import Sums
from experiments.statistics.judged import (
    LEAST_LABELS,
    JudgedMean,
    JudgedSums,
    TunedDifference,
    judged_terms,
    prediction_powered,
    tuned_difference,
)
from experiments.statistics.mean_sequences import AsymptoticSequence
from experiments.statistics.moments import Interval, Moments
from tests.experiments.statistics.looks import allowed

TRUTH = 0.7


def answers(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of mean 0.7, and a judge who follows them but thinks too well of all."""
    good = (rng.random(count) < TRUTH).astype(np.float64)
    return good, np.clip(0.45 + 0.4 * good + rng.normal(0.0, 0.1, count), 0.0, 1.0)


@pytest.mark.parametrize("scale", [None, 1.0])
def test_it_covers_whatever_the_judges_bias(scale: float | None) -> None:
    """2,000 seeded samples, 60 labels and 1,000 guesses: 95 % intervals hold the truth in 93 to
    97.5 %, while the judge's own mean is 0.03 too high, and are narrower than the labels'.
    """
    rng, hits, widths, judges = np.random.default_rng(1), 0, [], []
    for _ in range(2_000):
        y, f = answers(rng, 60)
        rest = answers(rng, 1_000)[1]
        judges.append(rest.mean())
        told = prediction_powered(y, f, rest, scale)
        assert isinstance(told, JudgedMean)
        hits += told.mean.low <= TRUTH <= told.mean.high
        alone = told.labels_alone
        widths.append((told.mean.high - told.mean.low) / (alone.high - alone.low))
    assert np.mean(judges) > TRUTH + 0.025
    assert 0.93 <= hits / 2_000 <= 0.975
    assert np.mean(widths) < (0.7 if scale is None else 0.8)


def test_the_formula_by_hand() -> None:
    rng = np.random.default_rng(2)
    (y, f), rest = answers(rng, 25), answers(rng, 100)[1]
    told = prediction_powered(y, f, rest, scale=1.0, alpha=0.1)
    assert isinstance(told, JudgedMean)
    error = math.sqrt((y - f).var(ddof=1) / 25 + rest.var(ddof=1) / 100)
    assert told.mean.estimate == pytest.approx(rest.mean() + (y - f).mean())
    reach = stats.t.ppf(0.95, 24) * error
    assert told.mean.high == pytest.approx(told.mean.estimate + reach)
    assert told.labels_saved == pytest.approx(y.var(ddof=1) / error**2 - 25)


def test_the_scale_is_the_best_of_a_grid() -> None:
    rng = np.random.default_rng(3)
    (y, f), rest = answers(rng, 4_000), answers(rng, 8_000)[1]
    told = prediction_powered(y, f, rest)
    assert isinstance(told, JudgedMean)

    def error(scale: float) -> float:
        return float((y - scale * f).var() / 4_000 + (scale * rest).var() / 8_000)

    grid = np.linspace(0.0, 2.0, 201)
    assert told.scale == pytest.approx(grid[np.argmin([error(s) for s in grid])], abs=0.02)


def test_a_judge_that_knows_nothing_is_not_trusted() -> None:
    rng = np.random.default_rng(4)
    y, _ = answers(rng, 400)
    told = prediction_powered(y, rng.random(400), rng.random(4_000))
    assert isinstance(told, JudgedMean) and abs(told.scale) < 0.1
    flat = prediction_powered(y, np.full(400, 0.9), np.full(50, 0.9))
    assert isinstance(flat, JudgedMean) and flat.scale == 0.0
    assert flat.mean.estimate == pytest.approx(y.mean())
    against = prediction_powered(y, 1.0 - y, 1.0 - answers(rng, 50)[0])
    assert isinstance(against, JudgedMean) and against.scale < -0.05, "backwards, but informed"


def test_terms_for_a_sequence_are_unbiased_though_the_labelling_learns() -> None:
    """What the judge doubts is labelled more often; 300 seeded streams of 1,000 answers."""
    rng, means, sequence, misses = np.random.default_rng(5), [], AsymptoticSequence(), 0
    for _ in range(300):
        good, f = answers(rng, 1_000)
        chances = np.where(f < 0.7, 0.3, 0.1)
        labels = np.where(rng.random(1_000) < chances, good, np.nan)
        terms = judged_terms(f, labels, chances)
        means.append(terms.mean())
        found = sequence.of_terms(terms)
        assert isinstance(found, Interval)
        misses += not found.low <= TRUTH <= found.high
    assert np.mean(means) == pytest.approx(TRUTH, abs=3 * np.std(means) / math.sqrt(300))
    assert misses / 300 <= 0.05
    assert judged_terms([0.5, 0.5], [1.0, math.nan], [0.25, 0.25]).tolist() == [2.5, 0.5]


def test_few_labels_cannot_say() -> None:
    few = np.ones(LEAST_LABELS - 1)
    told = prediction_powered(few, few, np.ones(50))
    assert isinstance(told, CannotSay) and "20 labels are needed, there are 19" in str(told)
    enough = np.ones(LEAST_LABELS)
    assert isinstance(prediction_powered(enough, enough, [1.0]), CannotSay)


def test_bad_input_is_refused() -> None:
    y = np.ones(30)
    with pytest.raises(ExperimentError, match="lengths differ"):
        prediction_powered(y, y[:20], y)
    with pytest.raises(ExperimentError, match="scale is nan: give a finite number"):
        prediction_powered(y, y, y, scale=math.nan)
    with pytest.raises(ExperimentError, match="chances must lie in"):
        judged_terms(y, y, np.zeros(30))
    with pytest.raises(ExperimentError, match="labels must be"):
        judged_terms(y, np.full(30, np.inf), y)


def arm(
    rng: np.random.Generator, units: int, bias: float = 0.0, rated: float = 0.1, quality: float = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sessions of two answers that share a mood: units, the judge's scores, and people's ratings
    of some. The judge flattens what people say, and is off by ``bias``.
    """
    unit = np.repeat(np.arange(units), 2)
    mood = rng.normal(0.0, 0.15, units)[unit]
    label = np.clip(TRUTH + quality + mood + rng.normal(0.0, 0.15, 2 * units), 0.0, 1.0)
    guess = np.clip(0.3 + 0.6 * label + bias + rng.normal(0.0, 0.05, 2 * units), 0.0, 1.0)
    return unit, guess, np.where(rng.random(2 * units) < rated, label, np.nan)


def of(rows: tuple[np.ndarray, np.ndarray, np.ndarray], stop: int | None = None) -> JudgedSums:
    return JudgedSums.by_unit(*(column[:stop] for column in rows))


def test_clustered_sums_by_hand() -> None:
    """Of units of one answer the formula of two independent parts, but for what they share; of
    repeated answers the error of their units.
    """
    rng = np.random.default_rng(6)
    y, f = answers(rng, 500)
    f, y = f + 0.1 * y, np.where(np.arange(500) < 60, y, np.nan)
    sums = JudgedSums.by_unit(np.arange(500), f, y)
    found = sums.linearised()
    assert isinstance(found, Moments) and found.count == 500
    off = (y - f)[:60]
    assert found.mean == sums.mean() == pytest.approx(f.mean() + off.mean())
    wide, together = f - f.mean(), np.zeros(500)
    together[:60] = (off - off.mean()) * 500 / 60 * math.sqrt(60 / 59)
    assert found.squares == pytest.approx(float(((wide + together) ** 2).sum()))
    apart = (wide**2).sum() + 500 * 500 * off.var(ddof=1) / 60
    assert found.squares == pytest.approx(apart + 2 * (wide * together).sum())
    twice = JudgedSums.by_unit(np.tile(np.arange(500), 2), np.tile(f, 2), np.tile(y, 2))
    again = twice.linearised()
    assert isinstance(again, Moments)
    assert (again.count, again.mean) == (500, pytest.approx(found.mean))
    assert again.squares == pytest.approx(found.squares)
    scaled = sums.linearised(0.5)
    assert isinstance(scaled, Moments)
    assert scaled.mean == pytest.approx(0.5 * f.mean() + (y - 0.5 * f)[:60].mean())


def fooled(paths: int, biases: tuple[float, float], seed: int) -> tuple[float, float]:
    """The shares of seeded streams of equal quality in which the corrected means, and the judge's
    own, ever differ at 100 looks from 20 to 1,000 sessions an arm.
    """
    rng, sequence = np.random.default_rng(seed), AsymptoticSequence(best_at=1_000.0)
    wrong, raw = 0, 0
    for _ in range(paths):
        arms = [arm(rng, 1_000, bias) for bias in biases]
        alarms = [False, False]
        for stop in range(20, 2_001, 20):
            sums = [of(each, stop) for each in arms]
            scores = [Sums(each.guesses, each.judged).linearised() for each in sums]
            alarms[1] |= rejects(sequence.evidence_of_difference(scores[1], scores[0]))
            one, two = (each.linearised() for each in sums)
            if not isinstance(one, CannotSay) and not isinstance(two, CannotSay):
                alarms[0] |= rejects(sequence.evidence_of_difference(two, one))
        wrong, raw = wrong + alarms[0], raw + alarms[1]
    return wrong / paths, raw / paths


def rejects(found: Evidence | CannotSay) -> bool:
    return isinstance(found, Evidence) and found.rejects(0.05)


@pytest.mark.parametrize("biases", [(0.05, 0.05), (0.0, -0.08)], ids=["alike", "favours one"])
def test_equal_arms_do_not_differ_whatever_the_judge_thinks(biases: tuple[float, float]) -> None:
    """15 streams: at most 5 % + 3 deviations; a judge who favours an arm alarms in all."""
    wrong, raw = fooled(15, biases, 7)
    assert wrong <= allowed(0.05, 15)
    assert raw == 1.0 if biases[0] != biases[1] else raw <= allowed(0.05, 15)


@pytest.mark.slow
@pytest.mark.parametrize("biases", [(0.05, 0.05), (0.0, -0.08)], ids=["alike", "favours one"])
def test_equal_arms_do_not_differ_in_many_streams(biases: tuple[float, float]) -> None:
    """The same in 150 streams, at most 5 %."""
    wrong, raw = fooled(150, biases, 8)
    assert wrong <= 0.05
    assert raw == 1.0 if biases[0] != biases[1] else raw <= allowed(0.05, 150)


def test_the_judge_shows_what_the_labels_alone_do_not_yet() -> None:
    """30 seeded pairs of arms 0.06 apart, one answer in ten rated: the corrected means tell in at
    least a third more, with less than four fifths of the width; the tuned scale is narrower yet.
    """
    rng, sequence = np.random.default_rng(9), AsymptoticSequence()
    found, alone, widths, tuned = 0, 0, [], []
    for _ in range(30):
        arms = [arm(rng, 2_000, quality=shift) for shift in (0.0, 0.06)]
        sums = [of(each) for each in arms]
        terms = [each.linearised() for each in sums]
        rated = [Sums.by_unit(u[np.isfinite(y)], y[np.isfinite(y)], np.ones(np.isfinite(y).sum()))
                 for u, _, y in arms]  # fmt: skip
        sides = [each.linearised() for each in rated]
        one, two = terms
        assert isinstance(one, Moments) and isinstance(two, Moments)
        found += rejects(sequence.evidence_of_difference(two, one))
        alone += rejects(sequence.evidence_of_difference(sides[1], sides[0]))
        told = tuned_difference(*sums)
        assert isinstance(told, TunedDifference)
        tuned.append(told.scale)
        ours, theirs = (sequence.of_difference(two, one), sequence.of_difference(*sides[::-1]))
        assert isinstance(ours, Interval) and isinstance(theirs, Interval)
        widths.append((ours.high - ours.low) / (theirs.high - theirs.low))
    assert found >= 20 and found >= 4 / 3 * alone, (found, alone)
    assert np.mean(widths) < 0.8 and min(tuned) > 0.9


def test_tuned_difference_is_best_of_a_grid_and_covers() -> None:
    """400 seeded pairs of arms 0.05 apart: between 92 and 98 % hold it (3 deviations)."""
    rng, hits = np.random.default_rng(10), 0
    whole = [arm(np.random.default_rng(12), 200_000, rated=1.0, quality=q)[2] for q in (0.0, -0.05)]
    gap = float(whole[1].mean() - whole[0].mean())  # not 0.05 quite: ratings end at 1
    for _ in range(400):
        sums = [of(arm(rng, 150, bias, 0.3, shift)) for bias, shift in ((0.0, 0.0), (0.04, -0.05))]
        told = tuned_difference(sums[0], sums[1])
        assert isinstance(told, TunedDifference)
        hits += told.effect.low <= gap <= told.effect.high
    assert 0.92 <= hits / 400 <= 0.98

    def error(scale: float) -> float:
        terms = [each.linearised(scale) for each in sums]
        return sum(t.variance / t.count for t in terms if isinstance(t, Moments))

    grid = np.linspace(0.0, 3.0, 301)
    assert told.scale == pytest.approx(grid[np.argmin([error(s) for s in grid])], abs=0.02)


def test_labels_that_show_too_little_cannot_say() -> None:
    rng = np.random.default_rng(11)
    unit, f, y = arm(rng, 300, rated=0.5)
    few = np.where(np.isfinite(y).cumsum() < LEAST_LABELS, y, np.nan)
    told = JudgedSums.by_unit(unit * 2 + np.arange(600) % 2, f, few).linearised()
    assert isinstance(told, CannotSay) and "one has 19" in str(told)
    assert JudgedSums.by_unit(unit, f, np.full(600, np.nan)).mean() is None
    good = np.where(np.arange(600) < 60, 1.0, np.nan)
    good[:9] = 0.0
    rare = JudgedSums.by_unit(np.arange(600), f, good)
    told = rare.linearised()
    assert isinstance(told, CannotSay) and "the rarer rating are needed" in str(told)
    good[9] = 0.0
    assert isinstance(JudgedSums.by_unit(np.arange(600), f, good).linearised(), Moments)
    agrees = JudgedSums.by_unit(np.arange(600), np.where(np.isnan(good), 1.0, good), good)
    told = agrees.linearised()
    assert isinstance(told, CannotSay) and "10 rated units with an unusual miss" in str(told)
    assert isinstance(tuned_difference(rare, agrees), CannotSay)
    with pytest.raises(ExperimentError, match="lengths differ"):
        JudgedSums.by_unit(unit, f, y[:10])
