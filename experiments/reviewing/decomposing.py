"""A change told as its parts: volume, mix and what changed within, exactly additive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.reviewing.finding import Finding, Table, usd
from experiments.reviewing.moving import pairs_of
from experiments.statistics.moments import Interval

Floats = NDArray[np.float64]
WEEK = 7
NAMED = 3  # groups in words


@dataclass(frozen=True, slots=True)
class Part:
    """A group's contribution: by having more or less of the whole, and by its own figure."""

    group: str
    mix: float
    within: float


@dataclass(frozen=True, slots=True)
class Decomposition:
    """``change`` = ``volume`` + ``mix`` + ``within``, the last two the sums over ``parts``."""

    before: float
    now: float
    volume: float
    mix: float
    within: float
    parts: tuple[Part, ...]

    @property
    def change(self) -> float:
        """All of it."""
        return self.now - self.before


def decompose(before: tuple[Floats, Floats], now: tuple[Floats, Floats],
              groups: Sequence[str]) -> Decomposition:  # fmt: skip
    """A total of each period from its groups' counts and sums, both [G].

    With shares s, rates r and means of both periods barred (Marshall and Edgeworth): the mean
    changes by sum (s1 - s0)(r_bar - R) + s_bar (r1 - r0), R the mean of both overall rates: a
    group's mix counts by how it differs from the whole. Where a group was there in one period
    only, its rate is taken as the same in the other: all of it is mix.
    """
    (n0, t0), (n1, t1) = before, now
    whole0, whole1 = float(n0.sum()), float(n1.sum())
    total0, total1 = float(t0.sum()), float(t1.sum())
    rate0 = total0 / whole0 if whole0 else 0.0
    rate1 = total1 / whole1 if whole1 else rate0
    rate0 = rate0 if whole0 else rate1
    with np.errstate(divide="ignore", invalid="ignore"):
        r0, r1 = np.where(n0 > 0, t0 / n0, np.nan), np.where(n1 > 0, t1 / n1, np.nan)
    r0, r1 = np.where(np.isnan(r0), r1, r0), np.where(np.isnan(r1), r0, r1)
    r0, r1 = np.nan_to_num(r0), np.nan_to_num(r1)
    s0 = n0 / whole0 if whole0 else n1 / max(whole1, 1.0)
    s1 = n1 / whole1 if whole1 else s0
    mix = whole1 * (s1 - s0) * ((r0 + r1) / 2.0 - (rate0 + rate1) / 2.0)
    within = whole1 * (s0 + s1) / 2.0 * (r1 - r0)
    parts = tuple(
        Part(group, float(one), float(two))
        for group, one, two in zip(groups, mix, within, strict=True)
    )
    volume = (whole1 - whole0) * rate0
    return Decomposition(total0, total1, volume, float(mix.sum()), float(within.sum()), parts)


def of_week(days: Table, last_day: int, total: str, count: str, weeks: int = 4) -> Decomposition:
    """A sum of the week against the mean week before, by task and deployment.

    Only weekdays that the week has are taken of the weeks before, scaled to as many days.
    """
    groups, place = np.unique(pairs_of(days), return_inverse=True)
    day = days["day"].astype(np.int64)
    current = (day > last_day - WEEK) & (day <= last_day)
    earlier = (day > last_day - WEEK * (weeks + 1)) & (day <= last_day - WEEK)
    open_days = day[current & (days.number("requests") > 0)]
    earlier &= np.isin(day % WEEK, open_days % WEEK)
    seen = [
        len(np.unique(day[rows & (days.number("requests") > 0)])) for rows in (earlier, current)
    ]
    scale = seen[1] / seen[0] if seen[0] else 0.0

    def sums(name: str, rows: NDArray[np.bool_]) -> Floats:
        values = np.nan_to_num(days.number(name))
        told = np.bincount(place, weights=values * rows, minlength=len(groups))
        return told.astype(np.float64)

    return decompose(
        (sums(count, earlier) * scale, sums(total, earlier) * scale),
        (sums(count, current), sums(total, current)),
        [str(each) for each in groups],
    )


def as_finding(found: Decomposition, sql: str) -> Finding:
    """The change of spend in words."""
    lead = sorted(found.parts, key=lambda each: (-abs(each.mix + each.within), each.group))[:NAMED]
    named = "; ".join(
        f"{each.group} {_signed(each.mix)} by mix, {_signed(each.within)} within" for each in lead
    )
    words = (
        f"spend went from {usd(found.before)} to {usd(found.now)}: {_signed(found.volume)} by "
        f"volume, {_signed(found.mix)} by mix, {_signed(found.within)} within groups (their sum is "
        f"the change). Most of it: {named}"
    )
    money = Interval(found.change, found.change, found.change)
    return Finding(
        "moved", "spend-decomposed", "What the change of spend is made of", words, money, None, sql,
        "ask the policy about mix, and the provider or the prompts about what changed within",
    )  # fmt: skip


def _signed(amount: float) -> str:
    return f"{'+' if amount >= 0 else ''}{usd(amount)}"
