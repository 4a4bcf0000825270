"""The capability matrix: how good, quick, dear and reliable each deployment is at each task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from learning.decay import DecayClock
from learning.errors import SnapshotSchema
from learning.policies.base import Prior
from learning.snapshot import Frozen

MEASURES = ("quality", "latency_s", "cost_micro_usd", "error_rate")
DECLARED, BENCHMARK, LIVE = "declared", "benchmark", "live"
DECLARED_N = 2.0  # what a declared quality is worth, in rated answers
DAY_S = 86_400.0
KIND = "capability"
LAYOUT = 1
AMONG = 0.03  # the variance of qualities among deployments: how far a declared one may be off
APART, APART_CELLS = 0.0025, 1.0  # that between a benchmark and live answers, before any are seen
LEAST_VARIANCE = 0.01  # of one answer's quality: a benchmark's answers may all be alike
TASK = "task:"  # how the features name a task's indicator

Key = tuple[str, str]  # deployment, task


@dataclass(frozen=True, slots=True)
class Rules:
    """How fast answers and benchmarks fade, and from which age on a cell is stale; seconds."""

    live_half_life_s: float = 14.0 * DAY_S
    benchmark_half_life_s: float = 30.0 * DAY_S
    stale_s: float = 14.0 * DAY_S


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a mean: how much evidence (``n``, as of now), the mean, and the variance
    of a single value about it. Nothing is known where ``n`` is 0: that is no zero.
    """

    n: float = 0.0
    mean: float = math.nan
    variance: float = math.nan

    @property
    def known(self) -> bool:
        """Whether there is anything."""
        return self.n > 0.0

    def faded(self, age_s: float, half_life_s: float) -> Measured:
        """The same when it is so old: worth less, not other."""
        n = self.n * 0.5 ** (max(age_s, 0.0) / half_life_s)
        return Measured(n, self.mean, self.variance) if n > 0.0 else Measured()


def pooled(parts: Sequence[Measured]) -> Measured:
    """Several together, each by its n; what they differ by adds to the variance, so sources that
    contradict each other leave a wide interval.
    """
    known = [part for part in parts if part.known]
    if not known:
        return Measured()
    n = sum(part.n for part in known)
    mean = sum(part.n * part.mean for part in known) / n
    within = sum(part.n * (part.variance + (part.mean - mean) ** 2) for part in known)
    return Measured(n, mean, within / n)


def declared(quality: float) -> Measured:
    """A quality that somebody only says: a few yes-or-no ratings' worth."""
    return Measured(DECLARED_N, quality, quality * (1.0 - quality))


@dataclass(slots=True)
class Sums:
    """Of values under weights: their number, their sum, their squares. Those of two add."""

    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float, weight: float) -> None:
        """One value; a negative weight takes it back."""
        self.weight += weight
        self.total += weight * value
        self.squares += weight * value * value

    def revise(self, old: float, new: float, weight: float) -> None:
        """A value that was ``old`` is ``new``."""
        self.total += weight * (new - old)
        self.squares += weight * (new * new - old * old)

    def merge(self, other: Sums) -> None:
        """Those of another, of one reference of time."""
        self.weight += other.weight
        self.total += other.total
        self.squares += other.squares

    def scale(self, factor: float) -> None:
        """Forget."""
        self.weight *= factor
        self.total *= factor
        self.squares *= factor

    def measured(self, discount: float) -> Measured:
        """As they are worth now."""
        if self.weight <= 0.0:
            return Measured()
        mean = self.total / self.weight
        return Measured(
            self.weight * discount, mean, max(self.squares / self.weight - mean * mean, 0.0)
        )


@dataclass(slots=True)
class CellSums:
    """One deployment at one task: the sums of each of ``MEASURES``, and the newest of it."""

    sums: dict[str, Sums] = field(default_factory=lambda: {name: Sums() for name in MEASURES})
    last_s: float = -math.inf

    def merge(self, other: CellSums) -> None:
        """That of another, of one reference of time."""
        for name, each in other.sums.items():
            self.sums[name].merge(each)
        self.last_s = max(self.last_s, other.last_s)


@dataclass(frozen=True, slots=True)
class LiveCell:
    """One cell as it stands now: of each measure what is known, and when it was last added to."""

    measures: Mapping[str, Measured]
    last_s: float


