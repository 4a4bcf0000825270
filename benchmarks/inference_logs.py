"""Logs that a policy that learns collected, many at once, and what may be read from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from experiments.statistics.adaptive import (
    LEAST_DRAWS,
    LoggedDecisions,
    doubly_robust_terms,
    running_predictions,
    variance_terms,
)
from experiments.statistics.bounded_means import log_mixture
from experiments.statistics.mean_sequences import AsymptoticSequence

EXPLORE = 0.5  # of LinUCB, in standard deviations


@dataclass(frozen=True)
class World:
    """Two arms whose chance of a reward depends on a context of -1 or 1: ``rates`` [arm, context].

    ``floor``: the least probability of an arm.
    """

    rates: np.ndarray
    floor: float = 0.02

    @classmethod
    def of(cls, first: float, second: float, tilt: float = 0.0) -> World:
        """Mean rates of the arms; the second gains ``tilt`` in one context, the first loses it."""
        return cls(np.array([[first + tilt, first - tilt], [second - tilt, second + tilt]]))

    @property
    def means(self) -> np.ndarray:
        """Mean reward of each arm over both contexts."""
        return self.rates.mean(1)


@dataclass(frozen=True)
class Logs:
    """Drawn arms and rewards [paths, steps], propensities of the first arm [paths, steps]."""

    drawn: np.ndarray
    rewards: np.ndarray
    first: np.ndarray

    def at_arm(self, arm: int) -> np.ndarray:
        """Weights of that arm's mean: one over its propensity where it was drawn, else 0."""
        chance = self.first if arm == 0 else 1.0 - self.first
        return np.where(self.drawn == arm, 1.0 / chance, 0.0)

    def one(self, path: int) -> LoggedDecisions:
        """A log, with predictions that only look back."""
        chance = self.first[path]
        predictions = running_predictions(self.drawn[path], self.rewards[path], 2)
        return LoggedDecisions(
            self.drawn[path], np.stack([chance, 1.0 - chance], 1), self.rewards[path], predictions
        )


def collect(kind: str, world: World, shape: tuple[int, int], rng: np.random.Generator) -> Logs:
    """``thompson``, ``greedy`` (to the better mean) or ``linucb`` (the greater upper bound, linear
    in the context), each with the floor.
    """
    paths, steps = shape
    rows = np.arange(paths)
    made = np.tile(np.eye(2), (paths, 2, 1, 1))  # of LinUCB: X'X + 1 for each arm
    seen = np.zeros((paths, 2, 2))
    gained, count = np.full((paths, 2), 0.5), np.ones((paths, 2))
    drawn, rewards = np.zeros(shape, dtype=np.int64), np.zeros(shape)
    first = np.zeros(shape)
    for step in range(steps):
        context = rng.integers(0, 2, paths)
        x = np.stack([np.ones(paths), 2.0 * context - 1.0], 1)
        mean = gained / count
        if kind == "thompson":
            spread = np.sqrt((0.25 / count).sum(1))
            chance = stats.norm.cdf((mean[:, 0] - mean[:, 1]) / spread)
        elif kind == "greedy":
            chance = np.where(mean[:, 0] >= mean[:, 1], 1.0, 0.0)
        else:
            bound = _upper(made, seen, x)
            chance = np.where(bound[:, 0] >= bound[:, 1], 1.0, 0.0)
        chance = np.clip(chance, world.floor, 1.0 - world.floor)
        arm = (rng.random(paths) >= chance).astype(np.int64)
        reward = (rng.random(paths) < world.rates[arm, context]).astype(np.float64)
        gained[rows, arm] += reward
        count[rows, arm] += 1.0
        made[rows, arm] += x[:, :, None] * x[:, None, :]
        seen[rows, arm] += reward[:, None] * x
        drawn[:, step], rewards[:, step], first[:, step] = arm, reward, chance
    return Logs(drawn, rewards, first)


def _upper(made: np.ndarray, seen: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The upper bounds of both arms, [paths, 2], by the inverse of 2 x 2 in closed form."""
    a, b, d = made[..., 0, 0], made[..., 0, 1], made[..., 1, 1]
    det = a * d - b * b
    u, v = x[:, None, 0], x[:, None, 1]
    along = ((d * u - b * v) * seen[..., 0] + (a * v - b * u) * seen[..., 1]) / det
    width = (d * u * u - 2.0 * b * u * v + a * v * v) / det
    return along + EXPLORE * np.sqrt(width)


def weighted_misses(logs: Logs, arm: int, mean: float, alpha: float = 0.05) -> int:
    """Logs in which the sequence of weighted rewards leaves an arm's mean out at any row."""
    weights, time = logs.at_arm(arm), np.arange(1, logs.drawn.shape[1] + 1)
    refuted = np.zeros(len(logs.drawn), dtype=bool)
    sides = ((weights * logs.rewards, mean), (weights * (1.0 - logs.rewards), 1.0 - mean))
    for terms, truth in sides:
        total = terms.cumsum(1)
        forecast = np.minimum((total - terms + 0.5) / time, 1.0)
        squares = ((terms - forecast) ** 2).cumsum(1)
        told = log_mixture(total - time * truth, squares)
        refuted |= (told > math.log(2.0 / alpha)).any(1)
    return int(refuted.sum())


def contrast_misses(logs: Logs, truth: float, looks: np.ndarray, held: bool = True) -> int:
    """Logs in which the doubly robust contrast leaves the difference out at any of the looks;
    ``held``: with the least variance that the shipped one has.
    """
    sequence = AsymptoticSequence(best_at=float(looks[-1]))
    missed = 0
    for path in range(len(logs.drawn)):
        log = logs.one(path)
        weights = np.tile([1.0, -1.0], (len(log), 1))
        terms = doubly_robust_terms(log, weights)
        mean = terms.cumsum()[looks - 1] / looks
        variance = (terms**2).cumsum()[looks - 1] / looks - mean**2
        if held:
            least = variance_terms(log, weights).cumsum()[looks - 1] / looks
            variance = np.maximum(variance, least)
        reach = sequence.reach(looks, np.sqrt(np.maximum(variance, 1e-12)))
        draws = np.minimum(log.drawn.cumsum(), (1 - log.drawn).cumsum())[looks - 1]
        missed += bool(((draws >= LEAST_DRAWS) & (np.abs(mean - truth) > reach)).any())
    return missed


def naive_bias(logs: Logs, arm: int, mean: float) -> tuple[float, float]:
    """The plain mean of an arm less the truth, over the logs, and its standard error."""
    count = (logs.drawn == arm).sum(1)
    told = ((logs.drawn == arm) * logs.rewards).sum(1)[count > 0] / count[count > 0] - mean
    return float(told.mean()), float(told.std(ddof=1) / math.sqrt(len(told)))


def naive_misses(logs: Logs, truth: float, looks: np.ndarray) -> int:
    """Logs in which the z-interval of the difference of plain means leaves it out at any look."""
    drawn, rewards = logs.drawn, logs.rewards
    mean, error = 0.0, 0.0
    enough = np.ones((len(drawn), len(looks)), dtype=bool)
    for arm, sign in ((0, 1.0), (1, -1.0)):
        count = (drawn == arm).cumsum(1)[:, looks - 1]
        share = ((drawn == arm) * rewards).cumsum(1)[:, looks - 1] / np.maximum(count, 1)
        mean, error = mean + sign * share, error + share * (1.0 - share) / np.maximum(count, 1)
        enough &= count >= LEAST_DRAWS
    return int((enough & (np.abs(mean - truth) > 1.959964 * np.sqrt(error))).any(1).sum())
