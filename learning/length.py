"""How long an answer will be: a shared regression of log length, times each deployment's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import ddot
from scipy.linalg.lapack import dposv

from learning.interaction import Vector
from learning.live import WatchedRatio
from learning.regression import add_outer

RIDGE = 20.0
REFIT_AFTER = 16
BOUND = 1.5  # of the log factor: an answer is at most 4.5 times its deployment's usual
PRIOR_TOKENS = 300.0
PRIOR_CALLS = 1.0
DRIFT, THRESHOLD = 0.5, 12.0


class LengthModel:
    """Output tokens of arm a for context x: ``usual_a * exp(w x)``.

    ``w`` is ridged from all arms together on the logarithm of length over the arm's usual
    length; ``usual_a`` is a ratio of sums, cut when the arm's lengths change.
    """

    def __init__(self, arms: int, dimension: int) -> None:
        self.usual = WatchedRatio.of(arms, DRIFT, THRESHOLD)
        self.gram = np.zeros((dimension, dimension))
        self.moment = np.zeros(dimension)
        self.weights = np.zeros(dimension)
        self.fresh = 0

    def scale(self, factor: float) -> None:
        """Rescale after the clock moved."""
        self.usual.scale(factor)
        self.gram *= factor
        self.moment *= factor

    def learn(self, at: int, x: Vector, tokens: float, weight: float, now: float) -> None:
        """An answer of ``tokens`` tokens by arm ``at``."""
        tokens = max(tokens, 1.0)
        factor = self.factor_of(x)
        usual = self.usual_of(at, now)
        if self.usual.sums[at][1] > 0:
            log = min(2.0, max(-2.0, math.log(tokens / usual)))
            add_outer(self.gram, weight * x, x)
            self.moment += (weight * log) * x
        self.usual.positive(at, (tokens, factor), weight, now)
        self.fresh += 1
        if self.fresh >= REFIT_AFTER:
            self._refit(now)

    def add_shared(
        self, sums: tuple[NDArray[np.float64], Vector], weight: float,
        columns: tuple[NDArray[np.int64], NDArray[np.int64]], now: float,
    ) -> None:  # fmt: skip
        """Gram and moment that were summed elsewhere, of the features ``columns[1]`` there as the
        features ``columns[0]`` here.
        """
        (gram, moment), (known, was) = sums, columns
        self.gram[np.ix_(known, known)] += weight * gram[np.ix_(was, was)]
        self.moment[known] += weight * moment[was]
        self._refit(now)

    def _refit(self, now: float) -> None:
        """The ridge regression anew, by Cholesky's decomposition."""
        self.fresh = 0
        matrix = self.gram * now
        matrix.ravel()[:: len(matrix) + 1] += RIDGE  # the diagonal
        _, self.weights, wrong = dposv(matrix, self.moment * now)
        if wrong:
            raise ArithmeticError("the sums of the length model are not positive definite")
        self.weights[-1] = 0.0  # the level is each arm's own

    def _typical(self) -> float:
        return self.usual.mean_of_all(PRIOR_TOKENS)

    def factor(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much longer than usual; x [..., d]."""
        return np.asarray(np.exp(np.clip(x @ self.weights, -BOUND, BOUND)))

    def factor_of(self, x: Vector) -> float:
        """How much longer than usual; x [d]."""
        return math.exp(min(BOUND, max(-BOUND, ddot(x, self.weights))))

    def usual_of(self, at: int, now: float) -> float:
        """One arm's usual length."""
        return self.usual.ratio_of(at, now, self._typical(), PRIOR_CALLS)

    def usual_tokens(self, now: float) -> Vector:
        """Each arm's usual length; [K]."""
        return self.usual.ratio(now, self._typical(), PRIOR_CALLS)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What belongs to arms, at rest."""
        return self.usual.arrays("length")

    def shared(self) -> dict[str, NDArray[Any]]:
        """What belongs to features, at rest."""
        return {
            "length_gram": self.gram, "length_moment": self.moment,
            "length_weights": self.weights, "length_fresh": np.array([self.fresh]),
        }  # fmt: skip

    def restore_shared(
        self, arrays: Mapping[str, NDArray[Any]], known: NDArray[np.int64], was: NDArray[np.int64]
    ) -> None:
        """Take the features ``was`` of a frozen state as the features ``known``."""
        self.gram[np.ix_(known, known)] = arrays["length_gram"][np.ix_(was, was)]
        self.moment[known] = arrays["length_moment"][was]
        self.weights[known] = arrays["length_weights"][was]
        self.fresh = int(arrays["length_fresh"][0])
