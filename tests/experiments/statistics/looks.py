"""Streams that are looked at a hundred times, policies that learn, and how often one is fooled."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

LOOKS, BLOCK = 105, 20  # the first five looks lie in the burn-in of 100
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def bernoulli(rate: float) -> Draw:
    return lambda rng, shape: (rng.random(shape) < rate).astype(np.float64)


def lognormal(sigma: float) -> Draw:
    return lambda rng, shape: rng.lognormal(0.0, sigma, shape)


@dataclass(frozen=True)
class Sums:
    """Counts [looks], means and unbiased variances [paths, looks] of streams seen in blocks."""

    count: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, draw: Draw, paths: int, rng: np.random.Generator, block: int = BLOCK) -> Sums:
        values = draw(rng, (paths, LOOKS, block))
        count = block * np.arange(1, LOOKS + 1)
        total, squares = values.sum(2).cumsum(1), (values**2).sum(2).cumsum(1)
        mean = total / count
        return cls(count, mean, np.maximum(squares - count * mean**2, 0.0) / (count - 1))

    def known(self, binary: bool) -> np.ndarray:
        """Where the sequences may speak: burn-in, and enough of the rarer outcome."""
        events = np.minimum(self.mean, 1.0 - self.mean) * self.count
        return (self.count >= 100) & ((events > 9.5) | (not binary)) & (self.variance > 0)


def ever(flags: np.ndarray) -> float:
    """The share of paths [paths, looks] with a flag at any look."""
    return float(flags.any(1).mean())


def allowed(alpha: float, paths: int) -> float:
    """Alpha and three standard deviations of a share of so many paths (false alarm 0.1 %)."""
    return alpha + 3.0 * math.sqrt(alpha * (1.0 - alpha) / paths)


def naive_rejects(shift: np.ndarray, count: np.ndarray, alpha: float = 0.05) -> np.ndarray:
    """The z-test made for one look; ``shift``: the mean's in standard deviations."""
    return np.abs(shift) * np.sqrt(count) > stats.norm.ppf(1.0 - alpha / 2.0)


@dataclass(frozen=True)
class Collected:
    """What a policy that learns drew: [paths, steps], propensities [paths, steps, 2]."""

    drawn: np.ndarray
    propensities: np.ndarray
    rewards: np.ndarray


def collect(
    kind: str, rates: tuple[float, float], floor: float, shape: tuple[int, int], seed: int
) -> Collected:
    """Two arms of Bernoulli rewards under epsilon-greedy or (normal) Thompson sampling."""
    paths, steps = shape
    rng = np.random.default_rng(seed)
    gained, count = np.full((paths, 2), 0.5), np.ones((paths, 2))
    drawn, rewards = np.zeros(shape, dtype=np.int64), np.zeros(shape)
    propensities, rows = np.zeros((*shape, 2)), np.arange(paths)
    for step in range(steps):
        mean = gained / count
        if kind == "greedy":
            first = np.where(mean[:, 0] >= mean[:, 1], 1.0, 0.0)
        else:
            spread = np.sqrt((0.25 / count).sum(1))
            first = stats.norm.cdf((mean[:, 0] - mean[:, 1]) / spread)
        chance = np.clip(first, floor, 1.0 - floor)
        arm = (rng.random(paths) >= chance).astype(np.int64)
        reward = (rng.random(paths) < np.take(rates, arm)).astype(np.float64)
        gained[rows, arm] += reward
        count[rows, arm] += 1.0
        drawn[:, step], rewards[:, step] = arm, reward
        propensities[:, step, 0], propensities[:, step, 1] = chance, 1.0 - chance
    return Collected(drawn, propensities, rewards)
