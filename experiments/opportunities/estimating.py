"""What changes would have saved together and one by one, in micro-dollars that add up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.errors import CannotSay
from experiments.opportunities.by_day import ALPHA, by_day, part_of
from experiments.opportunities.changes import Batch, Cache, Cap, Change, Price, Skip, Tier, in_order
from experiments.opportunities.checking import skipped
from experiments.opportunities.replaying import batched, hits, patient, refused, repriced
from experiments.opportunities.tiering import tiered
from experiments.opportunities.traffic import DAY_US, Bools, Traffic
from experiments.statistics.inputs import Floats, Ints
from experiments.statistics.moments import Interval


@dataclass(frozen=True, slots=True)
class Estimated:
    """A change. ``saved_micro_usd``: of the span, what it takes off what those before it left;
    ``saved``: with its interval, for days like these with the same spend. ``share``: of the
    requests it is about (checks, for skipping) those that it touches, and of their money,
    ``value_share`` (None: all of it). ``quality``: the change of a rated answer, of a tier.
    ``risk``: answers' worth of quality that may be lost, at worst by its interval; None: it cannot
    be said. ``assumes``: what the figure stands on beside the log.
    """

    change: Change
    saved_micro_usd: int
    saved: Interval | CannotSay
    touched: int
    share: Interval | CannotSay
    value_share: Interval | CannotSay | None
    quality: Interval | CannotSay | None
    risk: float | None
    assumes: str
    refusal: CannotSay | None = None


@dataclass(frozen=True, slots=True)
class Joint:
    """Several changes in their order: ``before`` less the parts is ``after``, to the micro-dollar.

    ``spent`` is of the requests and ``checked`` of judgings; both make ``before``.
    """

    spent_micro_usd: int
    checked_micro_usd: int
    parts: tuple[Estimated, ...]
    saved: Interval | CannotSay
    days: int

    @property
    def before_micro_usd(self) -> int:
        """What was paid."""
        return self.spent_micro_usd + self.checked_micro_usd

    @property
    def saved_micro_usd(self) -> int:
        """The sum of the parts."""
        return sum(each.saved_micro_usd for each in self.parts)

    @property
    def after_micro_usd(self) -> int:
        """What would have been paid."""
        return self.before_micro_usd - self.saved_micro_usd


@dataclass(slots=True, eq=False)
class _Bill:
    """What is left of the bill as changes are applied, and what they took, by day."""

    traffic: Traffic
    alpha: float
    of_tiers: float  # their alpha
    cost: Ints
    whole: Floats  # by day, as it was
    first: int
    days: int
    taken: Floats  # by day, of all changes so far
    variance: float = 0.0  # of what was drawn

    def daily(self, at_us: Ints, amounts: Ints) -> Floats:
        """Sums by day."""
        return by_day(at_us // DAY_US, amounts.astype(np.float64), self.first, self.days)

    def take(
        self, at_us: Ints, amounts: Ints, error: float = 0.0, alpha: float | None = None
    ) -> Interval | CannotSay:
        """Count what a change takes; its interval."""
        sums = self.daily(at_us, amounts)
        self.taken = self.taken + sums
        self.variance += error**2
        return part_of(sums, self.whole, self.alpha if alpha is None else alpha, error)


def together(
    traffic: Traffic, changes: Sequence[Change], alpha: float = ALPHA, of_tiers: float | None = None
) -> Joint:
    """Apply changes in the order of ORDER, each to what those before it left, so that nothing is
    saved twice. One that cannot be said takes nothing and says why. ``of_tiers``: the alpha of
    tiers, and of a sum with one in it, where they were chosen by the same history.
    """
    bill = _open(traffic, alpha, alpha if of_tiers is None else of_tiers)
    parts = tuple(_applied(bill, each) for each in in_order(changes))
    at = bill.of_tiers if any(isinstance(each, Tier) for each in changes) else alpha
    whole = part_of(bill.taken, bill.whole, at, math.sqrt(bill.variance))
    refused_parts = [each.refusal for each in parts if each.refusal is not None]
    if len(refused_parts) == len(parts):
        whole = refused_parts[0] if refused_parts else CannotSay("no change was given")
    spent, checked = int(traffic.cost.sum()), int(traffic.checks.cost.sum())
    return Joint(spent, checked, parts, whole, bill.days)


def alone(traffic: Traffic, change: Change, alpha: float = ALPHA) -> Estimated:
    """One change, on the bill as it was."""
    return together(traffic, (change,), alpha).parts[0]


def _open(traffic: Traffic, alpha: float, of_tiers: float) -> _Bill:
    every = np.concatenate([traffic.at_us, traffic.checks.at_us]) // DAY_US
    first = int(every.min()) if len(every) else 0
    days = int(every.max()) - first + 1 if len(every) else 0
    none = np.zeros(days)
    bill = _Bill(traffic, alpha, of_tiers, traffic.cost.copy(), none, first, days, none)
    bill.whole = bill.daily(traffic.at_us, traffic.cost)
    bill.whole = bill.whole + bill.daily(traffic.checks.at_us, traffic.checks.cost)
    return bill


def _applied(bill: _Bill, change: Change) -> Estimated:
    if isinstance(change, Cache):
        return _cached(bill, change)
    if isinstance(change, Batch):
        return _batched(bill, change)
    if isinstance(change, Skip):
        return _skipped(bill, change)
    if isinstance(change, Price):
        return _repriced(bill, change)
    if isinstance(change, Cap):
        return _capped(bill, change)
    made = tiered(bill.traffic, bill.cost, change, bill.of_tiers)
    if isinstance(made, CannotSay):
        return _unsaid(change, made)
    at_us = _draw_times(bill.traffic)[made.draws]
    saved = bill.take(at_us, made.saved, made.error, bill.of_tiers)
    worst = None
    if isinstance(made.quality, Interval):
        worst = max(0.0, -made.quality.low) * made.requests
    mine = bill.traffic.of_task(change.task)
    return Estimated(
        change, int(made.saved.sum()), saved, made.requests,
        _share(bill, mine, (bill.traffic.draw >= 0) & mine), None,
        made.quality, worst,
        f"off policy, by {made.ess:,.0f} effective draws; each draw with what its session held; "
        "pinned and forced requests stay; rated answers speak for the others",
    )  # fmt: skip


def _draw_times(traffic: Traffic) -> Ints:
    """When each draw was made, [draws]: its own request's time."""
    times = np.zeros(len(traffic.draws), dtype=np.int64)
    own = (traffic.draw >= 0) & ~traffic.held
    times[traffic.draw[own]] = traffic.at_us[own]
    return times


