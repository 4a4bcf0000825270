"""Would other units of the same kind rank the treatments alike? A seeded bootstrap of units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experiments.errors import CannotSay, ExperimentError

RESAMPLES = 2_000
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Stability:
    """``order``: treatments (indices), best mean first. ``held``: the share of resamples in which
    the whole order was the same, strictly; ``first`` [K]: in which each stood first, shared evenly
    where several did; ``neighbours`` [K - 1]: in which each of the order stood above the next.
    """

    order: tuple[int, ...]
    held: float
    first: tuple[float, ...]
    neighbours: tuple[float, ...]
    resamples: int


def rank_stability(
    values: ArrayLike,
    seed: int,
    strata: ArrayLike | None = None,
    resamples: int = RESAMPLES,
) -> Stability | CannotSay:
    """How often the order by means holds when the units are drawn again (Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993).

    ``values`` [n, K]: larger is better; NaN where a unit lacks a treatment. ``strata`` [n]: units
    are drawn again within each (a task, say), so that the mix stays.
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2:
        raise ExperimentError(f"values has {table.ndim} dimensions: give an array of 2")
    count, arms = table.shape
    if count < 2 or arms < 2:
        return CannotSay(f"a ranking needs two units and two treatments: {count} and {arms}")
    there = np.isfinite(table)
    if not there.any(0).all():
        return CannotSay("a treatment has no values, so it cannot be ranked")
    weights = _weights(count, strata, resamples, np.random.default_rng(seed))
    seen = weights @ there
    means = (weights @ np.where(there, table, 0.0)) / np.where(seen > 0, seen, np.nan)
    means = means[np.isfinite(means).all(1)]
    overall = np.where(there, table, 0.0).sum(0) / there.sum(0)
    order = np.argsort(-overall, kind="stable")
    gaps = means[:, order[:-1]] - means[:, order[1:]]
    above = gaps > ROUNDING
    top = means >= means.max(1, keepdims=True) - ROUNDING
    first = (top / top.sum(1, keepdims=True)).mean(0)
    return Stability(
        tuple(int(each) for each in order),
        float(above.all(1).mean()),
        tuple(float(each) for each in first),
        tuple(float(each) for each in above.mean(0)),
        len(means),
    )


def _weights(
    count: int, strata: ArrayLike | None, resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """How often each unit is drawn in each resample [B, n]."""
    made = np.zeros((resamples, count))
    groups = np.zeros(count, np.int64)
    if strata is not None:
        groups = np.unique(np.asarray(strata), return_inverse=True)[1]
    for each in range(int(groups.max()) + 1):
        rows = np.flatnonzero(groups == each)
        chances = np.full(len(rows), 1.0 / len(rows))
        made[:, rows] = rng.multinomial(len(rows), chances, size=resamples)
    return made
