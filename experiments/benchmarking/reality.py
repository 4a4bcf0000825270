"""Design against reality: what the plan declares beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.benchmarking.verdicts import Shown, apart
from experiments.statistics.moments import Interval


@dataclass(frozen=True, slots=True)
class Declared:
    """What the plan says of a deployment. ``list_usd``: what its answers here cost by its list
    price and the tokens it used, a request; None where that is not known.
    """

    quality: float
    latency_s: float
    list_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    """One declared figure beside the measured one; ``off``: it lies outside the 95 % interval."""

    arm: str
    figure: str
    declared: float
    measured: Interval

    @property
    def off(self) -> bool:
        """Whether the measurement contradicts what was declared."""
        return not self.measured.low <= self.declared <= self.measured.high

    @property
    def better(self) -> bool:
        """Whether reality is better than the design, where it is off."""
        above = self.measured.estimate > self.declared
        return self.off and (above if self.figure == "quality" else not above)


@dataclass(frozen=True, slots=True)
class Dominated:
    """``arm`` is worse than ``by`` and dearer, both beyond their intervals, at a task."""

    arm: str
    by: str
    task: str | None
    quality: Interval  # by less arm: above 0
    cost_usd: Interval  # arm less by: above 0


def beside(found: Shown, declared: Mapping[str, Declared]) -> tuple[Beside, ...]:
    """Every declared figure that was measured."""
    told = []
    for each in found.measured:
        given = declared.get(each.arm)
        if given is None:
            continue
        for figure, value, interval in (
            ("quality", given.quality, each.quality),
            ("latency_s", given.latency_s, each.latency_s),
            ("cost_usd", given.list_usd, each.cost_usd),
        ):
            if value is not None and interval is not None:
                told.append(Beside(each.arm, figure, value, interval))
    return tuple(told)


def performers(told: Sequence[Beside]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who is better than the plan says in quality, and who is worse, beyond the interval."""
    quality = [each for each in told if each.figure == "quality" and each.off]
    over = tuple(each.arm for each in quality if each.better)
    return over, tuple(each.arm for each in quality if not each.better)


def dominated(found: Shown) -> tuple[Dominated, ...]:
    """Who is both worse and dearer than another; by the one that is best beside it."""
    told = []
    for each in found.measured:
        beaten = [
            Dominated(each.arm, other.arm, found.task, pair.quality, _minus(pair.cost_usd))
            for other in found.measured
            if other.arm != each.arm
            for pair in [found.pair(other.arm, each.arm)]
            if pair.quality is not None and pair.cost_usd is not None
            and apart(pair.quality) > 0 and apart(pair.cost_usd) < 0
        ]  # fmt: skip
        if beaten:
            told.append(max(beaten, key=lambda d: d.quality.estimate))
    return tuple(told)


def _minus(interval: Interval) -> Interval:
    return Interval(-interval.estimate, -interval.high, -interval.low)