class LiveSums:
    """What answers have shown, forgotten by the time of their decision; in any order, and those of
    two replicas add.
    """

    def __init__(self, half_life_s: float) -> None:
        self.clock = DecayClock(half_life_s)
        self.cells: dict[Key, CellSums] = {}

    def reference_s(self, now_s: float) -> float:
        """The moment by which contributions are to be weighed from here on: a value of time t has
        the weight exp((t - reference) / tau).
        """
        factor = self.clock.rescale(now_s)
        if factor != 1.0:
            for cell in self.cells.values():
                for sums in cell.sums.values():
                    sums.scale(factor)
        return self.clock.reference_s

    @property
    def tau_s(self) -> float:
        """The time in which a weight falls to 1/e."""
        return self.clock.half_life_s / math.log(2.0)

    def take(self, told: Mapping[Key, CellSums]) -> None:
        """Sums that were weighed by the reference."""
        for key, cell in told.items():
            self.cells.setdefault(key, CellSums()).merge(cell)

    def merge(self, other: LiveSums) -> None:
        """Those of a replica, whatever its reference."""
        self.reference_s(max(other.clock.latest_s, self.clock.latest_s))
        shift = math.exp((other.clock.reference_s - self.clock.reference_s) / self.tau_s)
        for key, cell in other.cells.items():
            shifted = {
                name: Sums(each.weight * shift, each.total * shift, each.squares * shift)
                for name, each in cell.sums.items()
            }
            self.cells.setdefault(key, CellSums()).merge(CellSums(shifted, cell.last_s))

    def read(self, now_s: float) -> dict[Key, LiveCell]:
        """Every cell as of now."""
        discount = self.clock.discount(now_s)
        return {
            key: LiveCell(
                {name: each.measured(discount) for name, each in cell.sums.items()}, cell.last_s
            )
            for key, cell in self.cells.items()
        }


@dataclass(frozen=True, slots=True)
class Belief:
    """Of an arm before its own answers: the quality that it is declared to have, by task what it is
    declared to be strong at, and what benchmarks measured.
    """

    said: float
    strengths: Mapping[str, float]
    tested: Mapping[str, Measured]


@dataclass(frozen=True, slots=True)
class Beliefs:
    """Of several arms; ``apart``: the variance by which benchmarks miss what live answers show."""

    arms: Mapping[str, Belief]
    apart: float = APART


def apart(pairs: Sequence[tuple[Measured, Measured]]) -> float:
    """The variance between live answers and the benchmark of a cell, beyond what chance makes of
    it, from cells that have both (method of moments), drawn towards ``APART`` by ``APART_CELLS``.

    So benchmarks that live answers contradict lose their say over deployments that have none yet.
    """
    found = [
        max((live.mean - tested.mean) ** 2 - live.variance / live.n - tested.variance / tested.n, 0)
        for live, tested in pairs
        if live.known and tested.known
    ]
    return (sum(found) + APART * APART_CELLS) / (len(found) + APART_CELLS)


def prior_from(beliefs: Beliefs, features: Sequence[str]) -> Prior:
    """What is believed of quality, for a linear policy to begin with: an arm's level as the
    constant, a task's distance from it at the task's indicator, 0 elsewhere.

    A benchmark weighs by its precision, 1 / (variance / n + apart), what is declared by that of
    qualities among deployments, ``AMONG``. The level is of all benchmarks of the arm together; a
    task's own is drawn towards its declared strength, else the level. So a benchmark counts by its
    n, and a task without one has the level.
    """
    theta = np.zeros((len(beliefs.arms), len(features)))
    said_weight = 1.0 / AMONG
    for at, belief in enumerate(beliefs.arms.values()):
        weights = {
            task: 1.0 / (max(cell.variance, LEAST_VARIANCE) / cell.n + beliefs.apart)
            for task, cell in belief.tested.items()
            if cell.known
        }
        total = said_weight * belief.said
        total += sum(weight * belief.tested[task].mean for task, weight in weights.items())
        level = total / (said_weight + sum(weights.values()))
        for column, name in enumerate(features):
            task = name[len(TASK) :] if name.startswith(TASK) else ""
            if name == "constant":
                theta[at, column] = level
            elif task in weights or task in belief.strengths:
                base, weight = belief.strengths.get(task, level), weights.get(task, 0.0)
                drawn = said_weight * base
                drawn += weight * belief.tested[task].mean if weight else 0.0
                theta[at, column] = drawn / (said_weight + weight) - level
    return Prior(tuple(beliefs.arms), tuple(features), theta)


def says_more(new: Prior, old: Prior | None, by: float) -> bool:
    """Whether a prior says of anybody what the old one does not, by more than ``by`` anywhere."""
    if old is None or old.features != new.features or not set(new.arms) <= set(old.arms):
        return bool(new.arms)
    was = old.theta[[old.arms.index(name) for name in new.arms]]
    return bool(np.abs(new.theta - was).max(initial=0.0) > by)


def at_rest(prior: Prior) -> Frozen:
    """A prior at rest."""
    about = {"layout": LAYOUT, "arms": list(prior.arms), "features": list(prior.features)}
    return Frozen(KIND, about, {"theta": prior.theta})


def prior_of(frozen: Frozen) -> Prior:
    """The prior that was frozen; raises SnapshotSchema for anything else."""
    about = frozen.about
    if frozen.kind != KIND or about.get("layout") != LAYOUT:
        raise SnapshotSchema(f"a snapshot of {frozen.kind!r}, not of such a prior")
    return Prior(tuple(about["arms"]), tuple(about["features"]), frozen.arrays["theta"])
