"""How far two judges agree beyond chance: Cohen's kappa and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from experiments.errors import CannotSay
from experiments.statistics.inputs import alike, level
from experiments.statistics.moments import Interval

LEAST_ITEMS = 20


def cohens_kappa(
    first: Sequence[str], second: Sequence[str], alpha: float = 0.05
) -> Interval | CannotSay:
    """Agreement of two who sorted the same items, 1 whole, 0 what their habits alone would give.

    kappa = (po - pe) / (1 - pe), po the share of items sorted alike and pe what the marginals
    expect (Cohen, Educational and Psychological Measurement 20, 1960); the large-sample variance is
    that of Fleiss, Cohen and Everitt (Psychological Bulletin 72, 1969, eq. 13), the quantile
    normal. Cannot say below ``LEAST_ITEMS`` items, or where both always say the same one thing.
    """
    alike({"first": len(first), "second": len(second)})
    if len(first) < LEAST_ITEMS:
        return CannotSay(f"{LEAST_ITEMS} items are needed, there are {len(first)}")
    names = sorted({*first, *second})
    table = np.zeros((len(names), len(names)))
    for one, two in zip(first, second, strict=True):
        table[names.index(one), names.index(two)] += 1.0
    p = table / table.sum()
    rows, columns = p.sum(1), p.sum(0)
    observed, expected = float(np.trace(p)), float(rows @ columns)
    if expected >= 1.0:
        return CannotSay("both say the same of every item: there is nothing to tell apart")
    kappa = (observed - expected) / (1.0 - expected)
    same = np.diag(p) * ((1.0 - expected) - (rows + columns) * (1.0 - observed)) ** 2
    unlike = p * (columns[:, None] + rows[None, :]) ** 2
    off = (1.0 - observed) ** 2 * (unlike.sum() - np.trace(unlike))
    less = (observed * expected - 2.0 * expected + observed) ** 2
    variance = (same.sum() + off - less) / (len(first) * (1.0 - expected) ** 4)
    reach = float(stats.norm.ppf(1.0 - level(alpha) / 2.0)) * math.sqrt(max(variance, 0.0))
    return Interval(kappa, kappa - reach, min(kappa + reach, 1.0))
