"""What one deployment's share of a task would have cost and earned on another, off policy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from experiments.errors import CannotSay
from experiments.reviewing.finding import CONFIDENCE
from experiments.statistics.adaptive import LEAST_DRAWS, SHRUNK
from experiments.statistics.moments import Interval
from experiments.statistics.off_policy import REPORTED

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Longs = NDArray[np.int64]

LIMITS = REPORTED
COST, QUALITY, LATENCY = "cost_usd", "quality", "latency_s"
METRICS = (COST, QUALITY, LATENCY)


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A task's drawn decisions. ``names`` [K]; ``drawn`` [n] an index; ``propensities`` [n, K], 0
    where not eligible; by metric what came of each [n] (NaN: not known), and what the policy
    foretold then of each deployment [n, K] (NaN: nothing). ``cell`` [n]: of ``cells``, the tenant.

    The predictions were logged with the decision, so they rest on the past alone.
    """

    task: str
    names: tuple[str, ...]
    drawn: Longs
    propensities: Floats
    values: Mapping[str, Floats]
    foretold: Mapping[str, Floats]
    cell: Longs
    cells: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.drawn)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A total over the week's decisions of the cell, by its error; ``rows`` that were measured."""

    total: float
    error: float
    rows: int

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The total with its bounds, for one look."""
        reach = float(stats.t.ppf(0.5 + confidence / 2.0, max(1, self.rows - 1))) * self.error
        return Interval(self.total, self.total - reach, self.total + reach)

    @property
    def ratio(self) -> float:
        """The total in errors."""
        return self.total / self.error if self.error > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class Swap:
    """A deployment's share given to another, in a task and a tenant (empty: all of them).

    ``moved``: requests that would have gone to the other; by metric the change of the totals;
    ``ess``: the effective draws of the other that speak for those.
    """

    task: str
    tenant: str
    deployment: str
    other: str
    moved: float
    spent_usd: float
    ess: float
    changes: Mapping[str, Estimate]
    refused: CannotSay | None = None


def swaps(drawn: Drawn, cells: tuple[str, ...] = ()) -> Iterator[Swap]:
    """Every ordered pair of deployments over the task, and in each of the ``cells``.

    The change of policy "where this one would be drawn, draw the other": the mean of
    e_d (p_b - p_d) + 1{b} e_d / e_b (R - p_b) - 1{d} (R - p_d) given the past is its effect on a
    decision (doubly robust). Rows count where both had a chance.
    """
    spreads = {metric: _spreads(drawn, metric) for metric in METRICS}
    wanted = [(name, drawn.cells.index(name)) for name in cells if name in drawn.cells]
    number = len(drawn.cells)
    for d in range(len(drawn.names)):
        for b in range(len(drawn.names)):
            if d != b:
                yield from _pair(drawn, (d, b), spreads, [("", -1), *wanted], number)


def _pair(
    drawn: Drawn,
    pair: tuple[int, int],
    spreads: Mapping[str, Floats],
    wanted: list[tuple[str, int]],
    number: int,
) -> Iterator[Swap]:
    d, b = pair
    e_d, e_b = drawn.propensities[:, d], drawn.propensities[:, b]
    both = (e_d > 0.0) & (e_b > 0.0)
    if not both.any():
        return
    at_d, at_b = both & (drawn.drawn == d), both & (drawn.drawn == b)
    ratio = np.where(at_b, e_d / np.where(e_b > 0.0, e_b, 1.0), 0.0)
    squares = np.where(both, (e_d + e_b) ** 2 / np.where(both, e_b, 1.0) - e_d - e_b + 1.0, 0.0)
    footing = _Sums(drawn.cell, number)
    rows, mass = footing.of(both), footing.of(e_d * both)
    promised, one, two = footing.of(squares), footing.of(ratio), footing.of(ratio**2)
    whole, whole2 = footing.of(both + ratio - at_d), footing.of((both + ratio - at_d) ** 2)
    draws = (footing.of(at_d), footing.of(at_b))
    spent = footing.of(np.where(at_d, np.nan_to_num(drawn.values[COST]), 0.0))
    greatest = float(ratio.max(initial=0.0))
    found = {metric: _terms(drawn, metric, pair, (at_d, at_b, both, ratio), spreads[metric])
             for metric in METRICS}  # fmt: skip
    sums = {metric: [footing.of(each) for each in told] for metric, told in found.items()}
    for name, at in wanted:
        if rows[at] < 2:
            continue
        ess = one[at] ** 2 / two[at] if two[at] > 0 else 0.0
        share = min(
            whole[at] ** 2 / max(whole2[at], 1e-300), rows[at] ** 2 / max(promised[at], rows[at])
        )
        refused = _refusal(
            (float(rows[at]), float(share)),
            (float(draws[0][at]), float(draws[1][at])),
            float(ess),
            greatest,
        )
        changes = {metric: _estimate([float(each[at]) for each in told], float(rows[at]))
                   for metric, told in sums.items()}  # fmt: skip
        known = {metric: each for metric, each in changes.items() if each is not None}
        yield Swap(
            drawn.task, name, drawn.names[d], drawn.names[b], float(mass[at]), float(spent[at]),
            float(ess), known, refused,
        )  # fmt: skip


class _Sums:
    """Sums by cell, the last of them over all."""

    def __init__(self, cell: Longs, number: int) -> None:
        self._cell, self._number = cell, number

    def of(self, values: NDArray[np.generic]) -> Floats:
        """[number + 1]."""
        weights = np.asarray(values, dtype=np.float64)
        told = np.bincount(self._cell, weights=weights, minlength=self._number)
        return np.append(told, weights.sum())


def _terms(
    drawn: Drawn,
    metric: str,
    pair: tuple[int, int],
    chances: tuple[Bools, Bools, Bools, Floats],
    spread: Floats,
) -> tuple[NDArray[Any], ...]:
    """Of each row: whether it is measured, the term, its square, the variance it must have, and
    whether an arm of the two was drawn and measured.
    """
    d, b = pair
    at_d, at_b, both, ratio = chances
    values = drawn.values[metric]
    told = both & np.isfinite(values)
    p_d, p_b = (foretold(drawn, metric, at) for at in pair)
    r = np.where(told, values, 0.0)
    e_d, e_b = drawn.propensities[:, d], drawn.propensities[:, b]
    terms = e_d * (p_b - p_d) + ratio * (r - p_b) - at_d * (r - p_d)
    terms = np.where(told, terms, 0.0)
    held = np.where(told, e_d * spread[d] + e_d**2 / np.where(both, e_b, 1.0) * spread[b], 0.0)
    return told.astype(np.float64), terms, terms**2, held, (told & at_d) * 1.0, (told & at_b) * 1.0


def foretold(drawn: Drawn, metric: str, at: int) -> Floats:
    """What was foretold of a deployment, 0 where nothing was: less precise, as valid."""
    given: Floats = np.nan_to_num(drawn.foretold[metric][:, at], nan=0.0, posinf=0.0, neginf=0.0)
    return given


def _estimate(sums: list[float], rows: float) -> Estimate | None:
    count, total, squares, held, of_d, of_b = sums
    if count < 2 or min(of_d, of_b) < LEAST_DRAWS:
        return None
    mean = total / count
    variance = max((squares - count * mean**2) / (count - 1.0), held / count)
    return Estimate(rows * mean, rows * math.sqrt(max(variance, 0.0) / count), int(count))


def _spreads(drawn: Drawn, metric: str) -> Floats:
    """Each deployment's mean squared residual [K], shrunk towards that of all."""
    number, values = len(drawn.names), drawn.values[metric]
    at = np.nan_to_num(drawn.foretold[metric][np.arange(len(drawn)), drawn.drawn], posinf=0.0)
    known = np.isfinite(values)
    squares = (values[known] - at[known]) ** 2
    if not len(squares):
        return np.zeros(number)
    arm = drawn.drawn[known]
    count = np.bincount(arm, minlength=number)
    total = np.bincount(arm, weights=squares, minlength=number)
    own: Floats = (SHRUNK * squares.mean() + total) / (SHRUNK + count)
    return own


def _refusal(
    size: tuple[float, float], draws: tuple[float, float], ess: float, greatest: float
) -> CannotSay | None:
    rows, whole = size
    if min(draws) < LEAST_DRAWS:
        return CannotSay(f"{LEAST_DRAWS} draws of both are needed, one has {min(draws):.0f}")
    needed = max(LIMITS.least_ess, LIMITS.least_ess_share * rows)
    if whole < needed:
        return CannotSay(f"an effective sample of {needed:.0f} is needed, it is {whole:.0f}")
    if ess < LEAST_DRAWS:
        return CannotSay(f"{LEAST_DRAWS} effective draws of the other are needed, it has {ess:.0f}")
    if greatest > LIMITS.greatest_weight:
        return CannotSay(f"a row weighs {greatest:.4g}, {LIMITS.greatest_weight:g} is allowed")
    return None
