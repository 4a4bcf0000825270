"""Quality of the answers that were given, from a judge's sample and people's ratings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from experiments.errors import CannotSay
from experiments.statistics.inputs import Floats, Ints, alike, finite, level, within
from experiments.statistics.judged import LEAST_LABELS
from experiments.statistics.mean_sequences import LEAST_EVENTS
from experiments.statistics.moments import Interval

STRATA = 3
LEAST_IN_STRATUM = 5


@dataclass(frozen=True, slots=True)
class JudgedQuality:
    """``corrected``: the mean that people would give, with its interval; ``judge``: the judge's own
    mean, uncorrected; ``people``: the mean of the labels alone; ``bias``: the judge's, against
    people; ``scale``: what the judge's scores are multiplied by (0: they say nothing);
    ``labels_saved``: how many more labels would give the same width without the judge.
    ``known``: whether the labels' chances were known, or estimated within strata of scores.
    """

    corrected: Interval
    judge: Interval
    people: Interval
    bias: float
    scale: float
    labels_saved: float
    answers: int
    labels: int
    known: bool


@dataclass(frozen=True, slots=True)
class Sampled:
    """Answers that a judge scored, all [n]. ``scores``; ``labels``: NaN where nobody rated;
    ``drawn``: the probability with which each was drawn to be judged; ``asked``: the probability
    with which a person was asked, NaN where people rate of themselves; ``units``: whose.
    """

    scores: Floats
    labels: Floats
    drawn: Floats
    asked: Floats
    units: Floats


def judged_quality(sampled: Sampled, alpha: float = 0.05) -> JudgedQuality | CannotSay:
    """The mean label of all answers, weighted back from what was judged to what was given.

    s mean(f) + mean(y - s f): f the scores, weighted by 1 / drawn, and y the labels, weighted by
    1 / (drawn c), c the chance of a label; both means are ratios (Hajek 1971). With constant
    chances and s 1 it is prediction-powered inference (Angelopoulos et al., Science 382, 2023);
    s is the scale of least variance (PPI++, arXiv 2311.01453). Errors are linearised and clustered
    by unit; Student's quantile of the labels; for one look.

    Where people rate of themselves c is not known. It is then estimated as the share rated within
    thirds of the scores, which is right only if within a third those answers that are rated are
    like those that are not; refused where a third has answers and fewer than ``LEAST_IN_STRATUM``
    labels. Cannot say below ``LEAST_LABELS`` labels, nor where fewer than ``LEAST_EVENTS`` of them
    are other than the commonest.
    """
    f, y = finite(sampled.scores, "scores"), np.asarray(sampled.labels, dtype=np.float64)
    drawn = within(finite(sampled.drawn, "drawn"), "drawn", 1e-12, 1.0)
    asked = np.asarray(sampled.asked, dtype=np.float64)
    alike({"scores": len(f), "labels": len(y), "drawn": len(drawn), "asked": len(asked)})
    rated = np.isfinite(y)
    few = _few(y[rated])
    if few is not None:
        return few
    known = bool(np.isfinite(asked).all())
    chances = asked if known else _by_stratum(f, rated)
    if isinstance(chances, CannotSay):
        return chances
    weights, back = 1.0 / drawn, np.where(rated, 1.0 / (drawn * chances), 0.0)
    groups = np.unique(sampled.units, return_inverse=True)[1].astype(np.int64)
    told = np.where(rated, y, 0.0)
    wide, guessed = _mean(f, weights), _mean(f, back)
    labelled = _mean(told, back)
    own = _by_unit(back * (told - labelled) / back.sum(), groups)
    slope = _by_unit(
        weights * (f - wide) / weights.sum() - back * (f - guessed) / back.sum(), groups
    )
    square = float((slope**2).sum())
    scale = -float((own * slope).sum()) / square if square > 0.0 else 0.0
    quantile = float(stats.t.ppf(1.0 - level(alpha) / 2.0, int(rated.sum()) - 1))
    small = math.sqrt(1.0 + 1.0 / (int(rated.sum()) - 1))  # the variance is of so many labels

    def interval(mean: float, moved: Floats) -> Interval:
        error = quantile * small * math.sqrt(float((moved**2).sum()))
        return Interval(mean, mean - error, mean + error)

    corrected = interval(labelled + scale * (wide - guessed), own + scale * slope)
    people = interval(labelled, own)
    judge = interval(wide, _by_unit(weights * (f - wide) / weights.sum(), groups))
    widths = corrected.high - corrected.low, people.high - people.low
    saved = int(rated.sum()) * ((widths[1] / widths[0]) ** 2 - 1.0) if widths[0] > 0 else math.inf
    return JudgedQuality(
        corrected, judge, people, judge.estimate - corrected.estimate, scale, saved, len(f),
        int(rated.sum()), known,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Alike:
    """Do those answers that people rate look to the judge like those that they do not? ``gap``:
    mean score of the rated less that of the others.
    """

    gap: Interval
    p_value: float


def rated_alike(scores: ArrayLike, rated: ArrayLike) -> Alike | CannotSay:
    """Welch's test of the judge's scores, rated against not rated: a difference says that ratings
    are not missing at random; none says only that the judge sees none.
    """
    f, known = finite(scores, "scores"), np.asarray(rated, dtype=bool)
    alike({"scores": len(f), "rated": len(known)})
    one, two = f[known], f[~known]
    if min(len(one), len(two)) < LEAST_LABELS:
        return CannotSay(f"{LEAST_LABELS} answers with a rating and without are needed")
    if f.min() == f.max():
        return CannotSay("the judge says the same of all answers")
    found = stats.ttest_ind(one, two, equal_var=False)
    reach = found.confidence_interval(0.95)
    gap = float(one.mean() - two.mean())
    return Alike(Interval(gap, float(reach.low), float(reach.high)), float(found.pvalue))


def _few(labels: Floats) -> CannotSay | None:
    if len(labels) < LEAST_LABELS:
        return CannotSay(f"{LEAST_LABELS} ratings by people are needed, there are {len(labels)}")
    unlike = len(labels) - int(np.unique(labels, return_counts=True)[1].max())
    if unlike < LEAST_EVENTS:
        return CannotSay(
            f"{LEAST_EVENTS} ratings other than the commonest are needed, there are {unlike}"
        )
    return None


def _by_stratum(f: Floats, rated: NDArray[np.bool_]) -> Floats | CannotSay:
    edges = np.unique(np.quantile(f, np.arange(1, STRATA) / STRATA))
    stratum = np.searchsorted(edges, f, side="left")
    chances = np.ones(len(f))
    for each in np.unique(stratum):
        here = stratum == each
        labels = int(rated[here].sum())
        if labels < LEAST_IN_STRATUM:
            return CannotSay(
                "people rate of themselves, and of answers that the judge scores "
                f"{f[here].min():.2f} to {f[here].max():.2f} they rated {labels}: "
                f"{LEAST_IN_STRATUM} are needed to weight them"
            )
        chances[here] = labels / int(here.sum())
    return chances


def _mean(values: Floats, weights: Floats) -> float:
    return float((weights * values).sum() / weights.sum())


def _by_unit(moved: Floats, groups: Ints) -> Floats:
    """What each unit moves the mean by."""
    made: Floats = np.bincount(groups, weights=moved).astype(np.float64)
    return made
