"""Quantiles at every look: a band of order statistics, and two arms compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.errors import CannotSay
from experiments.statistics.evidence import Evidence
from experiments.statistics.inputs import Floats, finite, level, positive
from experiments.statistics.moments import Interval
from experiments.statistics.rates import log_beta_tail

SLACK = 1e-9  # of logarithms, for rounding


@dataclass(frozen=True, slots=True)
class QuantileSequence:
    """A confidence sequence for the quantile at ``probability``, as its settings.

    Howard and Ramdas (Bernoulli 28(3) 2022, arXiv 1906.09712): the beta-binomial mixture. Exact
    for independent values of any one distribution, ties included. ``concentration``: of the beta
    prior around the probability; a larger one is narrower late and wider early.
    """

    probability: float = 0.95
    alpha: float = 0.05
    concentration: float = 20.0

    def __post_init__(self) -> None:
        level(self.probability, "probability")
        level(self.alpha)
        positive(self.concentration, "concentration")

    def log_e(self, below: ArrayLike, count: ArrayLike) -> Floats:
        """Evidence that so many of ``count`` values below a candidate are too few or too many."""
        k, n = np.asarray(below, dtype=np.float64), np.asarray(count, dtype=np.float64)
        p, c = self.probability, self.concentration
        yes, no = c * p, c * (1.0 - p)
        told = special.betaln(yes + k, no + n - k) - special.betaln(yes, no)
        evidence: Floats = told - k * math.log(p) - (n - k) * math.log1p(-p)
        return evidence

    def least_told(self, count: int) -> int:
        """The number of values below that gives the least evidence: it is convex in the number."""
        return min(max(math.floor(self.probability * (count - 1)) + 1, 0), count)

    def kept(self, count: int) -> tuple[int, int]:
        """The least and the greatest number below, of ``count``, that are not refuted."""
        refuted, middle = -math.log(self.alpha), self.least_told(count)
        least = _last(lambda k: float(self.log_e(k, count)) < refuted, middle, 0)
        most = _last(lambda k: float(self.log_e(k, count)) < refuted, middle, count)
        return least, most

    def interval(self, values: ArrayLike) -> Interval | CannotSay:
        """The band of order statistics of values [n] around the empirical quantile.

        The upper bound is infinite while no value can bound the quantile from above. Cannot say
        before one bound is finite.
        """
        x = np.sort(finite(values, "values"))
        count = len(x)
        least, most = self.kept(count)
        if least == 0 and most == count:
            return CannotSay(f"{count} values do not bound a quantile at {self.probability:g} yet")
        low = -math.inf if least == 0 else float(x[least - 1])
        high = math.inf if most == count else float(x[most])
        return Interval(float(x[math.ceil(self.probability * count) - 1]), low, high)

    def evidence_of_difference(self, treatment: ArrayLike, control: ArrayLike) -> Evidence:
        """Evidence that the arms' quantiles differ: the least that any common value leaves.

        The paper's test for two arms: the product of both mixtures at the common quantile is a
        martingale, and its minimum over all candidates is no greater.
        """
        one, two = (np.sort(finite(v, n)) for v, n in
                    ((treatment, "treatment"), (control, "control")))  # fmt: skip
        candidates = np.unique(np.concatenate([one, two]))
        if not len(candidates):
            return Evidence(0.0)
        told = self._least_log_e(one, candidates) + self._least_log_e(two, candidates)
        return Evidence(float(told.min()))

    def evidence_of_excess(self, treatment: ArrayLike, control: ArrayLike) -> Evidence:
        """Evidence that treatment's quantile is the greater one: the least that any value leaves
        which would divide them the other way round.

        The one-sided form of the test for two arms. If treatment's quantile is at most x, and
        control's at least x, then of treatment's values too few are at most x, and of control's
        too many lie below it, only by chance: each mixture, its prior cut to the chances on that
        side of the probability, is a supermartingale, and so is their product.
        """
        one, two = (np.sort(finite(v, n)) for v, n in
                    ((treatment, "treatment"), (control, "control")))  # fmt: skip
        candidates = np.unique(np.concatenate([one, two]))
        if not len(candidates):
            return Evidence(0.0)
        ours = np.searchsorted(one, candidates, "right")
        theirs = np.searchsorted(two, candidates, "left")

        def few(at: int | slice) -> Floats:
            return self._log_e_one_sided(ours[at], len(one), few=True)

        def many(at: int | slice) -> Floats:
            return self._log_e_one_sided(theirs[at], len(two), few=False)

        # the first falls and the second grows along the candidates, so the least lies where
        # neither alone, with the least of the other, exceeds what one candidate leaves
        end = len(candidates) - 1
        middle = min(int(self.probability * len(candidates)), end)
        least = float(few(middle) + many(middle)) + SLACK
        low = _last(lambda at: bool(few(at) <= least - many(0)), middle, 0)
        high = _last(lambda at: bool(many(at) <= least - few(end)), middle, end)
        kept = slice(low, high + 1)
        return Evidence(float((few(kept) + many(kept)).min()))

    def _log_e_one_sided(self, below: ArrayLike, count: int, few: bool) -> Floats:
        """Evidence that so many of ``count`` below a candidate are too few, or else too many."""
        k, p, c = np.asarray(below, dtype=np.float64), self.probability, self.concentration
        yes, no = (c * p + k, c * (1.0 - p) + count - k)
        if few:
            prior = special.betainc(c * p, c * (1.0 - p), p)
            tail = log_beta_tail(no, yes, 1.0 - p)
        else:
            prior = special.betaincc(c * p, c * (1.0 - p), p)
            tail = log_beta_tail(yes, no, p)
        cut: Floats = self.log_e(k, count) + tail - math.log(prior)
        return cut

    def difference(self, treatment: ArrayLike, control: ArrayLike) -> Interval | CannotSay:
        """Treatment's quantile less control's: each arm's band at half of alpha, subtracted."""
        half = QuantileSequence(self.probability, self.alpha / 2.0, self.concentration)
        one, two = half.interval(treatment), half.interval(control)
        if isinstance(one, CannotSay):
            return CannotSay(f"treatment: {one}")
        if isinstance(two, CannotSay):
            return CannotSay(f"control: {two}")
        return Interval(one.estimate - two.estimate, one.low - two.high, one.high - two.low)

    def _least_log_e(self, ordered: Floats, candidates: Floats) -> Floats:
        """At each candidate, ties counted in the arm's favour."""
        fewest = np.searchsorted(ordered, candidates, "left")
        most = np.searchsorted(ordered, candidates, "right")
        count = len(ordered)
        return self.log_e(np.clip(self.least_told(count), fewest, most), count)


def _last(holds: Callable[[int], bool], start: int, end: int) -> int:
    """The last number from ``start`` towards ``end`` where it holds; it holds at ``start``."""
    if holds(end):
        return end
    while abs(end - start) > 1:
        middle = (start + end) // 2
        start, end = (middle, end) if holds(middle) else (start, middle)
    return start
