"""What a dollar costs when spend runs ahead of the budget: a dual price, in points per dollar."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.interaction import Context, Vector

WINDOW = 256
LEAST_CONTEXTS = 4
CREDIT_REQUESTS = 75.0
DEBT_REQUESTS = 160.0
BIAS_KEEP = 1.0 - 1.0 / 100.0  # a call
BIAS_CALLS = 10.0
LEAST_DIAL = 0.1
ROOT_STEPS = 18
CLOSE = 2e-3  # of the target
GREATEST_BEND = 0.4


def weight_of(dial: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """How much the budget's price counts for a request of that dial.

    Quality alone (0) does not switch a budget off: it makes a dollar a tenth as dear.
    """
    return np.maximum(dial, LEAST_DIAL)


class Pacer:
    """Re-solves the price on recent contexts so that *expected* spend meets the budget.

    ``budget_usd`` is dollars per request. A slowly remembered credit (what was under- or
    overspent so far, worth at most ``CREDIT_REQUESTS`` requests) bends the target, so that the
    mean over a window tracks the budget, not only its expectation.
    """

    def __init__(self, budget_usd: float | None, arms: int, dimension: int) -> None:
        self.budget_usd = budget_usd
        self.credit_usd = 0.0
        self._calls = [[0.0, 0.0, 0.0] for _ in range(arms)]  # paid, predicted, calls; fading
        self._features = np.zeros((WINDOW, dimension), dtype=np.float32)
        self._tokens = np.zeros(WINDOW)
        self._dials = np.ones(WINDOW)
        self._seen = 0

    def spent(
        self, at: int, context: Context, cost_usd: float, predicted_usd: float | None = None
    ) -> None:
        """One request was paid for, served by arm ``at``; ``predicted_usd`` is what it had been
        taken to cost.
        """
        if predicted_usd is not None:
            paid, predicted, calls = self._calls[at]
            self._calls[at] = [
                BIAS_KEEP * paid + cost_usd, BIAS_KEEP * predicted + predicted_usd,
                BIAS_KEEP * calls + 1.0,
            ]  # fmt: skip
        at = self._seen % WINDOW
        self._features[at] = context.features
        self._tokens[at] = context.tokens_in
        self._dials[at] = context.cost_dial
        self._seen += 1
        if self.budget_usd is not None:
            credit = self.credit_usd + self.budget_usd - cost_usd
            least = -DEBT_REQUESTS * self.budget_usd
            self.credit_usd = min(max(credit, least), CREDIT_REQUESTS * self.budget_usd)

    def saw(
        self, features: NDArray[np.float64], tokens_in: Vector, columns: NDArray[np.int64]
    ) -> None:
        """Requests that were answered elsewhere: they stand in while there are none of ours.

        ``columns`` [d] says where each feature of ``features`` [n, d] stands here.
        """
        if self._seen:
            return
        count = min(len(features), WINDOW)
        self._features[:count, columns] = features[:count]
        self._tokens[:count] = tokens_in[:count]
        self._seen = count

    def window(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Every second of the recent contexts: features [n, d], prompt tokens [n], dials [n]."""
        count = min(self._seen, WINDOW)
        step = 1 if count < WINDOW // 2 else 2
        features = self._features[:count:step].astype(np.float64)
        return features, self._tokens[:count:step], self._dials[:count:step]

    @property
    def target_usd(self) -> float:
        """What a request may cost now: the budget, bent by the credit; infinite without one."""
        if self.budget_usd is None or self._seen < LEAST_CONTEXTS:
            return math.inf
        bend = self.credit_usd / (CREDIT_REQUESTS * self.budget_usd)
        bent = min(max(1.0 + bend, 1.0 - GREATEST_BEND), 1.0 + GREATEST_BEND)
        return self.budget_usd * bent

    @property
    def bias(self) -> NDArray[np.float64]:
        """What is paid for a dollar predicted, of each arm [K], drawn towards one.

        A dear deployment is drawn most where its cost looks low, so predictions of what is drawn
        are low on average (the winner's curse).
        """
        paid, predicted, calls = np.array(self._calls).T
        drawn = BIAS_CALLS * predicted / np.maximum(calls, 1e-9)
        found: NDArray[np.float64] = (paid + drawn + 1e-15) / (predicted + drawn + 1e-15)
        return found

    def solve(self, spend_at: Callable[[float], float]) -> float:
        """The least price at which ``spend_at(price)`` (expected dollars a request) fits.

        A pure function of the state: nothing of the last solution is remembered.
        """
        target = self.target_usd
        if self.budget_usd is None or math.isinf(target) or spend_at(0.0) <= target:
            return 0.0
        low, high = 0.0, 1e-2 / self.budget_usd
        ceiling = 1e4 / self.budget_usd
        while high < ceiling and spend_at(high) > target:
            low, high = high, high * 8.0
        return _root(lambda price: spend_at(price) - target, low, high, CLOSE * target)

    def optimism(self, spend_at: Callable[[float], float], greatest: float) -> float:
        """How much optimism spends what no price keeps back, up to ``greatest``.

        Money left unspent by the best guess is free for trying what may be better.
        """
        target = self.target_usd
        if math.isinf(target) or spend_at(0.0) >= target:
            return 0.0
        if spend_at(greatest) <= target:
            return greatest
        return _root(lambda hope: target - spend_at(hope), 0.0, greatest, CLOSE * target)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The state at rest."""
        scalars = np.array([self.credit_usd, float(self._seen)])
        return {
            "pacer_features": self._features.copy(),
            "pacer_tokens": self._tokens.copy(),
            "pacer_dials": self._dials.copy(),
            "pacer_scalars": scalars,
            "pacer_calls": np.array(self._calls),
        }

    def restore(
        self,
        arrays: Mapping[str, NDArray[Any]],
        columns: NDArray[np.int64],
        arms: Mapping[int, int],
    ) -> None:
        """Take a state; ``columns[i]`` is where feature ``i`` stood then, -1 for a new one, and
        ``arms[at]`` where arm ``at`` did.
        """
        for at, was in arms.items():
            self._calls[at] = arrays["pacer_calls"][was].tolist()
        self.credit_usd, seen = arrays["pacer_scalars"].tolist()
        self._seen = int(seen) if math.isfinite(seen) else 0
        known = columns >= 0
        self._features[:, known] = arrays["pacer_features"][:, columns[known]]
        self._tokens[:] = arrays["pacer_tokens"]
        self._dials[:] = arrays["pacer_dials"]


def _root(excess: Callable[[float], float], low: float, high: float, close: float) -> float:
    """Where ``excess``, falling from above zero at ``low`` to below it at ``high``, is nearly zero.

    The Illinois method (Dowell and Jarratt, BIT 1971), every other step a bisection, for spend
    may fall in steps; ends at the side that does not exceed.
    """
    above, below = excess(low), excess(high)
    short = below  # what the answer falls short by; ``below`` is halved by the method
    side = 0
    for step in range(ROOT_STEPS):
        if short >= -close:
            break
        halfway = step % 2 == 0 or above <= below
        share = 0.5 if halfway else above / (above - below)
        middle = low + share * (high - low)
        found = excess(middle)
        if found > 0.0:
            low, above = middle, found
            below = 0.5 * below if side > 0 else below
            side = 1
        else:
            high, below, short = middle, found, found
            above = 0.5 * above if side < 0 else above
            side = -1
    return high
