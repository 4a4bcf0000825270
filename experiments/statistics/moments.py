"""Frozen sums that add: count, mean and squared deviations, and intervals from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from experiments.errors import CannotSay


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its two-sided bounds."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean, and sum of squared deviations (Chan, Golub and LeVeque 1983 for the sum)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Moments:
        """The moments of finite values, shape [n]."""
        if not len(values):
            return cls()
        mean = float(values.mean())
        return cls(len(values), mean, float(((values - mean) ** 2).sum()))

    def __add__(self, other: Moments) -> Moments:
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        gap = other.mean - self.mean
        mean = self.mean + gap * other.count / count
        squares = self.squares + other.squares + gap**2 * self.count * other.count / count
        return Moments(count, mean, squares)

    @property
    def variance(self) -> float:
        """The unbiased variance; raises CannotSay below two values."""
        if self.count < 2:
            raise CannotSay(f"a variance needs two values, there are {self.count}")
        return self.squares / (self.count - 1)

    def interval(self, confidence: float = 0.95) -> Interval:
        """Student's interval of the mean, for a number of values fixed beforehand."""
        error = math.sqrt(self.variance / self.count)
        reach = float(stats.t.ppf(0.5 + confidence / 2.0, self.count - 1)) * error
        return Interval(self.mean, self.mean - reach, self.mean + reach)
