"""What prediction costs and what it brings, in dollars, with intervals; and when it loses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from experiments.errors import CannotSay
from experiments.statistics.mean_sequences import AsymptoticSequence
from experiments.statistics.moments import Interval, Moments
from service.storage.predictions import Used

HOUR_S = 3_600.0
SEQUENCE = AsymptoticSequence(alpha=0.05, best_at=4_000.0)


@dataclass(frozen=True, slots=True)
class Prices:
    """``cpu_usd_per_hour``: of CPU time; ``worth_usd``: of a point of quality; ``check_usd``: of a
    check, None where none was measured yet; ``after``: predictions before it may be called a loss.
    """

    cpu_usd_per_hour: float
    worth_usd: float
    check_usd: float | None
    after: int


@dataclass(frozen=True, slots=True)
class Worth:
    """Dollars over the time that was counted. ``checks_usd``: all checks that were not needed;
    ``audits_usd``: those that were made all the same, by lot; ``gained``: by what was done before
    the draw, None where it cannot be said (``unsaid`` says why); ``net``: of all. ``loses``: the
    whole interval lies below zero.
    """

    predictions: int
    cpu_s: float
    cpu_usd: float
    refit_s: float
    refit_usd: float
    skipped: int
    audited: int
    checks_usd: float
    audits_usd: float
    acted: int
    compared: tuple[int, int]
    gained: Interval | None
    unsaid: str
    net: Interval
    loses: bool


def worth(used: Used, seconds_each: float, prices: Prices, acts: bool) -> Worth:
    """From what was counted. ``acts``: whether anything is done before the draw.

    What would have been done was held out by lot, so the value of the two (quality at its worth
    less cost) is compared as in an experiment, by a sequence that holds at any look. What is saved
    by skipping is what a check costs, times the skips. Only rated answers can be compared.
    """
    an_hour = prices.cpu_usd_per_hour / HOUR_S
    cpu_s = used.predictions * seconds_each
    check = prices.check_usd or 0.0
    checks_usd, audits_usd = (used.skipped + used.audited) * check, used.audited * check
    sure = checks_usd - audits_usd - (cpu_s + used.refit_s) * an_hour
    gained, unsaid = None, ""
    if acts and used.acted:
        told = _gain(used, prices.worth_usd)
        if isinstance(told, CannotSay):
            unsaid = str(told)
        else:
            gained = told
    if unsaid:
        net = Interval(math.nan, -math.inf, math.inf)
    else:
        more = gained or Interval(0.0, 0.0, 0.0)
        net = Interval(sure + more.estimate, sure + more.low, sure + more.high)
    return Worth(
        used.predictions, cpu_s, cpu_s * an_hour, used.refit_s, used.refit_s * an_hour,
        used.skipped, used.audited, checks_usd, audits_usd, used.acted,
        (int(used.treated.sum()), int((~used.treated).sum())), gained, unsaid, net,
        used.predictions >= prices.after and net.high < 0.0,
    )  # fmt: skip


def _gain(used: Used, worth_usd: float) -> Interval | CannotSay:
    """Of all that were moved, by the difference of those that were rated."""
    value = worth_usd * used.quality - used.cost_usd
    treated = used.treated
    if not treated.any() or treated.all():
        return CannotSay("nothing was held out and rated yet to compare with")
    found = SEQUENCE.of_difference(
        Moments.of(np.asarray(value[treated])), Moments.of(np.asarray(value[~treated]))
    )
    if isinstance(found, CannotSay):
        return found
    n = used.acted
    return Interval(n * found.estimate, n * found.low, n * found.high)
