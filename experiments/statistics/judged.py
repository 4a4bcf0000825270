"""Quality from a few labels and a judge's many guesses: unbiased, whatever the judge's bias."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.inputs import Floats, alike, finite, level
from experiments.statistics.mean_sequences import LEAST_EVENTS
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


@dataclass(frozen=True, slots=True, eq=False)
class JudgedSums:
    """Of every unit of an arm sums over its judged answers, all [n], and over those of them that
    people rated as well.

    ``guesses``: the judge's scores; ``judged``: how many; ``labels``: people's; ``guessed``: the
    judge's scores of those; ``labelled``: how many. ``rarer``: units with the rarer label where
    all are 0 or 1, otherwise None.
    """

    guesses: Floats
    judged: Floats
    labels: Floats
    guessed: Floats
    labelled: Floats
    rarer: int | None

    @classmethod
    def by_unit(cls, units: NDArray[np.generic], guesses: Floats, labels: Floats) -> JudgedSums:
        """Judged answers added up by unit, all [rows]; a label is NaN where nobody rated."""
        f = finite(guesses, "guesses")
        alike({"units": len(units), "guesses": len(f), "labels": len(labels)})
        found, place = np.unique(units, return_inverse=True)
        known = np.isfinite(labels)
        y = np.where(known, labels, 0.0)

        def total(values: Floats) -> Floats:
            return np.bincount(place, weights=values, minlength=len(found)).astype(np.float64)

        rated, rarer = y[known], None
        if len(rated) and bool(np.isin(rated, (0.0, 1.0)).all()):
            of = place[known]
            rarer = min(len(np.unique(of[rated == each])) for each in (0.0, 1.0))
        ones = np.ones(len(f))
        return cls(total(f), total(ones), total(y), total(f * known), total(ones * known), rarer)

    def mean(self, scale: float = 1.0) -> float | None:
        """The corrected mean; None without a label."""
        if not self.labelled.any():
            return None
        missed = float((self.labels - scale * self.guessed).sum() / self.labelled.sum())
        return scale * float(self.guesses.sum() / self.judged.sum()) + missed

    def linearised(self, scale: float = 1.0) -> Moments | CannotSay:
        """Moments over units whose mean is the corrected one, scale * mean(guesses) + mean(labels
        - scale * guesses), and whose variance is the delta method's, clustered by unit.

        ``scale`` must not be chosen by these data where they are looked at all along. Asymptotic
        in the units with a label: below ``LEAST_LABELS`` of them it cannot say, nor where the
        label, or the judge's miss, was other than its commonest in fewer than ``LEAST_EVENTS``
        of them: the variance of the miss is not known then, and would look like none.
        """
        few = self._few(scale)
        if few is not None:
            return few
        told, mean = self._terms(scale), self.mean(scale)
        assert mean is not None  # there are labels
        return Moments(len(told), mean, float((told**2).sum()))

    def _few(self, scale: float) -> CannotSay | None:
        rated = self.labelled > 0.0
        units = int(rated.sum())
        if units < LEAST_LABELS:
            return CannotSay(
                f"{LEAST_LABELS} units with an answer that people rated and the judge scored are "
                f"needed in each arm, one has {units}"
            )
        missed = (self.labels - scale * self.guessed)[rated] / self.labelled[rated]
        _, times = np.unique(missed, return_counts=True)
        unlike = units - int(times.max())
        for number, what in ((self.rarer, "the rarer rating"), (unlike, "an unusual miss")):
            if number is not None and number < LEAST_EVENTS:
                return CannotSay(
                    f"{LEAST_EVENTS} rated units with {what} are needed in each arm, one has "
                    f"{number}"
                )
        return None

    def _terms(self, scale: float) -> Floats:
        judge, own = self.parts()
        told: Floats = scale * judge + own
        return told

    def parts(self) -> tuple[Floats, Floats]:
        """What each unit moves the mean by, [n] and centred: times the scale, and without it."""
        units = float((self.labelled > 0.0).sum())
        small = math.sqrt(units / (units - 1.0))  # the labels' variance is of that many units
        wide = _influence(self.guesses, self.judged)
        off = small * _influence(self.guessed, self.labelled)
        return wide - off, small * _influence(self.labels, self.labelled)


@dataclass(frozen=True, slots=True)
class TunedDifference:
    """Treatment less control at the scale of least variance, for one look."""

    effect: Interval
    scale: float


def best_scale(arms: Sequence[JudgedSums]) -> float | CannotSay:
    """The scale, common to all arms, at which the sum of their means' variances is least; 0 where
    the judge tells nothing apart.
    """
    if min((arm.labelled > 0.0).sum() for arm in arms) < 2:
        return CannotSay("two rated units of each arm are needed")
    parts = [arm.parts() for arm in arms]
    square = math.fsum(float((judge**2).sum()) / len(judge) ** 2 for judge, _ in parts)
    crossed = math.fsum(float((judge * own).sum()) / len(judge) ** 2 for judge, own in parts)
    return -crossed / square if square > 0.0 else 0.0


def tuned_difference(
    control: JudgedSums, treatment: JudgedSums, alpha: float = 0.05
) -> TunedDifference | CannotSay:
    """The difference of corrected means at the scale, common to both arms, at which its variance
    is least (PPI++, with rows clustered by unit).

    The scale is chosen by the same rows, so this is for one look at a size fixed beforehand;
    Student's quantile of the fewer labels.
    """
    arms = (control, treatment)
    scale = best_scale(arms)
    if isinstance(scale, CannotSay):
        return scale
    terms = [arm.linearised(scale) for arm in arms]
    one, two = terms
    if isinstance(one, CannotSay):
        return one
    if isinstance(two, CannotSay):
        return two
    error = math.sqrt(one.variance / one.count + two.variance / two.count)
    fewest = min(int((arm.labelled > 0.0).sum()) for arm in arms)
    reach = float(stats.t.ppf(1.0 - level(alpha) / 2.0, fewest - 1)) * error
    gap = two.mean - one.mean
    return TunedDifference(Interval(gap, gap - reach, gap + reach), scale)


def _influence(sums: Floats, counts: Floats) -> Floats:
    told: Floats = (sums - sums.sum() / counts.sum() * counts) / counts.mean()
    return told


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
