"""Experiments by blocks of time, for treatments that share capacity: the schedule and its test."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.moments import Interval

Values = NDArray[np.float64]
Times = NDArray[np.int64]
EXACT_PAIRS = 14  # up to here every order of the pairs is enumerated
DRAWS = 9_999
PART = 1_000  # orders at a time
MICRO = 1_000_000
LATEST_US = 4_102_444_800 * MICRO  # the year 2100
LONGEST_S = 31_536_000  # a year
_PValue = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks of ``length_s`` from ``start_us`` (microseconds since 1970), drawn in pairs.

    Of every two neighbours one is control and one treatment, in an order that a hash of ``salt``
    draws: half and half at every time of day, known beforehand, the same on every machine. What
    happens in the first ``burn_in_s`` of a block still carries the one before it, and is dropped
    (Bojinov, Simchi-Levi and Zhao, Management Science 2023; Hu and Wager, arXiv 2209.00197).
    """

    salt: str
    start_us: int
    length_s: int = 1_800
    burn_in_s: int = 300

    def __post_init__(self) -> None:
        if not self.salt:
            raise ExperimentError("salt is empty: name the experiment and its version")
        if not 0 <= self.start_us <= LATEST_US:
            raise ExperimentError(f"start_us is {self.start_us}: give microseconds since 1970")
        if not 0 < self.length_s <= LONGEST_S:
            raise ExperimentError(f"length_s is {self.length_s}: give the seconds of a block")
        if not 0 <= self.burn_in_s < self.length_s:
            raise ExperimentError(
                f"burn_in_s is {self.burn_in_s}: leave some of the block's {self.length_s} seconds"
            )

    def block(self, at_us: int) -> int:
        """The number of the block at that time; negative before the start."""
        return (at_us - self.start_us) // (self.length_s * MICRO)

    def treated(self, block: int) -> bool:
        """Whether the treatment runs in that block."""
        drawn = hashlib.sha256(f"{self.salt}/pair:{block // 2}".encode()).digest()[0] & 1
        return (block & 1) == drawn

    def settled(self, at_us: int) -> bool:
        """Whether that time is past the start and past its block's burn-in."""
        into = (at_us - self.start_us) % (self.length_s * MICRO)
        return at_us >= self.start_us and into >= self.burn_in_s * MICRO


@dataclass(frozen=True, slots=True)
class Pairs:
    """What the blocks showed: treatment less control of every pair, shape [pairs].

    ``controls`` and ``numbers`` [pairs]: the control's mean of each, and which it is.
    ``dropped``: pairs of which a block had nothing to measure, or was still running. ``burnt``:
    rows that fell into a burn-in or before the start.
    """

    differences: Values
    control: float
    treatment: float
    dropped: int
    burnt: int
    controls: Values
    numbers: Times


@dataclass(frozen=True, slots=True)
class SwitchbackEffect:
    """Treatment less control, its interval and p-value by re-drawing the order of the pairs.

    Both hold whatever the noise and however blocks differ, for an effect that is the same in
    every pair and has died down within the burn-in. ``exact``: all orders were enumerated.
    """

    difference: Interval
    p_value: float
    pairs: int
    exact: bool


def pair_up(blocks: Blocks, at_us: Times, values: Values, per: Values, until_us: int) -> Pairs:
    """The blocks' means (``values`` over ``per``, both [n], rows at ``at_us`` [n]), in pairs.

    A block is its own row, however many requests it had: requests that share a block share its
    weather. Only blocks that ended by ``until_us`` count.
    """
    if not len(at_us) == len(values) == len(per):
        raise ExperimentError(
            f"at_us, values and per have {len(at_us)}, {len(values)} and {len(per)} rows: "
            "give one of each a request"
        )
    if not (np.isfinite(values).all() and np.isfinite(per).all()):
        raise ExperimentError("values and per must be finite: drop the rows without a number")
    length_us = blocks.length_s * MICRO
    pairs = max(0, blocks.block(until_us)) // 2
    since = np.asarray(at_us, dtype=np.int64) - blocks.start_us
    settled = (since >= 0) & (since % length_us >= blocks.burn_in_s * MICRO)
    kept = settled & (since < 2 * pairs * length_us)
    number = since[kept] // length_us
    above = np.bincount(number, weights=values[kept], minlength=2 * pairs).reshape(pairs, 2)
    below = np.bincount(number, weights=per[kept], minlength=2 * pairs).reshape(pairs, 2)
    whole = (below > 0).all(axis=1)
    means = above[whole] / below[whole]
    numbers = np.flatnonzero(whole).astype(np.int64)
    second = np.array([blocks.treated(2 * at + 1) for at in numbers.tolist()], dtype=np.bool_)
    treated = np.where(second, means[:, 1], means[:, 0])
    control = np.where(second, means[:, 0], means[:, 1])
    both = (float(control.mean()), float(treated.mean())) if len(means) else (math.nan, math.nan)
    dropped, burnt = int(pairs - whole.sum()), int((~settled).sum())
    return Pairs(treated - control, *both, dropped, burnt, control, numbers)


