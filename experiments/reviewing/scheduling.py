"""A month of experiments in one layer, without collisions: how long, how large, from which day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.design import BUCKETS
from experiments.errors import CannotSay
from experiments.statistics import power

SHARES = (0.25, 0.5, 1.0)  # of the layer: the least that ends in time is taken
TARGET = 14  # days in which an experiment ends, if it can
LEAST_DAYS = 7  # a whole week, so that each weekday is in it


@dataclass(frozen=True, slots=True)
class Traffic:
    """Units a day, how many of them are rated, and of a unit's cost and rating mean and sd."""

    units_a_day: float
    rated_share: float
    cost: tuple[float, float]
    quality: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Held:
    """Buckets of the layer that are taken, by whom, and over which days (both in it)."""

    by: str
    first: int
    stop: int
    from_day: int
    to_day: int


@dataclass(frozen=True, slots=True)
class Sized:
    """Days that the first goal takes at each share, and what else can be shown by then."""

    effect: float
    days: tuple[float | CannotSay, ...]


def sized(effect: float, traffic: Traffic, goals: int = 2) -> Sized | CannotSay:
    """Days to show a relative change of cost a request, at every look, 80 % power, by share of the
    layer. Units are taken to vary as requests do: rather too many than too few.
    """
    mean, sd = traffic.cost
    if mean <= 0.0 or sd <= 0.0:
        return CannotSay("what a request costs, and how it varies, is not known")
    asked = power.Comparison(alpha=0.05 / goals, sequential=True)
    needed = power.sizes_for(effect * mean, sd, asked)
    days = tuple(
        power.days(needed, power.Sizes(0, 0), power.Traffic(traffic.units_a_day, share), 0.5)
        for share in SHARES
    )
    return Sized(effect, days)


def shown_in(days: float, share: float, traffic: Traffic) -> float | CannotSay:
    """The change of quality that so many days show."""
    rated = int(days * traffic.units_a_day * share * traffic.rated_share / 2.0)
    if rated < 1 or traffic.quality[1] <= 0.0:
        return CannotSay("too few ratings")
    return power.detectable(
        traffic.quality[1], power.Sizes(rated, rated), power.Comparison(0.025, sequential=True)
    )


def placed(found: Sized, held: Sequence[Held], last_day: int) -> tuple[Held, float] | CannotSay:
    """The first free place: the least share that ends within ``TARGET`` days, else all of it."""
    why = CannotSay(f"it does not end within the {last_day} days of the month")
    for share, days in zip(SHARES, found.days, strict=True):
        if isinstance(days, CannotSay):
            return days
        length = max(LEAST_DAYS, int(-(-days // 1)))
        if length > (TARGET if share < 1.0 else last_day):
            continue
        wanted = round(share * BUCKETS)
        for start in range(1, last_day - length + 2):
            first = _free(held, wanted, start, start + length - 1)
            if first is not None:
                return Held("", first, first + wanted, start, start + length - 1), share
        why = CannotSay(f"the layer has no {share:.0%} free for {length} days in the month")
    return why


def _free(held: Sequence[Held], wanted: int, start: int, end: int) -> int | None:
    """Where buckets of one piece are free on all those days."""
    at = 0
    met = [each for each in held if each.from_day <= end and each.to_day >= start]
    for each in sorted(met, key=lambda one: one.first):
        if each.first - at >= wanted:
            return at
        at = max(at, each.stop)
    return at if at + wanted <= BUCKETS else None
