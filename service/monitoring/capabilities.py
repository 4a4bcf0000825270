"""The capability board: the matrix kept up from the log, and told with intervals, ties and uses."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from experiments.capability import (
    UNKNOWN,
    Cell,
    Estimate,
    Place,
    Uses,
    of_bounded,
    of_positive,
    of_share,
    on_front,
    places,
    uses,
)
from learning.capability import (
    BENCHMARK,
    DECLARED,
    DECLARED_N,
    LIVE,
    MEASURES,
    Belief,
    Beliefs,
    CellSums,
    Key,
    LiveSums,
    Measured,
    Rules,
    apart,
    declared,
    pooled,
)
from service.domain.capability import BenchmarkCell
from service.domain.clock import Clock

SEEN = 4.0  # rated answers of a cell from which it tells whether its benchmark was right
WARM = 24.0  # rated answers from which a deployment's own are better than what was believed
Weighing = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Matter:
    """What the plan says: who there is, at which tasks each serves, and the qualities that it
    declares, by task (``""`` for all tasks without their own), and seconds.
    """

    deployments: Mapping[str, frozenset[str]]  # its tasks; empty: all
    tasks: tuple[str, ...]
    declared: Mapping[Key, float] = field(default_factory=dict)
    latency_s: Mapping[str, float] = field(default_factory=dict)

    def serves(self, deployment: str, task: str) -> bool:
        """Whether a deployment is for that task."""
        own = self.deployments[deployment]
        return not own or task in own

    def quality(self, deployment: str, task: str) -> float | None:
        """What is declared of a deployment at a task."""
        return self.declared.get((deployment, task), self.declared.get((deployment, "")))


@dataclass(frozen=True, slots=True)
class BoardParts:
    """What the board stands on: the log's last row, its sums between two rows, its benchmarks."""

    last_seq: Callable[[], int]
    shown: Callable[[int, int, Weighing], Mapping[Key, CellSums]]
    benchmarks: Callable[[int], Sequence[BenchmarkCell]]
    clock: Clock


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A cell with where it comes from: of each source the evidence of quality, when it was last
    added to, and whether that is too long ago.
    """

    cell: Cell
    sources: Mapping[str, float]
    source: str  # the one with most evidence; empty: nothing is known
    last_us: int | None
    stale: bool
    quality: Place
    per_dollar: Place
    on_front: bool


@dataclass(frozen=True, slots=True)
class MatrixReport:
    """The matrix as it stands."""

    at_us: int
    through_seq: int
    tasks: tuple[str, ...]
    cells: tuple[ShownCell, ...]
    uses: Mapping[str, Uses]

    def names_winner(self, task: str) -> str | None:
        """Who is surely the best at a task; None where nobody is."""
        won = [each for each in self.cells if each.cell.task == task and each.quality.winner]
        return won[0].cell.deployment if won else None


class CapabilityBoard:
    """Folds each row of the log once, by its number; a start folds all of them again, so nothing
    is kept beside the log and nothing counted twice.
    """

    def __init__(self, matter: Matter, parts: BoardParts, rules: Rules | None = None) -> None:
        self.matter, self.rules = matter, rules or Rules()
        self._parts = parts
        self._one_at_a_time = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._live = LiveSums(self.rules.live_half_life_s)
        self._benchmarks: tuple[BenchmarkCell, ...] = ()
        self._through = 0
        self._folded = False

    @property
    def through_seq(self) -> int:
        """The last row of the log that is in it."""
        return self._through

    @property
    def folded(self) -> bool:
        """Whether the log was read since the start."""
        return self._folded

    def evaluate(self) -> None:
        """Take what became durable since the last turn; reads the log, so beside the loop."""
        with self._one_at_a_time:
            through = self._parts.last_seq()
            if through < self._through:  # the live file lost rows: what it still has, anew
                self._begin()
            if through > self._through:
                now_s = self._parts.clock.wall_us() / 1e6
                weighing = self._live.reference_s(now_s), self._live.tau_s
                told = self._parts.shown(self._through, through, weighing)
                self._benchmarks = tuple(self._parts.benchmarks(through))
                self._live.take(told)
                self._through = through
            self._folded = True

    # what is told -----------------------------------------------------------------------------

    def report(self) -> MatrixReport:
        """The whole matrix as of now, for the plan's deployments and tasks."""
        with self._one_at_a_time:
            now_us = self._parts.clock.wall_us()
            known = self._evidence(now_us / 1e6)
            through = self._through
        cells: list[ShownCell] = []
        bare: list[Cell] = []
        for task in self.matter.tasks:
            names = [each for each in self.matter.deployments if self.matter.serves(each, task)]
            row = [_cell(name, task, known[name, task].measures) for name in names]
            quality = places(row, lambda cell: cell.quality)
            per_dollar = places(row, lambda cell: cell.per_dollar)
            front = on_front(row)
            bare += row
            for cell in row:
                evidence = known[cell.deployment, task]
                cells.append(ShownCell(
                    cell, evidence.sources, evidence.source, evidence.last_us,
                    evidence.stale, quality[cell.deployment], per_dollar[cell.deployment],
                    cell.deployment in front,
                ))  # fmt: skip
        return MatrixReport(now_us, through, self.matter.tasks, tuple(cells), uses(bare))

    def priors(self, arms: Mapping[str, float]) -> Beliefs:
        """Of those that are new or cold, and of which a benchmark or the plan says something.
        ``arms``: each one's declared quality. What live answers say of them is not in it, as the
        policy has learned that itself; but how far they are from benchmarks is.
        """
        with self._one_at_a_time:
            now_s = self._parts.clock.wall_us() / 1e6
            live, tested = self._live.read(now_s), self._tested(now_s)
        shown = {key: cell.measures["quality"] for key, cell in live.items()}
        both = [
            (shown[key], cell.quality) for key, cell in tested.items()
            if key in shown and shown[key].n >= SEEN
        ]  # fmt: skip
        found = {}
        for name, said in arms.items():
            if sum(each.n for key, each in shown.items() if key[0] == name) >= WARM:
                continue
            own = {key[1]: cell.quality for key, cell in tested.items() if key[0] == name}
            belief = Belief(
                said,
                {task: value for (of, task), value in self.matter.declared.items()
                 if of == name and task},
                {task: cell for task, cell in own.items() if cell.known},
            )  # fmt: skip
            if belief.strengths or belief.tested:
                found[name] = belief
        return Beliefs(found, apart(both))

    def _declared(self, name: str, task: str) -> dict[str, Measured]:
        said = {}
        if (quality := self.matter.quality(name, task)) is not None:
            said["quality"] = declared(quality)
        if (seconds := self.matter.latency_s.get(name)) is not None:
            said["latency_s"] = Measured(DECLARED_N, seconds, seconds * seconds)
        return said

    def _tested(self, now_s: float) -> dict[Key, _Tested]:
        """What benchmarks say, faded; of several runs together."""
        by: dict[Key, list[BenchmarkCell]] = {}
        for each in self._benchmarks:
            by.setdefault((each.deployment, each.task), []).append(each)
        half_life_s = self.rules.benchmark_half_life_s
        return {key: _Tested.of(cells, now_s, half_life_s) for key, cells in by.items()}

    def _evidence(self, now_s: float) -> dict[Key, _Evidence]:
        live, tested = self._live.read(now_s), self._tested(now_s)
        found = {}
        for name in self.matter.deployments:
            for task in self.matter.tasks:
                key = (name, task)
                by: dict[str, Mapping[str, Measured]] = {}
                last_s = -math.inf
                if key in live:
                    by[LIVE], last_s = live[key].measures, live[key].last_s
                if key in tested:
                    by[BENCHMARK] = tested[key].measures
                    last_s = max(last_s, tested[key].last_s)
                if said := self._declared(name, task):
                    by[DECLARED] = said
                stale = bool(by) and now_s - last_s > self.rules.stale_s and last_s > -math.inf
                found[key] = _Evidence.of(by, last_s, stale)
        return found