def least_pairs(alpha: float) -> int:
    """Pairs without which no result could reach ``alpha``: the rarest order has p = 2 / 2^pairs."""
    return math.ceil(1.0 - math.log2(_level(alpha)))


def randomisation_test(
    differences: Values, rng: np.random.Generator, alpha: float = 0.05
) -> SwitchbackEffect | CannotSay:
    """Is the treatment different, by how much? For a length fixed beforehand.

    Fisher's test of the mean of ``differences`` [pairs]: under no effect the order within a pair
    only flips a sign. All orders up to ``EXACT_PAIRS`` pairs, beyond ``DRAWS`` of ``rng`` with the
    observed one among them (Phipson and Smyth, SAGMB 2010). The interval holds the effects that
    the same test does not refuse at ``alpha``.
    """
    pairs, needed = len(differences), least_pairs(alpha)
    if not np.isfinite(differences).all():
        raise ExperimentError("differences must be finite: drop the pairs without a number")
    if pairs < needed:
        return CannotSay(f"{needed} whole pairs of blocks are needed, there are {pairs}")
    mean = float(differences.mean())
    parts = [(signs @ differences, signs.sum(axis=1)) for signs in _orders(pairs, rng)]
    drawn, balance = (np.concatenate(each) / pairs for each in zip(*parts, strict=True))

    def p_value(effect: float) -> float:
        slack = 1e-12 * (abs(mean) + float(np.abs(differences).max()) + abs(effect))
        return float((np.abs(drawn - effect * balance) >= abs(mean - effect) - slack).mean())

    spread = float(np.abs(differences - mean).max())
    low = _edge(p_value, mean, -spread, alpha)
    high = _edge(p_value, mean, spread, alpha)
    exact = pairs <= EXACT_PAIRS
    return SwitchbackEffect(Interval(mean, low, high), p_value(0.0), pairs, exact)


def _orders(pairs: int, rng: np.random.Generator) -> Iterator[Values]:
    """Signs [orders, pairs] in parts that fit into memory, the observed order (all 1) first."""
    if pairs <= EXACT_PAIRS:
        bits = (np.arange(2**pairs)[:, None] >> np.arange(pairs)) & 1
        yield np.asarray(1.0 - 2.0 * bits, dtype=np.float64)
        return
    yield np.ones((1, pairs))
    for first in range(0, DRAWS, PART):
        heads = rng.integers(0, 2, size=(min(PART, DRAWS - first), pairs))
        yield np.asarray(1.0 - 2.0 * heads, dtype=np.float64)


def _edge(p_value: _PValue, mean: float, step: float, alpha: float) -> float:
    """The farthest effect, from the mean on, that is not refused; p falls with the distance."""
    if step == 0.0:
        return mean
    inner, outer = mean, mean + step
    for _ in range(60):
        if p_value(outer) <= alpha:
            break
        inner, outer = outer, mean + 2.0 * (outer - mean)
    else:
        return math.copysign(math.inf, step)
    for _ in range(60):
        middle = 0.5 * (inner + outer)
        inner, outer = (inner, middle) if p_value(middle) <= alpha else (middle, outer)
    return outer


def _level(alpha: float) -> float:
    if not 0.0 < alpha < 1.0:
        raise ExperimentError(f"alpha is {alpha!r}: give one between 0 and 1, such as 0.05")
    return alpha
