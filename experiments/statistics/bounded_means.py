"""Exact confidence sequences of means in [0, 1]: by betting, and for weighted rewards."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.inputs import Floats, alike, finite, level, within
from experiments.statistics.moments import Interval

TRUNCATION = 0.5  # of what is owned, at most so much is staked
RHO = 1.0  # the mixture's shape: narrowest while the variance process is small
SOLVED = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Betting:
    """The stakes for values [..., t] in [0, 1], of any dependence with a mean given the past.

    Waudby-Smith and Ramdas (JRSS-B 86(1) 2024, arXiv 2010.09686), the hedged capital process
    with predictable plug-in stakes: no approximation, at any stopping time.
    """

    values: Floats
    stakes: Floats

    @classmethod
    def of(cls, values: ArrayLike, alpha: float = 0.05) -> Betting:
        """The stakes depend on what came before; the last axis is time."""
        x = np.asarray(values, dtype=np.float64)
        x = within(finite(x, "values", max(x.ndim, 1)), "values", 0.0, 1.0)
        time = np.arange(1, x.shape[-1] + 1, dtype=np.float64)
        means = (0.5 + np.cumsum(x, -1)) / (time + 1.0)
        variances = (0.25 + np.cumsum((x - means) ** 2, -1)) / (time + 1.0)
        before = np.concatenate([np.full((*x.shape[:-1], 1), 0.25), variances[..., :-1]], -1)
        stakes = np.sqrt(2.0 * math.log(2.0 / level(alpha)) / (before * time * np.log1p(time)))
        return cls(x, stakes)

    def log_wealth_above(self, mean: float) -> Floats:
        """Of who bets that the mean is greater, [..., t]; falls as ``mean`` grows."""
        most = TRUNCATION / mean if mean > 0 else math.inf
        grown: Floats = np.cumsum(
            np.log1p(np.minimum(self.stakes, most) * (self.values - mean)), -1
        )
        return grown

    def log_wealth_below(self, mean: float) -> Floats:
        """Of who bets that the mean is less, [..., t]; the mirror image of the other."""
        return Betting(1.0 - self.values, self.stakes).log_wealth_above(1.0 - mean)

    def log_e(self, mean: float) -> Floats:
        """The evidence against that mean at each time, [..., t]: the better half of the hedge."""
        best: Floats = np.maximum(self.log_wealth_above(mean), self.log_wealth_below(mean))
        return best - math.log(2.0)


def betting_interval(values: ArrayLike, alpha: float = 0.05) -> Interval | CannotSay:
    """The means that no bet on values [t] has refuted, at the last of them; costs O(t) a look.

    Cannot say without values, or where no single mean fits: then it has moved.
    """
    game = Betting.of(finite(values, "values"), alpha)
    if not len(game.values):
        return CannotSay("one value is needed, there is none")
    refuted = math.log(2.0 / alpha)
    low = _least_mean(game, refuted)
    high = 1.0 - _least_mean(Betting(1.0 - game.values, game.stakes), refuted)
    mean = float(game.values.mean())
    if low > high:
        return CannotSay("no single mean fits all values: it moved; look at a shorter time")
    return Interval(min(max(mean, low), high), low, high)


def _least_mean(game: Betting, refuted: float) -> float:
    def beyond(mean: float) -> float:
        return float(game.log_wealth_above(mean)[-1]) - refuted

    if beyond(0.0) < 0.0:
        return 0.0
    return float(optimize.brentq(beyond, 0.0, 1.0, xtol=SOLVED))


@dataclass(frozen=True, slots=True)
class _OneSided:
    """Count, sum, and squared distances from the forecasts, of terms X >= 0 with mean in [0, 1]."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, terms: Floats) -> _OneSided:
        sums = self.total + np.cumsum(terms)
        earlier = np.concatenate([[self.total], sums[:-1]])
        time = self.count + np.arange(1, len(terms) + 1)
        # a forecast above 1 would let a term lie more than 1 below it: the proof needs X - x >= -1
        forecasts = np.minimum((earlier + 0.5) / time, 1.0)
        squares = self.squares + float(((terms - forecasts) ** 2).sum())
        return _OneSided(self.count + len(terms), float(sums[-1]), squares)

    def least_mean(self, alpha: float) -> float:
        refuted = -math.log(alpha)

        def beyond(gain: float) -> float:
            return float(log_mixture(gain, self.squares)) - refuted

        if self.total <= 0.0 or beyond(self.total) <= 0.0:
            return 0.0
        gain = float(optimize.brentq(beyond, 0.0, self.total, xtol=SOLVED))
        return (self.total - gain) / self.count


