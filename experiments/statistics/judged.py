"""Quality from a few labels and a judge's many guesses: unbiased, whatever the judge's bias."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.inputs import Floats, alike, finite, level
from experiments.statistics.moments import Interval, Moments

LEAST_LABELS = 20


@dataclass(frozen=True, slots=True)
class JudgedMean:
    """A mean from labels and guesses, beside what the labels alone say.

    ``scale``: what the judge's guesses are multiplied by, 0 if they say nothing.
    ``labels_saved``: how many more labels would give the same width without the judge.
    """

    mean: Interval
    labels_alone: Interval
    scale: float
    labels_saved: float


def prediction_powered(
    labels: ArrayLike,
    guesses: ArrayLike,
    unlabelled: ArrayLike,
    scale: float | None = None,
    alpha: float = 0.05,
) -> JudgedMean | CannotSay:
    """The mean label of all answers, of which a random few are labelled.

    ``labels`` and ``guesses`` [n]: the label and the judge's guess of the labelled answers;
    ``unlabelled`` [N]: its guesses of the others. With ``scale`` 1: prediction-powered inference
    (Angelopoulos, Bates, Fannjiang, Jordan, Zrnic, Science 382, 2023, the mean's estimator);
    with None the scale of least variance (PPI++, Angelopoulos, Duchi, Zrnic 2023, arXiv
    2311.01453, its tuning for means), which may exceed 1 for a judge who tells too little apart,
    and is negative for one who has it backwards. For one look; Student's quantile, a little wider
    than the papers' normal one. Cannot say below ``LEAST_LABELS`` labels or two unlabelled
    answers.
    """
    y, f, rest = (
        finite(labels, "labels"),
        finite(guesses, "guesses"),
        finite(unlabelled, "unlabelled"),
    )
    alike({"labels": len(y), "guesses": len(f)})
    level(alpha)
    if len(y) < LEAST_LABELS:
        return CannotSay(f"{LEAST_LABELS} labels are needed, there are {len(y)}")
    if len(rest) < 2:
        return CannotSay(f"2 unlabelled answers are needed, there are {len(rest)}")
    trust = _best_scale(y, f, rest) if scale is None else _given(scale)
    off = Moments.of(y - trust * f)
    wide = Moments.of(trust * rest)
    error = math.sqrt(off.variance / off.count + wide.variance / wide.count)
    quantile = float(stats.t.ppf(1.0 - alpha / 2.0, len(y) - 1))
    mean = wide.mean + off.mean
    alone = Moments.of(y)
    saved = alone.variance / error**2 - len(y) if error > 0 else math.inf
    return JudgedMean(
        Interval(mean, mean - quantile * error, mean + quantile * error),
        alone.interval(1.0 - alpha),
        trust,
        saved,
    )


def judged_terms(guesses: ArrayLike, labels: ArrayLike, chances: ArrayLike) -> Floats:
    """Terms [N] whose mean is that of the labels, for a sequence that is looked at all day.

    ``guesses`` [N]: the judge's; ``labels`` [N]: NaN where there is none; ``chances`` [N]: the
    probability with which each answer was sent to be labelled, known and above 0. Each term is
    the guess plus, where labelled, (label - guess) / chance (Robins, Rotnitzky, Zhao, JASA 1994);
    the choice of what to label may learn from the past, and the judge may be anything fixed
    before the answer.
    """
    f, chance = finite(guesses, "guesses"), finite(chances, "chances")
    y = np.asarray(labels, dtype=np.float64)
    if y.ndim != 1 or np.isinf(y).any():
        raise ExperimentError("labels must be [N] and finite, or NaN where there is no label")
    alike({"guesses": len(f), "labels": len(y), "chances": len(chance)})
    if len(chance) and not (chance.min() > 0.0 and chance.max() <= 1.0):
        raise ExperimentError("chances must lie in (0, 1]: leave out what can never be labelled")
    known = ~np.isnan(y)
    terms: Floats = f + np.where(known, np.where(known, y, 0.0) - f, 0.0) / chance
    return terms


def _best_scale(y: Floats, f: Floats, rest: Floats) -> float:
    guesses = np.concatenate([f, rest])
    if guesses.min() == guesses.max():
        return 0.0  # a judge that always says the same says nothing
    spread = Moments.of(guesses).variance
    together = float(((y - y.mean()) * (f - f.mean())).sum()) / (len(y) - 1)
    return together / (spread * (1.0 + len(y) / len(rest)))


def _given(scale: float) -> float:
    if not math.isfinite(scale):
        raise ExperimentError(f"scale is {scale!r}: give a finite number, or None for the best")
    return float(scale)
