"""What was found of each metric: better, worse, no difference yet, or not enough data yet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from experiments.comparing import Beside, Estimate, Looks
from experiments.errors import CannotSay
from experiments.metrics import Direction, Role
from experiments.statistics import power
from experiments.statistics.mean_sequences import BURN_IN
from experiments.statistics.moments import Interval
from experiments.switchback import Blocks, least_pairs


class Finding(StrEnum):
    """What can be said of a metric."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference yet"
    NOT_ENOUGH = "not enough data yet"


@dataclass(frozen=True, slots=True)
class Counts:
    """Of control and treatment: units with a measured row, all rows, and the measured ones."""

    units: tuple[int, int]
    rows: tuple[int, int]
    measured: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Subject:
    """Which metric of which treatment, as what it was asked, and which way is better."""

    metric: str
    role: Role
    treatment: str
    better: Direction
    counts: Counts


@dataclass(frozen=True, slots=True)
class Pace:
    """What a prognosis is made of: ``effect``, the relative one that would matter; ``units_a_day``
    of both arms with the metric; the treatment's share of both; the level and the power asked.
    ``blocks`` where these are the units.
    """

    effect: float
    units_a_day: float
    asked: power.Comparison
    blocks: Blocks | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """A metric of a treatment against the control.

    ``effect`` and ``relative`` hold together over all goals and treatments; the finding is by
    ``adjusted_p`` (Holm's steps), which may see a little more than they do. ``log_e``: None
    where there is no evidence for every look. ``days``: until an effect as large as matters would
    be shown at today's traffic, None where that cannot be said.
    """

    metric: str
    role: Role
    treatment: str
    better: Direction
    finding: Finding
    counts: Counts
    means: tuple[float, float] | None
    effect: Interval | None
    relative: Interval | None
    log_e: float | None
    p_value: float | None
    adjusted_p: float | None
    level: float
    looks: Looks
    days: float | None
    beside: tuple[Beside, ...]
    notes: tuple[str, ...]
    words: str


def compared(
    subject: Subject, found: Estimate | CannotSay, adjusted: float, level: float, pace: Pace
) -> Compared:
    """The finding with its words; ``adjusted``: the p-value, compared with ``level``."""
    days = days_left(subject.counts.units, found, pace)
    looks = Looks.ONE if pace.blocks is not None else Looks.ANY
    left = days if isinstance(days, float) else None
    about = (subject.metric, subject.role, subject.treatment, subject.better)
    name = f"{subject.metric} of {subject.treatment}"
    if isinstance(found, CannotSay):
        words = f"{name}: {Finding.NOT_ENOUGH}: {found}; {_wait(days, 'at least ')}"
        return Compared(
            *about, Finding.NOT_ENOUGH, subject.counts, None, None, None, None, None, None, level,
            looks, left, (), (), words,
        )  # fmt: skip
    finding = Finding.NO_DIFFERENCE
    if adjusted <= level and found.effect.estimate != 0.0:
        good = found.effect.estimate * subject.better.sign > 0.0
        finding = Finding.BETTER if good else Finding.WORSE
    shown = _shown(found)
    words = f"{name}: {finding}: {shown}, p {adjusted:.2g}, for {found.looks}"
    if finding is Finding.NO_DIFFERENCE:
        words += f"; for {pace.effect:.1%} {_wait(days, '')}"
    return Compared(
        *about, finding, subject.counts, (found.control, found.treatment), found.effect,
        found.relative, found.log_e, found.p_value, adjusted, level, found.looks, left,
        found.beside, found.notes, words,
    )  # fmt: skip


def days_left(units: tuple[int, int], found: Estimate | CannotSay, pace: Pace) -> float | CannotSay:
    """Days until the effect that matters would be shown; while nothing is known of the metric's
    spread, until the least that anything can be said of.
    """
    needed = _needed(found, pace)
    if isinstance(needed, CannotSay):
        return needed
    if pace.blocks is not None:
        lacking = max(0, needed.control - units[0])
        return lacking * 2.0 * pace.blocks.length_s / 86_400.0
    seen, traffic = power.Sizes(*units), power.Traffic(pace.units_a_day)
    days = power.days(needed, seen, traffic, pace.asked.treatment_share)
    if isinstance(found, CannotSay) and days == 0.0:
        return CannotSay("the units are there, what they must show is rare")
    return days


def _needed(found: Estimate | CannotSay, pace: Pace) -> power.Sizes | CannotSay:
    if isinstance(found, CannotSay):
        least = BURN_IN if pace.blocks is None else least_pairs(pace.asked.alpha)
        return power.Sizes(least, least)
    if found.sd is None or found.sd <= 0.0:
        return CannotSay("the spread of a unit is not known yet")
    if found.control == 0.0:
        return CannotSay("the control's mean is 0, so no relative effect can be planned for")
    return power.sizes_for(pace.effect * abs(found.control), found.sd, pace.asked)


def _wait(days: float | CannotSay, least: str) -> str:
    if isinstance(days, CannotSay):
        return f"how long it takes cannot be said: {days}"
    if days <= 0.0:
        return "all the units that it takes are there"
    return f"{least}{_amount(days)} more at today's traffic"


def _amount(days: float) -> str:
    if days < 1.0 / 24.0:
        return "less than an hour"
    return f"{days * 24.0:.1f} hours" if days < 2.0 else f"{days:.1f} days"


def _shown(found: Estimate) -> str:
    if found.relative is None:
        gap = found.effect
        return f"{gap.estimate:+.4g} ({_edge(gap.low, '.4g')} to {_edge(gap.high, '.4g')})"
    gap = found.relative
    return f"{gap.estimate:+.1%} ({_edge(gap.low, '.1%')} to {_edge(gap.high, '.1%')})"


def _edge(bound: float, form: str) -> str:
    return f"{bound:+{form}}" if math.isfinite(bound) else "no bound"
