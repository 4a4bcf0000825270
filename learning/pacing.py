"""What a dollar costs when spend runs ahead of the budget: a dual price, in points per dollar."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 256
LEAST_CONTEXTS = 16
CREDIT_REQUESTS = 150.0
BISECTIONS = 24


class Pacer:
    """Re-solves the price on recent contexts so that *expected* spend meets the budget.

    ``budget_usd`` is dollars per request. A slowly remembered credit (what was under- or
    overspent so far, worth at most ``CREDIT_REQUESTS`` requests) bends the target, so that the
    mean over a window tracks the budget, not only its expectation.
    """

    def __init__(self, budget_usd: float | None, dimension: int) -> None:
        self.budget_usd = budget_usd
        self.credit_usd = 0.0
        self.price = 0.0
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
            self.credit_usd = min(max(credit, -bound), 0.25 * bound)

    def window(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The recent contexts: features [n, d] and prompt tokens [n]."""
        count = min(self._seen, WINDOW)
        return self._features[:count].astype(np.float64), self._tokens[:count]

    def solve(self, spend_at: Callable[[float], float]) -> float:
        """The least price at which ``spend_at(price)`` (expected dollars a request) fits."""
        if self.budget_usd is None or self._seen < LEAST_CONTEXTS:
            self.price = 0.0
            return 0.0
        bend = self.credit_usd / (CREDIT_REQUESTS * self.budget_usd)
        target = self.budget_usd * min(max(1.0 + bend, 0.4), 1.6)
        if spend_at(0.0) <= target:
            self.price = 0.0
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
        self.price = high
        return high

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The state at rest."""
        scalars = np.array([self.credit_usd, self.price, float(self._seen)])
        return {
            "pacer_features": self._features.copy(),
            "pacer_tokens": self._tokens.copy(),
            "pacer_scalars": scalars,
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]], columns: NDArray[np.int64]) -> None:
        """Take a state; ``columns[i]`` is where feature ``i`` stood then, -1 for a new one."""
        self.credit_usd, self.price, seen = arrays["pacer_scalars"].tolist()
        self._seen = int(seen) if math.isfinite(seen) else 0
        known = columns >= 0
        self._features[:, known] = arrays["pacer_features"][:, columns[known]]
        self._tokens[:] = arrays["pacer_tokens"]
