"""Estimators of what calls show (latency, errors, length): they fade by time and jump on alarm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.drift import Cusum
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
    stood at zero), lists of Python's floats: every call touches one arm, and the elements of an
    array one by one cost more than all else here. Weights are those of a ``DecayClock``; the
    owner rescales.
    """

    sums: list[list[float]]
    since: list[list[list[float]]]
    cusum: Cusum

    @classmethod
    def of(cls, arms: int, drift: float, threshold: float) -> WatchedRatio:
        """Nothing seen yet."""
        cusum = Cusum.of(arms, drift, threshold)
        return cls([_nothing() for _ in range(arms)], [_neither() for _ in range(arms)], cusum)

    def scale(self, factor: float) -> None:
        """Rescale after the clock moved."""
        self.sums = [[value * factor for value in row] for row in self.sums]
        self.since = [[[v * factor for v in row] for row in sides] for sides in self.since]

    def add(self, at: int, sums: list[float]) -> None:
        """Measurements that were summed elsewhere, [5]; the detector does not see them."""
        self.sums[at] = [a + b for a, b in zip(self.sums[at], sums, strict=True)]

    def positive(
        self, at: int, parts: tuple[float, float], weight: float, now: float
    ) -> Alarm | None:
        """One positive measurement ``parts[0] / parts[1]``, watched on the logarithmic scale.

        ``now`` is the discount that reads the sums as of now.
        """
        log = math.log(max(parts[0] / parts[1], 1e-6))
        _, _, held, logs, squares = self.sums[at]
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
        top, bottom, one, log, log2 = row
        top, bottom, one = top * weight, bottom * weight, one * weight
        log, log2 = log * weight, log2 * weight
        sums = self.sums[at]
        self.sums[at] = [
            sums[0] + top, sums[1] + bottom, sums[2] + one, sums[3] + log, sums[4] + log2,
        ]  # fmt: skip
        since = self.since[at]
        for side, run in enumerate(self.cusum.run[at]):
            if run:
                held = since[side]
                since[side] = [
                    held[0] + top, held[1] + bottom, held[2] + one, held[3] + log, held[4] + log2,
                ]  # fmt: skip
            else:
                since[side] = _nothing()
        return None if alarm is None else self._cut(at, alarm)

    def _cut(self, at: int, side: int) -> Alarm:
        """Keep what came since that side of the detector last stood at zero."""
        new = self.since[at][side]
        old = [whole - part for whole, part in zip(self.sums[at], new, strict=True)]
        known = old[_COUNT] > 1e-9 * new[_COUNT]
        self.sums[at], self.since[at] = new, _neither()
        self.cusum.rest(at)
        return Alarm(side, old[_TOP] / old[_BOTTOM] if known else None, new[_TOP] / new[_BOTTOM])

    def ratio(self, discount: float, prior: Vector | float, worth: float) -> Vector:
        """The ratio of each arm, ``worth`` calls of the prior mixed in; shape [K]."""
        sums = np.array(self.sums)
        top, bottom = sums[:, _TOP] * discount, sums[:, _BOTTOM] * discount
        mixed: Vector = (top + worth * prior) / (bottom + worth)
        return mixed

    def ratio_of(self, at: int, discount: float, prior: float, worth: float) -> float:
        """The ratio of one arm."""
        sums = self.sums[at]
        return (sums[_TOP] * discount + worth * prior) / (sums[_BOTTOM] * discount + worth)

    @property
    def count(self) -> Vector:
        """How many measurements each arm's sums hold, weighted; [K]."""
        return np.array([row[_COUNT] for row in self.sums])

    def mean_of_all(self, default: float) -> float:
        """The ratio over all arms together, or the default."""
        top = bottom = 0.0
        for row in self.sums:
            top += row[_TOP]
            bottom += row[_BOTTOM]
        return top / bottom if bottom > 0 else default

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """The state at rest, each array under ``name``."""
        held, cusum = (np.array(self.sums), np.array(self.since)), self.cusum
        return {
            f"{name}_sums": held[0], f"{name}_since": held[1],
            f"{name}_level": np.array(cusum.level), f"{name}_run": np.array(cusum.run),
        }  # fmt: skip

    def restore(self, name: str, arrays: Mapping[str, NDArray[Any]], at: int, was: int) -> None:
        """Take arm ``was`` of a frozen state as arm ``at``."""
        self.sums[at] = arrays[f"{name}_sums"][was].tolist()
        self.since[at] = arrays[f"{name}_since"][was].tolist()
        self.cusum.level[at] = arrays[f"{name}_level"][was].tolist()
        self.cusum.run[at] = arrays[f"{name}_run"][was].tolist()


def _nothing() -> list[float]:
    """Sums of nothing."""
    return [0.0] * 5


def _neither() -> list[list[float]]:
    """Sums of nothing on either side."""
    return [_nothing(), _nothing()]
