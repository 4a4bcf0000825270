"""The rate guardrail failure by failure, for the path of requests: evidence, alarm, and onset."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experiments.errors import ExperimentError
from experiments.statistics.evidence import Evidence
from experiments.statistics.inputs import Floats, alike, finite, level, within
from experiments.statistics.rates import MULTIPLES, tolerated

REMEMBERED = 200_000  # units that failed; the oldest are forgotten beyond
PART = 20_000  # failures at a time, while history is replayed
_GAIN, _EXCESS = np.log(MULTIPLES), MULTIPLES - 1.0


class RateWatch:
    """``varying_guardrail`` fed one failure after another, a unit's first one alone.

    It holds the likelihood ratio of each of ``MULTIPLES``, so a failure costs a vector of those,
    however many came before. Breached at an e-value of 1 / ``alpha``, and from then on: the
    evidence may fall, the alarm stays. ``since_us``: when watching began, if that is known.

    The onset is an estimate, fixed at the alarm: for each multiple the last minimum of its path
    is when its harm would have begun, and its climb from there how much speaks for that (the
    cumulative sum: Page, Biometrika 1954; over many multiples, Lorden, AMS 1971); the onset is
    that of the greatest climb.
    """

    __slots__ = ("_lowest", "_lowest_at", "_seen", "_told", "alpha", "crossed_us", "failures",
                 "log_e", "onset_us", "peak", "since_us", "tolerance")  # fmt: skip

    def __init__(self, alpha: float, tolerance: float = 0.0, since_us: int | None = None) -> None:
        tolerated(0.5, tolerance)
        self.alpha, self.tolerance, self.since_us = level(alpha), tolerance, since_us
        self.log_e, self.peak = 0.0, 0.0
        self.crossed_us: int | None = None
        self.onset_us: int | None = None
        self.failures = (0, 0)  # of control and treatment
        self._told: Floats = np.zeros(len(MULTIPLES))
        self._lowest: Floats = np.zeros(len(MULTIPLES))
        self._lowest_at: NDArray[np.int64] | None = None
        self._seen: dict[str, None] = {}

    @property
    def evidence(self) -> Evidence:
        """The evidence now."""
        return Evidence(self.log_e)

    @property
    def breached(self) -> bool:
        """Whether the evidence ever reached 1 / alpha."""
        return self.crossed_us is not None

    def failed(self, share: float, in_treatment: bool, unit: str, at_us: int) -> Evidence:
        """A request of ``unit`` failed, which had ``share`` of a chance to be the treatment's."""
        return self.replay([share], [in_treatment], [unit], [at_us])

    def replay(
        self, shares: ArrayLike, in_treatment: ArrayLike, units: Sequence[str], at_us: ArrayLike
    ) -> Evidence:
        """Failures in order of time, all [k]; the same as one ``failed`` after another."""
        w, ours = finite(shares, "shares"), np.asarray(in_treatment, dtype=np.bool_)
        at = np.asarray(at_us, dtype=np.int64)
        alike({"shares": len(w), "in_treatment": len(ours), "units": len(units), "at_us": len(at)})
        within(w, "shares", 0.0, 1.0)
        if ((w <= 0.0) & ours).any() or ((w >= 1.0) & ~ours).any():
            raise ExperimentError(
                "shares rule out a failure that was seen: log what was drawn from"
            )
        new = np.array([self._first(unit) for unit in units], dtype=np.bool_)
        for start in range(0, len(w), PART):
            part = slice(start, start + PART)
            fresh = new[part]
            if fresh.any():
                self._add(w[part][fresh], ours[part][fresh], at[part][fresh])
        return self.evidence

    def _first(self, unit: str) -> bool:
        if unit in self._seen:
            return False
        if len(self._seen) >= REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._seen[unit] = None
        return True

    def _add(self, w: Floats, ours: NDArray[np.bool_], at: NDArray[np.int64]) -> None:
        raised = w * (1.0 + self.tolerance)
        null = raised / (raised + 1.0 - w)
        steps: Floats = ours[:, None] * _GAIN - np.log1p(null[:, None] * _EXCESS)
        paths = self._told + np.cumsum(steps, 0)
        top = paths.max(1)
        mixed = top + np.log(np.exp(paths - top[:, None]).mean(1))
        if self.crossed_us is None:
            reached = np.flatnonzero(mixed >= -math.log(self.alpha))
            end = int(reached[0]) + 1 if len(reached) else len(w)
            found = self._fell(paths[:end], at[:end])
            if len(reached):
                self.crossed_us = int(at[end - 1])
                self.onset_us = int(found[int(np.argmax(paths[end - 1] - self._lowest))])
        self._told, self.log_e = paths[-1], float(mixed[-1])
        self.peak = max(self.peak, float(mixed.max()))
        more = int(ours.sum())
        self.failures = (self.failures[0] + len(w) - more, self.failures[1] + more)

    def _fell(self, paths: Floats, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """The time of each multiple's last minimum, these paths [k, multiples] with it."""
        if self._lowest_at is None:
            start = int(at[0]) if self.since_us is None else self.since_us
            self._lowest_at = np.full(len(MULTIPLES), start, dtype=np.int64)
        last = len(paths) - 1 - np.argmin(paths[::-1], 0)
        lowest = paths[last, np.arange(len(MULTIPLES))]
        lower = lowest <= self._lowest
        self._lowest = np.where(lower, lowest, self._lowest)
        self._lowest_at = np.where(lower, at[last], self._lowest_at)
        return self._lowest_at
