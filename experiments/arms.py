"""A frame's rows by unit and variant, and what a metric measures in each arm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.design import Experiment, Unit
from experiments.errors import ExperimentError
from experiments.metrics import Frame, Measured, Values
from experiments.statistics.fixed_horizon import Sums
from experiments.statistics.judged import JudgedSums

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
NEEDED = ("unit", "variant", "ts_us")


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """Who saw what, a row per decision in the order of time.

    ``units`` [n]: numbers in the order in which units came; ``variants`` [n]: places in the
    design; ``crossed``: units that were seen in more than one variant, and ``kept`` [n] the rows
    of all others. For blocks ``crossed`` is empty, and ``kept`` are the rows that had the
    variant of the schedule.
    """

    frame: Frame
    units: Ints
    variants: Ints
    at_us: Ints
    crossed: tuple[str, ...]
    kept: Flags

    def __len__(self) -> int:
        return len(self.units)

    @property
    def first_us(self) -> int | None:
        """The time of the first row, None without rows."""
        return int(self.at_us[0]) if len(self) else None

    @property
    def last_us(self) -> int | None:
        """The time of the last row, None without rows."""
        return int(self.at_us[-1]) if len(self) else None

    @property
    def days(self) -> float:
        """From the first row to the last."""
        return float(self.at_us[-1] - self.at_us[0]) / 86_400e6 if len(self) else 0.0

    def units_of(self, variant: int) -> int:
        """How many units saw that variant alone."""
        return len(np.unique(self.units[self.kept & (self.variants == variant)]))

    def rows_of(self, variant: int) -> int:
        """How many rows those units have."""
        return int((self.kept & (self.variants == variant)).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """What a metric measured in one variant, all [m]: units, values, per, rows of the frame, and
    of a judged kind the labels.
    """

    units: Ints
    values: Values
    per: Values
    rows: NDArray[np.intp]
    labels: Values | None = None

    @property
    def number(self) -> int:
        """How many units have a measured row."""
        return len(np.unique(self.units))

    def sums(self) -> Sums:
        """Rows added up by unit."""
        return Sums.by_unit(self.units, self.values, self.per)

    def judged(self) -> JudgedSums:
        """Rows of a judged kind added up by unit."""
        if self.labels is None:
            raise ExperimentError("labels are lacking: give those of a judged metric")
        return JudgedSums.by_unit(self.units, self.values, self.labels)

    def rated(self) -> Arm:
        """The rows of a judged kind with a label, which is the value."""
        labels = np.full(len(self.rows), np.nan) if self.labels is None else self.labels
        known = np.isfinite(labels)
        return Arm(self.units[known], labels[known], self.per[known], self.rows[known])

    def first(self) -> Values:
        """The first measured value of each unit: rows of one unit are not independent."""
        return self.firsts().values

    def firsts(self) -> Arm:
        """The first measured row of each unit."""
        _, places = np.unique(self.units, return_index=True)
        return self._at(places)

    def since(self, row: int) -> Arm:
        """Only what was measured from that row of the frame on."""
        return self._at(np.flatnonzero(self.rows >= row))

    def _at(self, places: NDArray[np.intp]) -> Arm:
        labels = None if self.labels is None else self.labels[places]
        return Arm(
            self.units[places], self.values[places], self.per[places], self.rows[places], labels
        )


def expose(experiment: Experiment, frame: Frame) -> Exposure:
    """The frame's rows by unit and variant; refused where they are not of this experiment."""
    lacking = [name for name in NEEDED if name not in frame]
    if lacking:
        raise ExperimentError(f"the frame lacks {', '.join(lacking)}: add the columns")
    lengths = {name: len(column) for name, column in frame.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ExperimentError(f"the columns differ in length ({told}): give a row per decision")
    at_us = np.asarray(frame["ts_us"], dtype=np.int64)
    back = np.flatnonzero(np.diff(at_us) < 0)
    if len(back):
        raise ExperimentError(f"ts_us runs back after row {back[0]}: give rows in order of time")
    places = {each.name: at for at, each in enumerate(experiment.variants)}
    variants = np.array([places.get(str(name), -1) for name in frame["variant"]], dtype=np.int64)
    strange = np.flatnonzero(variants < 0)
    if len(strange):
        raise ExperimentError(
            f"variant of row {strange[0]} is {frame['variant'][strange[0]]!r}: "
            f"give rows of {', '.join(places)} only"
        )
    numbers: dict[str, int] = {}
    codes = np.zeros(len(at_us), dtype=np.int64)
    for row, unit in enumerate(frame["unit"]):
        if not isinstance(unit, str) or not unit:
            raise ExperimentError(f"unit of row {row} is {unit!r}: leave rows without a unit out")
        codes[row] = numbers.setdefault(unit, len(numbers))
    if experiment.unit is Unit.BLOCK:
        return Exposure(frame, codes, variants, at_us, (), _scheduled(experiment, variants, at_us))
    several = _several(codes, variants, len(numbers))
    names = list(numbers)
    crossed = tuple(names[at] for at in np.flatnonzero(several))
    return Exposure(frame, codes, variants, at_us, crossed, ~several[codes])


def arm_of(exposure: Exposure, measured: Measured, variant: int, whole: bool = False) -> Arm:
    """What was measured in that variant; ``whole``: with the units that crossed, too."""
    mine = exposure.variants[measured.rows] == variant
    if not whole:
        mine &= exposure.kept[measured.rows]
    rows = measured.rows[mine]
    labels = None if measured.labels is None else measured.labels[mine]
    return Arm(exposure.units[rows], measured.values[mine], measured.per[mine], rows, labels)


def _several(codes: Ints, variants: Ints, number: int) -> Flags:
    """Of each unit whether it has rows of more than one variant, [number]."""
    least = np.full(number, np.iinfo(np.int64).max)
    most = np.full(number, -1, dtype=np.int64)
    np.minimum.at(least, codes, variants)
    np.maximum.at(most, codes, variants)
    return np.asarray(least < most, dtype=np.bool_)


def _scheduled(experiment: Experiment, variants: Ints, at_us: Ints) -> Flags:
    """Whether each row had the variant that its block had to have."""
    blocks = experiment.blocks
    assert blocks is not None  # a design whose unit is the block has them
    numbers = [blocks.block(at) for at in at_us.tolist()]
    due = {number: int(blocks.treated(number)) for number in set(numbers)}
    meant = np.array([due[number] for number in numbers], dtype=np.int64)
    return np.asarray(meant == variants, dtype=np.bool_)
