"""How well scores tell good answers from bad ones: AUC within groups, and how surely (DeLong)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from learning.interaction import Vector


@dataclass(frozen=True, slots=True)
class Auc:
    """The chance that a good answer scores above a bad one, ties by half; ``error`` its standard
    error. NaN where either is missing.
    """

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class _Placed:
    """Of each good answer the share of bad ones below it, of each bad one that of good above."""

    good: Vector
    bad: Vector

    @property
    def value(self) -> float:
        return float(self.good.mean())

    def __sub__(self, other: _Placed) -> _Placed:
        return _Placed(self.good - other.good, self.bad - other.bad)

    @property
    def variance(self) -> float:
        """DeLong, DeLong, Clarke-Pearson (Biometrics 44, 1988), from the placements."""
        found = 0.0
        for part in (self.good, self.bad):
            if len(part) > 1:
                found += float(part.var(ddof=1)) / len(part)
        return found


def _placed(score: Vector, good: NDArray[np.bool_]) -> _Placed:
    ours, others = score[good], score[~good]
    whole = rankdata(score)
    above = (whole[good] - rankdata(ours)) / len(others)
    below = 1.0 - (whole[~good] - rankdata(others)) / len(ours)
    return _Placed(above, below)


def auc(score: Vector, good: NDArray[np.bool_], group: NDArray[np.int64] | None = None) -> Auc:
    """Within ``group`` [n] (an arm's answers among themselves), weighted by the groups' sizes;
    groups without a good or a bad answer say nothing.
    """
    return _over([_placed(score[rows], good[rows]) for rows in _groups(good, group)])


def auc_gain(
    score: Vector, other: Vector, good: NDArray[np.bool_], group: NDArray[np.int64] | None = None
) -> Auc:
    """AUC of ``score`` less that of ``other`` on the same answers, paired."""
    return _over(
        [
            _placed(score[rows], good[rows]) - _placed(other[rows], good[rows])
            for rows in _groups(good, group)
        ]
    )


def _groups(
    good: NDArray[np.bool_], group: NDArray[np.int64] | None
) -> list[NDArray[np.int64]]:  # fmt: skip
    which = np.zeros(len(good), dtype=np.int64) if group is None else group
    found = [np.flatnonzero(which == each) for each in np.unique(which)]
    return [rows for rows in found if 0 < good[rows].sum() < len(rows)]


def _over(parts: list[_Placed]) -> Auc:
    if not parts:
        return Auc(math.nan, math.nan)
    sizes = np.array([len(part.good) + len(part.bad) for part in parts], dtype=np.float64)
    weights = sizes / sizes.sum()
    value = sum(w * part.value for w, part in zip(weights, parts, strict=True))
    variance = sum(w * w * part.variance for w, part in zip(weights, parts, strict=True))
    return Auc(float(value), math.sqrt(float(variance)))