def _cached(bill: _Bill, change: Cache) -> Estimated:
    mine, found = bill.traffic.of_task(change.task), hits(bill.traffic, change)
    paid = np.where(mine, bill.cost, 0)
    amounts = np.where(found, bill.cost, 0)
    at_us = bill.traffic.at_us
    value = part_of(bill.daily(at_us, amounts), bill.daily(at_us, paid), bill.alpha)
    shares = _share(bill, mine, found)
    refusal = None if found.any() else CannotSay(
        f"no request of it came again within {change.ttl_s / 3_600.0:g} h"
    )  # fmt: skip
    saved = bill.take(at_us, amounts)
    bill.cost = bill.cost - amounts
    return Estimated(
        change, int(amounts.sum()), saved, int(found.sum()) * bill.traffic.one_in, shares,
        _scaled(value, float(paid.sum())), None, 0.0,
        "alike by prompt, tenant (or key) and limit of the answer. Temperature, tools and other "
        "parameters are not in the log and count as permitted: it is the most that a cache would "
        "save; nothing is evicted; how stale an answer gets is not known",
        refusal,
    )  # fmt: skip


def _batched(bill: _Bill, change: Batch) -> Estimated:
    rows = patient(bill.traffic, change)
    if isinstance(rows, CannotSay):
        return _unsaid(change, rows)
    mine = bill.traffic.of_task(change.task)
    paid, amounts = np.where(mine, bill.cost, 0), batched(bill.cost, rows, change.factor)
    at_us = bill.traffic.at_us
    reached = np.where(rows, bill.cost, 0)
    value = part_of(bill.daily(at_us, reached), bill.daily(at_us, paid), bill.alpha)
    saved = bill.take(at_us, amounts)
    bill.cost = bill.cost - amounts
    return Estimated(
        change, int(amounts.sum()), saved, int(rows.sum()) * bill.traffic.one_in,
        _share(bill, mine, rows),
        _scaled(value, float(paid.sum())), None, 0.0,
        f"that providers take {change.factor:g} of the price in a batch, that all of the marked "
        f"requests may wait {change.window_s / 3600.0:g} h, and that none has to be called anew at "
        "the full price; deadlines of requests are not in the log",
    )  # fmt: skip


