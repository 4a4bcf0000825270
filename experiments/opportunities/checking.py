"""What checks that are skipped by a foreseen chance would have saved, and what they would miss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from experiments.errors import CannotSay
from experiments.opportunities.changes import Skip
from experiments.opportunities.traffic import Checks
from experiments.statistics.inputs import Ints
from experiments.statistics.moments import Interval

LEAST_READ = 30


@dataclass(frozen=True, slots=True, eq=False)
class Skipped:
    """``saved`` [c] micro-dollars a judging; ``missed``: bad answers that nobody would have seen;
    ``share``: the part of skipped answers that the judge found bad.
    """

    saved: Ints
    skipped: int
    missed: Interval
    share: Interval


def skipped(checks: Checks, change: Skip, alpha: float) -> Skipped | CannotSay:
    """The judgings of answers whose chance was at least ``above``, less the audited part.

    The share of bad ones is of the judged answers themselves, each by the lot that drew it, so
    with equal weights where the probabilities are alike, else by 1 / probability; its interval is
    Clopper and Pearson's (1934), at the effective number where weights differ. A judge that
    overlooks a fault is overlooked here too.
    """
    mine = np.ones(len(checks), bool) if change.task == "*" else checks.task == change.task
    if not mine.any():
        return CannotSay("no answer of it was judged, so there is no check to skip")
    known = mine & np.isfinite(checks.chance)
    if not known.any():
        return CannotSay("no judged answer of it has a foreseen chance: turn prediction on")
    over = known & (checks.chance >= change.above)
    read = over & np.isfinite(checks.value)
    if int(read.sum()) < LEAST_READ:
        return CannotSay(
            f"{LEAST_READ} judged answers with a chance of {change.above:g} or more are needed, "
            f"there are {int(read.sum())}"
        )
    weights = 1.0 / checks.probability[read]
    bad = checks.value[read] < change.acceptable
    number = float(weights.sum()) ** 2 / float((weights**2).sum())
    rate = float((weights * bad).sum() / weights.sum())
    count = rate * number
    low = float(stats.beta.ppf(alpha / 2.0, count, number - count + 1.0)) if count > 0.0 else 0.0
    high = 1.0
    if count < number:
        high = float(stats.beta.ppf(1.0 - alpha / 2.0, count + 1.0, number - count))
    kept = round(change.audit * 1e6)
    audited = (checks.cost * kept + 500_000) // 1_000_000
    saved = np.where(over, checks.cost - audited, 0).astype(np.int64)
    left = int(over.sum()) * (1.0 - change.audit)
    return Skipped(
        saved, int(over.sum()), Interval(rate * left, low * left, high * left),
        Interval(rate, low, high),
    )  # fmt: skip
