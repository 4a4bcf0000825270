"""What the linear policy publishes: frozen coefficients, and how they become probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from learning import exploration
from learning.interaction import Context, Vector
from learning.length import BOUND
from learning.pacing import LEAST_DIAL, Pacer, weight_of
from learning.policies.base import Chooser, Expected, Scores
from learning.regression import Matrix

HOPE = 2.5  # deviations that an arm on trial may be behind
LED, MOST_SOUGHT, MOST_CHANCE = 0.5, 3.0, 0.5  # of arms that may be again as they once were


@dataclass(frozen=True, slots=True)
class Exploring:
    """How the linear policy explores.

    ``temper`` [K]: posterior standard deviations are scaled by it before each arm gets its
    chance of being the best. ``optimism``: standard deviations added to the estimate, only
    while money is left over. ``floor`` [K]: the least shares; under a budget each may cost at
    most ``floor_usd`` [K] dollars a request more than the leader does. ``hopeful`` [K]: the
    least shares of arms on trial where ``HOPE`` deviations more would make them lead.
    """

    temper: Vector
    optimism: float
    floor: Vector
    floor_usd: Vector
    hopeful: Vector | None = None


@dataclass(frozen=True)
class LinearChooser(Chooser):
    """Frozen coefficients: quality from ``theta`` [K, d], the rest one number an arm.

    ``remembered`` [m, d] are the kept coefficients of the arms ``returning`` [m], each of which
    may hold again with probability ``chances`` [m].
    """

    arms: tuple[str, ...]
    everybody: tuple[int, ...]
    theta: Matrix
    covariance: Matrix  # [K * d, d]
    noise: Vector
    usual_tokens: Vector
    length_weights: Vector
    price_in: Vector  # dollars per token
    price_out: Vector
    latency_s: Vector
    error_rate: Vector
    per_usd: float  # points per dollar that the plan sets
    dual_price: float  # points per dollar that the budget adds
    per_second: float
    exploring: Exploring
    caps: Vector
    returning: tuple[int, ...]
    remembered: Matrix
    chances: Vector
    states: tuple[str, ...] = ()

    def scores(self, context: Context, eligible: Sequence[int]) -> Scores:
        x = context.features.astype(np.float64)
        factor = float(x.dot(self.length_weights))
        out = self.usual_tokens * math.exp(min(BOUND, max(-BOUND, factor)))
        if context.tokens_out_limit:
            out = np.minimum(out, context.tokens_out_limit)
        cost = context.tokens_in * self.price_in + self.price_out * out
        quality = self.theta.dot(x)
        dial = context.cost_dial
        per_usd = dial * self.per_usd + max(dial, LEAST_DIAL) * self.dual_price
        burden = per_usd * cost + self._waiting
        variance = self.covariance.dot(x).reshape(self.theta.shape).dot(x)
        deviation = self._deviation * np.sqrt(np.maximum(variance, 0.0))
        utility = quality * self._answers - burden
        if self.exploring.optimism:
            utility += self.exploring.optimism * deviation
        quality = np.minimum(np.maximum(quality, 0.0), 1.0)
        spread = self.exploring.temper * deviation
        everybody = tuple(eligible) == self.everybody  # as usual; then no array is picked apart
        at: list[int] | slice = slice(None) if everybody else list(eligible)
        if not everybody:
            quality, cost, spread = quality[at], cost[at], spread[at]
            utility, deviation = utility[at], deviation[at]
        floor = self.floors(cost, utility, deviation, at)
        if self.returning:
            floor = self._remember(floor, utility, x, eligible)
        return Scores(
            quality,
            cost,
            self.latency_s if everybody else self.latency_s[at],
            self.error_rate if everybody else self.error_rate[at],
            utility,
            spread,
            floor,
            self.caps if everybody else self.caps[at],
        )

    @cached_property
    def capped(self) -> bool:
        """Whether any arm's share is held down."""
        return bool((self.caps < 1.0).any())

    @cached_property
    def _answers(self) -> Vector:
        return 1.0 - self.error_rate

    @cached_property
    def _waiting(self) -> Vector:
        return self.per_second * self.latency_s

    @cached_property
    def _deviation(self) -> Vector:
        return np.asarray(self._answers * np.sqrt(self.noise))

    def floors(
        self,
        cost: NDArray[np.float64],
        utility: NDArray[np.float64],
        deviation: NDArray[np.float64],
        at: list[int] | slice = slice(None),
    ) -> NDArray[np.float64]:
        """The least shares of the arms ``at``, cheap enough to be kept up; [K] or [n, K]."""
        exploring = self.exploring
        least: NDArray[np.float64] = exploring.floor[at]
        if exploring.hopeful is not None:
            lead = utility.max(-1, keepdims=True)
            hope = np.where(utility + HOPE * deviation >= lead, exploring.hopeful[at], 0.0)
            least = np.maximum(least, hope)
        if math.isinf(exploring.floor_usd[0]):
            return np.broadcast_to(least, utility.shape)
        if utility.ndim == 1:
            dearer = cost - cost[int(utility.argmax())]
        else:
            dearer = cost - cost[np.arange(len(cost)), utility.argmax(1)][:, None]
        paid: NDArray[np.float64] = exploring.floor_usd[at] / np.maximum(dearer, 1e-12)
        return np.minimum(least, paid)

    def _remember(
        self, floor: Vector, utility: Vector, x: Vector, eligible: Sequence[int]
    ) -> Vector:
        """An arm that would lead as it once was gets the chance that it is so again."""
        floor = floor.copy()
        place = {arm: i for i, arm in enumerate(eligible)}
        lead = float(utility.max())
        for row, arm in enumerate(self.returning):
            if arm not in place:
                continue
            gain = float((self.remembered[row] - self.theta[arm]).dot(x)) * self._answers[arm]
            if utility[place[arm]] + gain >= lead:
                floor[place[arm]] = max(floor[place[arm]], float(self.chances[row]))
        return floor

    def deviations(self, features: Matrix) -> Matrix:
        """The posterior deviation of each arm's quality, given an answer, for [n, d]; [n, K]."""
        shape = (*self.theta.shape, self.theta.shape[1])
        # In place: fresh memory of this size is paid for by the page, and costs more than the sums.
        through = features @ self.covariance.reshape(shape)
        through *= features
        variance = through.sum(2).T
        found: Matrix = self._answers * np.sqrt(self.noise * np.maximum(variance, 0.0))
        return found

    def again(
        self, floors: Matrix, utility: Matrix, gains: Matrix, eligible: Sequence[int]
    ) -> Matrix:
        """``floors`` [n, eligible] with the chances of the arms that would lead as they once
        were; ``gains`` [m, n] is by how much they were better.
        """
        if not self.returning:
            return floors
        floors, lead = floors.copy(), utility.max(1)
        place = {arm: i for i, arm in enumerate(eligible)}
        for row, arm in enumerate(self.returning):
            if arm in place:
                at = place[arm]
                leads = utility[:, at] + gains[row] >= lead
                floors[leads, at] = np.maximum(floors[leads, at], self.chances[row])
        return floors

    def gains(self, features: Matrix) -> Matrix:
        """By how much each of the arms ``returning`` was better for [n, d]; [m, n]."""
        arms = list(self.returning)
        found: Matrix = (self.remembered - self.theta[arms]) @ features.T
        return found * self._answers[arms][:, None]

    def expected(self, contexts: Sequence[Context], eligible: Sequence[int]) -> Expected:
        at = list(eligible)
        x = np.array([context.features for context in contexts], dtype=np.float64)
        tokens, limits, dials = np.array(
            [(c.tokens_in, c.tokens_out_limit or math.inf, c.cost_dial) for c in contexts]
        ).T[:, :, None]
        factor = np.exp(np.clip(x @ self.length_weights, -BOUND, BOUND))[:, None]
        out = np.minimum(self.usual_tokens[at] * factor, limits)
        cost = tokens * self.price_in[at] + self.price_out[at] * out
        quality, deviation = x @ self.theta[at].T, self.deviations(x)[:, at]
        per_usd = dials * self.per_usd + weight_of(dials) * self.dual_price
        utility = quality * self._answers[at] - (per_usd * cost + self._waiting[at])
        utility += self.exploring.optimism * deviation
        floors = self.floors(cost, utility, deviation, at)
        floors = self.again(floors, utility, self.gains(x), eligible)
        shares = exploration.probability_matching(utility, self.exploring.temper[at] * deviation)
        if self.capped:
            shares = exploration.within(shares, floors, self.caps[at])
        else:
            shares = exploration.with_floors(shares, floors)
        return Expected(
            shares.mean(0), np.clip(quality, 0.0, 1.0).mean(0), cost.mean(0), self.latency_s[at],
            self.error_rate[at], utility.mean(0),
        )  # fmt: skip

    def propensities(self, scores: Scores) -> Vector:
        assert scores.spread is not None and scores.floor is not None and scores.cap is not None
        matched = exploration.chances(scores.utility, scores.spread)
        if self.capped:
            return exploration.within(matched, scores.floor, scores.cap)
        return exploration.with_floors(matched, scores.floor)


