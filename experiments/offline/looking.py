"""What an experiment's data said at every look, by a test that may look and one that may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.arms import Arm, arm_of, expose
from experiments.comparing import Setting, compare
from experiments.design import Experiment, Unit
from experiments.errors import CannotSay, ExperimentError
from experiments.metrics import METRICS, Frame, Kind
from experiments.statistics.fixed_horizon import welch
from experiments.statistics.inputs import Floats, Ints
from experiments.statistics.moments import Interval
from experiments.statistics.sample_ratio import log_evidence

TESTED = (Kind.MEAN, Kind.RATE, Kind.RATIO)


@dataclass(frozen=True, slots=True)
class Look:
    """The first treatment less the control by then, in the metric's unit.

    ``units``: measured ones, of control and treatment; ``sequence`` holds at any look, ``naive``
    (Welch's test) at one that was fixed beforehand.
    """

    at_us: int
    units: tuple[int, int]
    sequence: Interval | CannotSay
    naive: Interval | CannotSay

    @property
    def called(self) -> tuple[bool, bool]:
        """Whether zero lies outside, by the sequence and by the naive test."""
        return _apart(self.sequence), _apart(self.naive)


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """Units in the order in which each was first seen: ``at_us`` [n], and of each variant how many
    so far, ``found`` [n, V]; ``log_e`` [n]: evidence at that time that they were not assigned by
    the shares of the design.
    """

    at_us: Ints
    found: Ints
    log_e: Floats


def looks(
    experiment: Experiment, frame: Frame, metric: str, best_at: float, count: int = 40
) -> list[Look]:
    """The metric at ``count`` times, evenly spaced over the rows; ``best_at`` as in ``Options``.

    At each look the decisions made until then, with what came of them since: a rating that came
    after the look is in it.
    """
    row = METRICS[metric]
    if row.kind not in TESTED or experiment.unit is Unit.BLOCK:
        raise ExperimentError(
            f"metric {metric} of {experiment.slug}: only means, rates and ratios of units are "
            "looked at all along"
        )
    if not len(frame["ts_us"]):
        return []
    exposure = expose(experiment, frame)
    measured = row.measure(frame)
    arms = [arm_of(exposure, measured, at) for at in (0, 1)]
    ends = np.unique(np.linspace(0, len(exposure) - 1, count + 1).astype(int)[1:])
    setting = Setting(experiment.alpha, best_at, experiment.winsorise)
    found = []
    for end in ends.tolist():
        until = [_until(arm, end) for arm in arms]
        told = compare(row, until[0], until[1], None, setting)
        moments = [arm.sums().linearised() for arm in until if arm.number]
        naive = welch(moments[0], moments[1], experiment.alpha) if len(moments) == 2 else _none()
        found.append(
            Look(
                int(exposure.at_us[end]),
                (until[0].number, until[1].number),
                told if isinstance(told, CannotSay) else told.effect,
                naive if isinstance(naive, CannotSay) else naive.difference,
            )
        )
    return found


def arrivals(experiment: Experiment, frame: Frame) -> Arrivals:
    """How the units fell to the variants, one after the other."""
    exposure = expose(experiment, frame)
    kept = np.flatnonzero(exposure.kept)
    _, first = np.unique(exposure.units[kept], return_index=True)
    rows = kept[np.sort(first)]
    number = len(experiment.variants)
    found = (exposure.variants[rows][:, None] == np.arange(number)).cumsum(0)
    shares = np.array([each.share for each in experiment.variants])
    return Arrivals(exposure.at_us[rows], found, log_evidence(found, shares / shares.sum()))


def first_called(found: Sequence[Look]) -> tuple[Look | None, Look | None]:
    """The first look at which the sequence, and the naive test, found a difference."""
    told = [next((each for each in found if each.called[at]), None) for at in (0, 1)]
    return told[0], told[1]


def _until(arm: Arm, row: int) -> Arm:
    kept = arm.rows <= row
    return Arm(arm.units[kept], arm.values[kept], arm.per[kept], arm.rows[kept])


def _none() -> CannotSay:
    return CannotSay("each arm needs two measured units")


def _apart(said: Interval | CannotSay) -> bool:
    return isinstance(said, Interval) and not said.low <= 0.0 <= said.high
