"""What the time before an experiment tells: slopes of a covariate, and the scale of a judge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from experiments.design import Experiment
from experiments.errors import ExperimentError
from experiments.metrics import METRICS, Frame, Kind, Values
from experiments.statistics.fixed_horizon import Sums
from experiments.statistics.judged import JudgedSums, best_scale

DAYS = 14  # before the start
LEAST_UNITS = 200
ADJUSTED = (Kind.MEAN, Kind.RATE)  # kinds whose rows a covariate adjusts


def adjustable(experiment: Experiment) -> tuple[str, ...]:
    """The goals and guardrails that a covariate adjusts, in their order."""
    watched = (*experiment.goals, *(each.metric for each in experiment.guardrails))
    return tuple(slug for slug in watched if METRICS[slug].kind in ADJUSTED)


def at_first(units: NDArray[np.generic], covariate: Values) -> Values:
    """Of every row the covariate of its unit's first row, [n]; rows in order of time.

    A later request of a session holds the answers before it, so what is known of it is no longer
    known before the variant; the first one is.
    """
    _, first, place = np.unique(units, return_index=True, return_inverse=True)
    found: Values = covariate[first][place]
    return found


def slopes(experiment: Experiment, before: Frame) -> dict[str, float]:
    """By metric the slope of a unit's outcome on the design's covariate (Deng, Xu, Kohavi and
    Walker, WSDM 2013), over rows that ended before the experiment began.

    Units as in the estimate: a unit's sum less the mean times its rows, of both. A metric with
    fewer than ``LEAST_UNITS`` units, or a covariate that is alike in all, has none. Any slope
    from before keeps the level; a bad one costs width alone.
    """
    name = experiment.covariate
    if name is None:
        return {}
    lacking = [column for column in ("unit", name) if column not in before]
    if lacking:
        raise ExperimentError(f"the frame before lacks {', '.join(lacking)}: add the columns")
    units = np.unique(np.asarray(before["unit"]).astype(str), return_inverse=True)[1]
    covariate = at_first(units, np.asarray(before[name], dtype=np.float64))
    found: dict[str, float] = {}
    for slug in adjustable(experiment):
        measured = METRICS[slug].measure(before)
        known = np.isfinite(covariate[measured.rows])
        rows, values, per = measured.rows[known], measured.values[known], measured.per[known]
        if len(np.unique(units[rows])) < LEAST_UNITS:
            continue
        outcome = _off_mean(Sums.by_unit(units[rows], values, per))
        known_before = _off_mean(Sums.by_unit(units[rows], covariate[rows], per))
        square = float((known_before**2).sum())
        if square > 0.0:
            found[slug] = float((outcome * known_before).sum()) / square
    return found


def judge_scale(before: Frame) -> float:
    """What a judge's scores are best multiplied by (PPI++), over rows that ended before the
    experiment began; 1 with fewer than ``LEAST_UNITS`` units that people rated and the judge
    scored. Any scale from before keeps the level.
    """
    measured = METRICS["judged_quality"].measure(before)
    assert measured.labels is not None  # a judged metric has them
    units = np.asarray(before["unit"]).astype(str)[measured.rows]
    sums = JudgedSums.by_unit(units, measured.values, measured.labels)
    if int((sums.labelled > 0.0).sum()) < LEAST_UNITS:
        return 1.0
    found = best_scale([sums])
    assert isinstance(found, float)  # there are labels enough
    return found


def _off_mean(sums: Sums) -> Values:
    mean = float(sums.numerator.sum() / sums.denominator.sum())
    told: Values = sums.numerator - mean * sums.denominator
    return told