def priced(chooser: LinearChooser, pacer: Pacer, optimism: float) -> LinearChooser:
    """The chooser at the dual price that keeps the budget, or with the optimism that spends it;
    what it looks for anew is looked for often enough.
    """
    features, tokens, dials = pacer.window()
    if not len(tokens) or (pacer.budget_usd is None and not chooser.returning):
        return chooser
    factor = np.exp(np.clip(features @ chooser.length_weights, -BOUND, BOUND))
    cost = np.outer(tokens, chooser.price_in)
    cost += factor[:, None] * (chooser.price_out * chooser.usual_tokens)
    base = (features @ chooser.theta.T) * (1.0 - chooser.error_rate)
    base -= chooser.per_usd * dials[:, None] * cost + chooser.per_second * chooser.latency_s
    gains = chooser.gains(features)
    if pacer.budget_usd is None:
        return sought(chooser, base, gains)
    weighted = weight_of(dials)[:, None] * cost
    billed = cost * pacer.bias
    deviation = chooser.deviations(features)
    spread = chooser.exploring.temper * deviation

    def spend(utility: NDArray[np.float64]) -> float:
        floors = chooser.floors(cost, utility, deviation)
        floors = chooser.again(floors, utility, gains, chooser.everybody)
        shares = exploration.probability_matching(utility, spread)
        if chooser.capped:
            shares = exploration.within(shares, floors, chooser.caps)
        else:
            shares = exploration.with_floors(shares, floors)
        return float((shares * billed).sum() / len(tokens))

    price = pacer.solve(lambda price: spend(base - price * weighted))
    if chooser.returning:
        chooser = sought(chooser, base - price * weighted, gains)
        price = pacer.solve(lambda price: spend(base - price * weighted))
    chooser = replace(chooser, dual_price=price)
    if price > 0.0:
        return chooser
    hope = pacer.optimism(lambda hope: spend(base + hope * deviation), optimism)
    return replace(chooser, exploring=replace(chooser.exploring, optimism=hope))


def sought(chooser: LinearChooser, utility: Matrix, gains: Matrix) -> LinearChooser:
    """The chooser, with the chances raised of arms that would lead seldom even as they once were.

    Looks at an arm come only where it would lead: ``LED`` of all requests give enough of them. With
    a smaller part the chance is greater by as much, at most ``MOST_SOUGHT`` times and up to
    ``MOST_CHANCE``. ``utility`` [n, K] and ``gains`` [m, n] of recent requests.
    """
    lead = utility.max(1)
    leads = (utility[:, list(chooser.returning)].T + gains >= lead).mean(1)
    raised = chooser.chances * np.clip(LED / np.maximum(leads, 1e-9), 1.0, MOST_SOUGHT)
    limit = np.maximum(chooser.chances, MOST_CHANCE)
    return replace(chooser, chances=np.minimum(raised, limit))