def log_mixture(gain: ArrayLike, variance: ArrayLike) -> Floats:
    """The logarithm of the gamma-exponential mixture supermartingale; arrays broadcast.

    ``gain``: the sum of X less t times its mean; ``variance``: the squared distances of X from its
    forecasts. Howard, Ramdas, McAuliffe, Sekhon (Ann. Stat. 49(2) 2021), proposition 9, on the
    sub-exponential inequality of their theorem 4. Without gain there is no evidence: at most 0.
    """
    s, v = np.maximum(np.asarray(gain, dtype=np.float64), 0.0), np.asarray(variance, np.float64)
    shape, rate = v + RHO, s + v + RHO
    told = s + v - shape * np.log(rate) + _log_lower_gamma(shape, rate)
    least = RHO * math.log(RHO) - _log_lower_gamma(np.float64(RHO), np.float64(RHO))
    mixed: Floats = told + least
    return mixed


def _log_lower_gamma(shape: Floats | np.float64, upto: Floats | np.float64) -> Floats:
    told: Floats = np.log(special.gammainc(shape, upto)) + special.gammaln(shape)
    return told


@dataclass(frozen=True, slots=True)
class WeightedSequence:
    """The mean of rewards under another policy, as sums of constant size that take rows in order.

    The empirical-Bernstein confidence sequence for importance-weighted rewards: terms w r for the
    lower bound and w (1 - r) for the upper one, each at alpha / 2. It needs E[w | past] = 1 and
    rewards in [0, 1], no bound on the weights, and holds whatever the collecting policy learned,
    at any stopping time (Howard et al. 2021 as above; Waudby-Smith, Wu, Ramdas, Karampatziakis,
    Mineiro, ACM/IMS J. Data Sci. 2024, arXiv 2210.10768, for its use on logs).
    """

    gained: _OneSided = field(default_factory=_OneSided)
    missed: _OneSided = field(default_factory=_OneSided)

    def add(self, weights: ArrayLike, rewards: ArrayLike) -> WeightedSequence:
        """With rows of weights w = target / logged propensity >= 0 and rewards, [n] each."""
        w, r = finite(weights, "weights"), finite(rewards, "rewards")
        alike({"weights": len(w), "rewards": len(r)})
        if not len(w):
            return self
        if w.min() < 0.0:
            raise ExperimentError(f"weights reach {w.min():g}: give target over propensity, >= 0")
        within(r, "rewards", 0.0, 1.0)
        return WeightedSequence(self.gained.add(w * r), self.missed.add(w * (1.0 - r)))

    def interval(self, alpha: float = 0.05) -> Interval | CannotSay:
        """All means that are not refuted, around the inverse-propensity estimate.

        Cannot say without rows, or where the bounds cross: then the propensities are wrong or the
        mean has moved.
        """
        level(alpha)
        if not self.gained.count:
            return CannotSay("one row is needed, there is none")
        low = self.gained.least_mean(alpha / 2.0)
        high = 1.0 - self.missed.least_mean(alpha / 2.0)
        if low > high:
            return CannotSay("no mean fits: the logged propensities are wrong, or the mean moved")
        estimate = self.gained.total / self.gained.count
        return Interval(min(max(estimate, low), high), low, high)
