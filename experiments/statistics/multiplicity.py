"""Many hypotheses: family-wise and false-discovery control, by p-values and by e-values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experiments.errors import ExperimentError
from experiments.statistics.evidence import Evidence
from experiments.statistics.inputs import Floats, finite, level, within

Flags = NDArray[np.bool_]


def holm(p_values: ArrayLike) -> Floats:
    """Adjusted p-values [m] that control the family-wise error rate (Holm, Scand. J. Stat. 1979).

    Under any dependence. The metrics that decide within one experiment.
    """
    p, order = _sorted(p_values)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _back(np.minimum(steps, 1.0), order)


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Adjusted p-values [m] that control the false discovery rate (JRSS-B 57(1) 1995).

    If the p-values are independent or positively dependent. Many metrics looked through at once.
    """
    p, order = _sorted(p_values)
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    return _back(np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0), order)


def e_benjamini_hochberg(log_e: ArrayLike, alpha: float = 0.05) -> Flags:
    """Which of the hypotheses [m] are rejected, by logarithms of e-values.

    e-BH (Wang and Ramdas, JRSS-B 84(3) 2022, arXiv 2009.02824): the k greatest, for the largest k
    whose k-th greatest is at least m / (alpha k). The false discovery rate stays below alpha
    under any dependence and at any stopping times.
    """
    told = np.asarray(log_e, dtype=np.float64)
    if told.ndim != 1 or np.isnan(told).any():
        raise ExperimentError("log_e must be [m] without NaN: give logarithms of e-values")
    number = len(told)
    if not number:
        return np.zeros(0, dtype=np.bool_)
    ordered = np.sort(told)[::-1]
    bounds = math.log(number / level(alpha)) - np.log(np.arange(1, number + 1))
    passed = np.flatnonzero(ordered >= bounds)
    least = ordered[passed[-1]] if len(passed) else math.inf
    rejected: Flags = (told >= least) & (len(passed) > 0)
    return rejected


@dataclass(frozen=True, slots=True)
class OnlineDiscoveries:
    """Experiments that end one after another, without an end in sight: e-LOND, as its state.

    Xu and Ramdas (AISTATS 2024, arXiv 2311.06412): hypothesis t is rejected if its e-value
    reaches 1 / alpha_t, alpha_t = alpha gamma_t (discoveries so far + 1). The false discovery
    rate stays below alpha at all times under any dependence. gamma_t = 1 / (t (t + 1)).
    """

    alpha: float = 0.05
    tested: int = 0
    discoveries: int = 0

    def __post_init__(self) -> None:
        level(self.alpha)
        if not 0 <= self.discoveries <= self.tested:
            raise ExperimentError(
                f"discoveries are {self.discoveries} of {self.tested}: give 0 to all tested"
            )

    @property
    def next_level(self) -> float:
        """The level at which the next hypothesis is tested."""
        turn = self.tested + 1
        return self.alpha * (self.discoveries + 1) / (turn * (turn + 1))

    def test(self, evidence: Evidence) -> tuple[bool, OnlineDiscoveries]:
        """Is the next hypothesis rejected, and the state thereafter."""
        rejected = evidence.rejects(self.next_level)
        found = self.discoveries + rejected
        return rejected, OnlineDiscoveries(self.alpha, self.tested + 1, found)


def _sorted(p_values: ArrayLike) -> tuple[Floats, NDArray[np.intp]]:
    p = within(finite(p_values, "p_values"), "p_values", 0.0, 1.0)
    return p, np.argsort(p, kind="stable")


def _back(steps: Floats, order: NDArray[np.intp]) -> Floats:
    adjusted = np.empty_like(steps)
    adjusted[order] = steps
    return adjusted
