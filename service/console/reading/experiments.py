"""Experiments as pages show them: the list, and one with its sequence over time and its report."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from experiments.analysis import Report
from experiments.errors import CannotSay, ExperimentError
from experiments.offline.looking import Look, looks
from service.experimentation.whole import options_for
from service.runtime import Runtime
from service.storage.errors import StorageError
from service.storage.experiments import Conducted

LOOKS = 40


@dataclass(frozen=True, slots=True)
class Examined:
    """A report with the first goal at every look so far (empty where it is not followed)."""

    report: Report
    goal: str
    looks: tuple[Look, ...]


def all_of(runtime: Runtime) -> list[Conducted]:
    """All experiments, newest first."""
    return list(reversed(list(runtime.experiments.desk.store.known.values())))


async def examined(runtime: Runtime, found: Conducted) -> Examined | str:
    """What its data say now, or why that cannot be told."""
    if found.started_us is None:
        return "It has not been started, so there is nothing to report."
    try:
        report = await runtime.experiments.report(found)
    except (ExperimentError, StorageError) as error:
        return f"The report cannot be made now: {error}"
    return await asyncio.to_thread(_looked, runtime, found, report)


def _looked(runtime: Runtime, found: Conducted, report: Report) -> Examined:
    goal, started = found.design.goals[0], found.started_us
    assert started is not None
    try:
        frame = runtime.experiments.frame(found.id, started)
        best_at = options_for(found, runtime.experiments.earlier).best_at
        seen = tuple(looks(found.design, frame, goal, best_at, LOOKS))
    except (ExperimentError, StorageError):
        seen = ()
    return Examined(report, goal, seen)


@dataclass(frozen=True, slots=True)
class Sequence:
    """The effect with its bounds at every look that says something."""

    at_us: tuple[int, ...]
    estimate: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def sequence(found: Examined) -> Sequence | None:
    """As a chart draws it; None before any look says anything."""
    said = [(each.at_us, each.sequence) for each in found.looks
            if not isinstance(each.sequence, CannotSay)]  # fmt: skip
    if not said:
        return None
    return Sequence(
        tuple(at for at, _ in said),
        tuple(interval.estimate for _, interval in said),
        tuple(interval.low for _, interval in said),
        tuple(interval.high for _, interval in said),
    )