def _skipped(bill: _Bill, change: Skip) -> Estimated:
    checks = bill.traffic.checks
    made = skipped(checks, change, bill.alpha)
    if isinstance(made, CannotSay):
        return _unsaid(change, made)
    mine = np.ones(len(checks), bool) if change.task == "*" else checks.task == change.task
    over = made.saved > 0
    count = part_of(
        bill.daily(checks.at_us, over.astype(np.int64)),
        bill.daily(checks.at_us, mine.astype(np.int64)), bill.alpha,
    )  # fmt: skip
    saved = bill.take(checks.at_us, made.saved)
    return Estimated(
        change, int(made.saved.sum()), saved, made.skipped, _scaled(count, float(mine.sum())),
        None, None, made.missed.high,
        f"of the skipped answers the judge found {made.share.estimate:.1%} [{made.share.low:.1%} "
        f"to {made.share.high:.1%}] bad; what a judge overlooks is overlooked here too",
    )  # fmt: skip


def _repriced(bill: _Bill, change: Price) -> Estimated:
    amounts = repriced(bill.traffic, change)
    if isinstance(amounts, CannotSay):
        return _unsaid(change, amounts)
    every = np.ones(len(bill.traffic), bool)
    touched = amounts != 0
    saved = bill.take(bill.traffic.at_us, amounts)
    bill.cost = bill.cost - amounts
    return Estimated(
        change, int(amounts.sum()), saved, int(touched.sum()) * bill.traffic.one_in,
        _share(bill, every, touched),
        None, None, 0.0,
        "that the same calls are made; the policy would move its shares to what is cheaper",
    )  # fmt: skip


def _capped(bill: _Bill, change: Cap) -> Estimated:
    rows = refused(bill.traffic, bill.cost, change)
    amounts = np.where(rows, bill.cost, 0)
    saved = bill.take(bill.traffic.at_us, amounts)
    bill.cost = bill.cost - amounts
    number = int(rows.sum()) * bill.traffic.one_in
    return Estimated(
        change, int(amounts.sum()), saved, number,
        _share(bill, np.ones(len(rows), bool), rows), None, None,
        float(number),
        "that what is refused is not asked again in the next period; periods are UTC; calls that "
        "are under way reserve nothing here. A refused request is lost whole: that is the risk",
    )  # fmt: skip


def _share(bill: _Bill, of: Bools, touched: Bools) -> Interval | CannotSay:
    at_us = bill.traffic.at_us
    found = part_of(
        bill.daily(at_us, touched.astype(np.int64)), bill.daily(at_us, of.astype(np.int64)),
        bill.alpha,
    )  # fmt: skip
    return _scaled(found, float(of.sum()))


def _scaled(found: Interval | CannotSay, whole: float) -> Interval | CannotSay:
    """A sum as a part of the whole, in [0, 1]."""
    if isinstance(found, CannotSay):
        return found
    return Interval(
        found.estimate / whole, max(0.0, found.low / whole), min(1.0, found.high / whole)
    )


def _unsaid(change: Change, why: CannotSay) -> Estimated:
    return Estimated(change, 0, why, 0, why, why, None, None, "", why)
