"""Estimators of what calls show (latency, errors, length): they fade by time and jump on alarm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.drift import DOWN, UP, Cusum
from learning.interaction import Vector

# columns of the sums
_TOP, _BOTTOM, _COUNT, _LOG, _LOG2 = range(5)
LEAST_CALLS = 5.0  # before that a residual says nothing
SPREAD_CALLS = 4.0  # what the prior spread of a logarithm is worth
SPREAD = 0.1  # its variance: a coefficient of variation of about a third
LEAST_RATE, GREATEST_RATE = 0.02, 0.5


@dataclass(frozen=True, slots=True)
class Alarm:
    """A change: on which side, and the ratio before it (None where nothing was known) and since."""

    side: int
    before: float | None
    since: float


@dataclass(slots=True)
class WatchedRatio:
    """Per arm the ratio of two sums, and a detector that cuts them to what came after a change.

    ``sums`` [K, 5] and ``since`` [K, 2, 5] (the sums since either side of the detector last
    stood at zero). Weights are those of a ``DecayClock``; the owner rescales.
    """

    sums: NDArray[np.float64]
    since: NDArray[np.float64]
    cusum: Cusum

    @classmethod
    def of(cls, arms: int, drift: float, threshold: float) -> WatchedRatio:
        """Nothing seen yet."""
        cusum = Cusum.of(arms, drift, threshold)
        return cls(np.zeros((arms, 5)), np.zeros((arms, 2, 5)), cusum)

    def scale(self, factor: float) -> None:
        """Rescale after the clock moved."""
        self.sums *= factor
        self.since *= factor

    def positive(
        self, at: int, parts: tuple[float, float], weight: float, now: float
    ) -> Alarm | None:
        """One positive measurement ``parts[0] / parts[1]``, watched on the logarithmic scale.

        ``now`` is the discount that reads the sums as of now.
        """
        log = math.log(max(parts[0] / parts[1], 1e-6))
        _, _, held, logs, squares = self.sums[at].tolist()
        count = held * now
        z = 0.0
        if count >= LEAST_CALLS:
            mean = logs / held
            spread = max(squares * now - count * mean * mean, 0.0)
            spread = (spread + SPREAD_CALLS * SPREAD) / (count + SPREAD_CALLS)
            z = (log - mean) / math.sqrt(spread)
        return self._take(at, (*parts, 1.0, log, log * log), weight, z)

    def event(self, at: int, happened: bool, weight: float, rate: float) -> Alarm | None:
        """One yes or no, held against the ``rate`` believed so far."""
        rate = min(GREATEST_RATE, max(LEAST_RATE, rate))
        z = (happened - rate) / math.sqrt(rate * (1.0 - rate))
        return self._take(at, (float(happened), 1.0, 1.0, 0.0, 0.0), weight, z)

    def _take(self, at: int, row: tuple[float, ...], weight: float, z: float) -> Alarm | None:
        alarm = self.cusum.push(at, z)
        added = np.array(row) * weight
        self.sums[at] += added
        since = self.since[at]
        since += added
        up, down = self.cusum.run[at].tolist()
        if not up:
            since[UP] = 0.0
        if not down:
            since[DOWN] = 0.0
        if alarm is None:
            return None
        new, old = since[alarm].copy(), self.sums[at] - since[alarm]
        known = old[_COUNT] > 1e-9 * new[_COUNT]
        self.sums[at] = new
        since[:] = 0.0
        self.cusum.rest(at)
        before = float(old[_TOP] / old[_BOTTOM]) if known else None
        return Alarm(alarm, before, float(new[_TOP] / new[_BOTTOM]))

    def ratio(self, discount: float, prior: Vector | float, worth: float) -> Vector:
        """The ratio of each arm, ``worth`` calls of the prior mixed in; shape [K]."""
        top, bottom = self.sums[:, _TOP] * discount, self.sums[:, _BOTTOM] * discount
        mixed: Vector = (top + worth * prior) / (bottom + worth)
        return mixed

    def ratio_of(self, at: int, discount: float, prior: float, worth: float) -> float:
        """The ratio of one arm."""
        top, bottom = self.sums[at, :2].tolist()
        return float((top * discount + worth * prior) / (bottom * discount + worth))

    @property
    def count(self) -> Vector:
        """How many measurements each arm's sums hold, weighted; [K]."""
        return self.sums[:, _COUNT]

    def mean_of_all(self, default: float) -> float:
        """The ratio over all arms together, or the default."""
        top, bottom = self.sums[:, :2].sum(0).tolist()
        return float(top / bottom) if bottom > 0 else default

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """The state at rest, each array under ``name``."""
        return {
            f"{name}_sums": self.sums, f"{name}_since": self.since,
            f"{name}_level": self.cusum.level, f"{name}_run": self.cusum.run,
        }  # fmt: skip

    def restore(self, name: str, arrays: Mapping[str, NDArray[Any]], at: int, was: int) -> None:
        """Take arm ``was`` of a frozen state as arm ``at``."""
        for key, array in self.arrays(name).items():
            array[at] = arrays[key][was]
