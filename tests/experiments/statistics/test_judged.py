"""A biased judge makes intervals narrower and never wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.judged import (
    LEAST_LABELS,
    JudgedMean,
    judged_terms,
    prediction_powered,
)
from experiments.statistics.mean_sequences import AsymptoticSequence
from experiments.statistics.moments import Interval

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
