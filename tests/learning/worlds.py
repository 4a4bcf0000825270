"""A small simulated world of ratings: arms, requests, and how good each answer truly is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learning.quality import Rows


class World:
    """Yes-or-no ratings whose chance bends (a logistic) in what the ridge takes as linear."""

    def __init__(self, seed: int, arms: int = 4, dimension: int = 16, bend: float = 2.5) -> None:
        self.rng = np.random.default_rng(seed)
        self.arms = tuple(f"a{i}" for i in range(arms))
        self.features = (*(f"f{i}" for i in range(dimension - 1)), "constant")
        self._shared = self.rng.normal(0.0, 0.6, dimension)
        self._own = self.rng.normal(0.0, 0.6, (arms, dimension))
        self._bend = bend

    def requests(self, count: int) -> NDArray[np.float64]:
        """Features [count, d]."""
        x = np.where(self.rng.random((count, len(self.features))) < 0.3, 1.0, 0.0)
        x[:, -1] = 1.0
        return x

    def truth(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The chance of a good rating [n, K]."""
        z = x @ (self._shared + self._own).T / np.sqrt(len(self.features) / 6.0)
        chances: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-self._bend * z))
        return chances

    def rows(self, count: int, first: int = 0) -> Rows:
        """Answers of arms drawn alike, rated."""
        x = self.requests(count)
        arm = self.rng.integers(0, len(self.arms), count)
        good = self.truth(x)[np.arange(count), arm]
        quality = (self.rng.random(count) < good).astype(np.float64)
        order = np.arange(first, first + count, dtype=np.int64)
        return Rows(
            self.arms, self.features, arm.astype(np.int64), x, quality, np.ones(count), order
        )


def joined(*parts: Rows) -> Rows:
    """Rows after rows."""
    fields = ("arm", "x", "quality", "weight", "order")
    arrays = [np.concatenate([getattr(part, name) for part in parts]) for name in fields]
    return Rows(parts[0].arms, parts[0].features, *arrays)