@dataclass(frozen=True, slots=True)
class _Tested:
    measures: Mapping[str, Measured]
    last_s: float

    @property
    def quality(self) -> Measured:
        return self.measures.get("quality", Measured())

    @classmethod
    def of(cls, cells: Sequence[BenchmarkCell], now_s: float, half_life_s: float) -> _Tested:
        parts: dict[str, list[Measured]] = {name: [] for name in MEASURES}
        for each in cells:
            age_s = now_s - each.at_us / 1e6
            answered = each.n * (1.0 - each.error_rate)
            for name, mean, variance, n in (
                ("quality", each.quality_mean, each.quality_var, answered),
                ("latency_s", each.latency_mean_s, each.latency_var, answered),
                ("cost_micro_usd", each.cost_mean_micro_usd, each.cost_var, answered),
                ("error_rate", each.error_rate, 0.0, float(each.n)),
            ):
                if mean is not None and n > 0.0:
                    known = Measured(n, mean, variance or 0.0)
                    parts[name].append(known.faded(age_s, half_life_s))
        newest = max(each.at_us for each in cells) / 1e6
        return cls({name: pooled(each) for name, each in parts.items()}, newest)


_NOTHING = _Tested({}, -math.inf)


@dataclass(frozen=True, slots=True)
class _Evidence:
    measures: Mapping[str, Measured]
    sources: Mapping[str, float]
    source: str
    last_us: int | None
    stale: bool

    @classmethod
    def of(cls, by: Mapping[str, Mapping[str, Measured]], last_s: float, stale: bool) -> _Evidence:
        measures = {
            name: pooled([told.get(name, Measured()) for told in by.values()]) for name in MEASURES
        }
        sources = {
            source: told["quality"].n if "quality" in told else 0.0 for source, told in by.items()
        }
        calls = {
            source: max((each.n for each in told.values()), default=0.0)
            for source, told in by.items()
        }
        most = max(by, key=lambda source: (sources[source], calls[source]), default="")
        last_us = None if last_s == -math.inf else int(last_s * 1e6)
        return cls(measures, sources, most, last_us, stale)


def _cell(deployment: str, task: str, measures: Mapping[str, Measured]) -> Cell:
    quality, errors = measures["quality"], measures["error_rate"]

    def positive(of: Measured) -> Estimate:
        return of_positive(of.n, of.mean, of.variance) if of.known else UNKNOWN

    return Cell(
        deployment,
        task,
        of_bounded(quality.n, quality.mean, quality.variance) if quality.known else UNKNOWN,
        positive(measures["latency_s"]),
        positive(measures["cost_micro_usd"]),
        of_share(errors.n, errors.mean) if errors.known else UNKNOWN,
    )
