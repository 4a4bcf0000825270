"""Who is good at what: estimates with intervals, places with ties, what each is best used for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from experiments.errors import CannotSay
from experiments.statistics.fading_means import bounded_interval, positive_interval, share_interval

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval (95 %, at every look) and the evidence behind it (``n``, faded).

    ``mean`` None: unknown, which is no zero. ``low`` and ``high`` None: too little to say how wide.
    """

    n: float = 0.0
    mean: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def known(self) -> bool:
        """Whether there is a mean."""
        return self.mean is not None

    def surely_above(self, other: Estimate) -> bool:
        """Whether the intervals lie apart, this one above."""
        return self.low is not None and other.high is not None and self.low > other.high


UNKNOWN = Estimate()


def of_bounded(n: float, mean: float, variance: float) -> Estimate:
    """Of a mean of values in [0, 1]."""
    if n <= 0.0:
        return UNKNOWN
    found = bounded_interval(n, mean, variance, ALPHA)
    return Estimate(n, mean, found.low, found.high)


def of_share(n: float, mean: float) -> Estimate:
    """Of a share of yes among yes and no."""
    if n <= 0.0:
        return UNKNOWN
    found = share_interval(n, mean, ALPHA)
    return Estimate(n, mean, found.low, found.high)


def of_positive(n: float, mean: float, variance: float) -> Estimate:
    """Of a mean of seconds or money."""
    if n <= 0.0:
        return UNKNOWN
    found = positive_interval(n, mean, variance, ALPHA)
    if isinstance(found, CannotSay):
        return Estimate(n, mean)
    return Estimate(n, mean, found.low, found.high)


@dataclass(frozen=True, slots=True)
class Cell:
    """A deployment at a task."""

    deployment: str
    task: str
    quality: Estimate = UNKNOWN
    latency_s: Estimate = UNKNOWN
    cost_micro_usd: Estimate = UNKNOWN
    error_rate: Estimate = UNKNOWN

    @property
    def per_dollar(self) -> Estimate:
        """Quality for a dollar; from the ends of both intervals, so wider than need be."""
        quality, cost = self.quality, self.cost_micro_usd
        if quality.mean is None or not cost.mean:
            return UNKNOWN
        mean = quality.mean * 1e6 / cost.mean
        n = min(quality.n, cost.n)
        ends = quality.low, quality.high, cost.low, cost.high
        if any(end is None for end in ends) or not cost.low:
            return Estimate(n, mean)
        assert quality.low is not None and quality.high is not None and cost.high is not None
        return Estimate(n, mean, quality.low * 1e6 / cost.high, quality.high * 1e6 / cost.low)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cell stands at its task: ``rank`` is one more than how many are surely better (None:
    unknown), ``tied`` are those from whom nothing tells it apart.
    """

    rank: int | None
    tied: tuple[str, ...] = ()

    @property
    def winner(self) -> bool:
        """Surely better than everybody of whom anything is known."""
        return self.rank == 1 and not self.tied


def places(cells: Sequence[Cell], of: Callable[[Cell], Estimate]) -> dict[str, Place]:
    """The places of one task's cells by one measure, the more the better."""
    known = {cell.deployment: of(cell) for cell in cells if of(cell).known}
    found = {cell.deployment: Place(None) for cell in cells}
    for name, mine in known.items():
        others = [(other, its) for other, its in known.items() if other != name]
        above = sum(its.surely_above(mine) for _, its in others)
        tied = [
            other for other, its in others
            if not its.surely_above(mine) and not mine.surely_above(its)
        ]  # fmt: skip
        found[name] = Place(above + 1, tuple(sorted(tied)))
    return found


def on_front(cells: Sequence[Cell]) -> set[str]:
    """Who is on the Pareto front of quality and cost: nobody is at least as good and as cheap, and
    surely better in one of the two.
    """
    known = [cell for cell in cells if cell.quality.known and cell.cost_micro_usd.known]
    return {cell.deployment for cell in known if not any(_beats(other, cell) for other in known)}


def _beats(one: Cell, other: Cell) -> bool:
    a, b = (cell.quality.mean or 0.0 for cell in (one, other))
    c, d = (cell.cost_micro_usd.mean or 0.0 for cell in (one, other))
    if one is other or a < b or c > d:
        return False
    return one.quality.surely_above(other.quality) or other.cost_micro_usd.surely_above(
        one.cost_micro_usd
    )


@dataclass(frozen=True, slots=True)
class Uses:
    """The tasks at which a deployment is alone at the top, or tied there, and where it is on the
    front of quality and cost.
    """

    best_quality: tuple[str, ...]
    tied_quality: tuple[str, ...]
    best_per_dollar: tuple[str, ...]
    tied_per_dollar: tuple[str, ...]
    on_front: tuple[str, ...]


def uses(cells: Sequence[Cell]) -> dict[str, Uses]:
    """What each deployment is best used for."""
    by_task: dict[str, list[Cell]] = {}
    for cell in cells:
        by_task.setdefault(cell.task, []).append(cell)
    lists: dict[str, list[list[str]]] = {cell.deployment: [[], [], [], [], []] for cell in cells}
    for task, group in by_task.items():
        quality = places(group, lambda cell: cell.quality)
        per_dollar = places(group, lambda cell: cell.per_dollar)
        for name in (cell.deployment for cell in group):
            _note(lists[name][0:2], quality[name], task)
            _note(lists[name][2:4], per_dollar[name], task)
        for name in on_front(group):
            lists[name][4].append(task)
    return {name: Uses(*(tuple(sorted(each)) for each in told)) for name, told in lists.items()}


def _note(into: Sequence[list[str]], place: Place, task: str) -> None:
    if place.rank == 1:
        into[0 if place.winner else 1].append(task)


def finite(estimate: Estimate) -> Mapping[str, float | None]:
    """As JSON can hold it."""
    told = {"n": estimate.n, "mean": estimate.mean, "low": estimate.low, "high": estimate.high}
    return {
        name: value if value is None or math.isfinite(value) else None
        for name, value in told.items()
    }
