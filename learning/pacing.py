"""What a dollar costs when spend runs ahead of the budget: a dual price, in points per dollar."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 256
LEAST_CONTEXTS = 16
CREDIT_REQUESTS = 75.0
BISECTIONS = 14
OPTIMISM_BISECTIONS = 6
GREATEST_BEND = 0.6


class Pacer:
    """Re-solves the price on recent contexts so that *expected* spend meets the budget.

    ``budget_usd`` is dollars per request. A slowly remembered credit (what was under- or
    overspent so far, worth at most ``CREDIT_REQUESTS`` requests) bends the target, so that the
    mean over a window tracks the budget, not only its expectation.
    """

    def __init__(self, budget_usd: float | None, dimension: int) -> None:
        self.budget_usd = budget_usd
        self.credit_usd = 0.0
        self._features = np.zeros((WINDOW, dimension), dtype=np.float32)
        self._tokens = np.zeros(WINDOW)
        self._seen = 0

    def spent(self, features: NDArray[np.float32], tokens_in: int, cost_usd: float) -> None:
        """One request was paid for."""
        at = self._seen % WINDOW
        self._features[at] = features
        self._tokens[at] = tokens_in
        self._seen += 1
        if self.budget_usd is not None:
            bound = CREDIT_REQUESTS * self.budget_usd
            credit = self.credit_usd + self.budget_usd - cost_usd
            self.credit_usd = min(max(credit, -bound), bound)

    def window(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Every second of the recent contexts: features [n, d] and prompt tokens [n]."""
        count = min(self._seen, WINDOW)
        step = 1 if count < WINDOW // 2 else 2
        return self._features[:count:step].astype(np.float64), self._tokens[:count:step]

    @property
    def target_usd(self) -> float:
        """What a request may cost now: the budget, bent by the credit; infinite without one."""
        if self.budget_usd is None or self._seen < LEAST_CONTEXTS:
            return math.inf
        bend = self.credit_usd / (CREDIT_REQUESTS * self.budget_usd)
        return self.budget_usd * min(max(1.0 + bend, 1.0 - GREATEST_BEND), 1.0 + GREATEST_BEND)

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
            low, high = high, high * 4.0
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            if spend_at(middle) > target:
                low = middle
            else:
                high = middle
        return high

    def optimism(self, spend_at: Callable[[float], float], greatest: float) -> float:
        """How much optimism spends what no price keeps back, up to ``greatest``.

        Money left unspent by the best guess is free for trying what may be better.
        """
        target = self.target_usd
        if math.isinf(target) or spend_at(0.0) >= target:
            return 0.0
        if spend_at(greatest) <= target:
            return greatest
        low, high = 0.0, greatest
        for _ in range(OPTIMISM_BISECTIONS):
            middle = 0.5 * (low + high)
            if spend_at(middle) > target:
                high = middle
            else:
                low = middle
        return low

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The state at rest."""
        scalars = np.array([self.credit_usd, float(self._seen)])
        return {
            "pacer_features": self._features.copy(),
            "pacer_tokens": self._tokens.copy(),
            "pacer_scalars": scalars,
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]], columns: NDArray[np.int64]) -> None:
        """Take a state; ``columns[i]`` is where feature ``i`` stood then, -1 for a new one."""
        self.credit_usd, seen = arrays["pacer_scalars"].tolist()
        self._seen = int(seen) if math.isfinite(seen) else 0
        known = columns >= 0
        self._features[:, known] = arrays["pacer_features"][:, columns[known]]
        self._tokens[:] = arrays["pacer_tokens"]
