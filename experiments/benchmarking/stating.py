"""What a number of prompts can show, said before they are asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy import stats

from experiments.errors import CannotSay, ExperimentError
from experiments.statistics.paired import pairs_for, sd_of_difference, smallest_shown
from experiments.statistics.power import Comparison

SD = 0.5  # of a score that is right or wrong, at even chances: the widest there is
ALIKE = 0.5  # a correlation of two deployments' scores over prompts that is often seen


@dataclass(frozen=True, slots=True)
class Stated:
    """What ``prompts`` can show where each is asked of ``arms`` deployments once.

    ``one_mean``: the half-width of one deployment's own 95 % interval at even chances;
    ``unrelated`` and ``alike``: the smallest difference of two that is found with ``power``, where
    their scores have nothing to do with one another and where they correlate by a half.
    ``needed``: prompts for the difference ``detect``, likewise; None where none was asked for.
    """

    task: str | None
    prompts: int
    level: float
    power: float
    one_mean: float
    unrelated: float | None
    alike: float | None
    detect: float | None
    needed: tuple[int, int] | None


def stated(
    prompts: Mapping[str, int], arms: int, detect: float | None = None, alpha: float = 0.05
) -> tuple[Stated, ...]:
    """First all tasks together, then each; levels as the verdicts use them."""
    if arms < 2:
        raise ExperimentError(f"there are {arms} deployments: a comparison needs two")
    if detect is not None and not 0.0 < detect <= 1.0:
        raise ExperimentError(f"detect is {detect!r}: give a difference of quality, such as 0.05")
    pairs = arms * (arms - 1) // 2
    made = [_one(None, sum(prompts.values()), alpha / pairs, detect)]
    family = pairs * len(prompts)
    return (*made, *(_one(task, n, alpha / family, detect) for task, n in sorted(prompts.items())))


def _one(task: str | None, prompts: int, level: float, detect: float | None) -> Stated:
    asked = Comparison(alpha=level)
    apart, alike = sd_of_difference(SD, 0.0), sd_of_difference(SD, ALIKE)
    shown = [smallest_shown(sd, prompts, asked) for sd in (apart, alike)]
    told = [None if isinstance(each, CannotSay) else min(1.0, each) for each in shown]
    needed = None
    if detect is not None:
        needed = (pairs_for(detect, apart, asked), pairs_for(detect, alike, asked))
    return Stated(
        task, prompts, level, asked.power,
        float(stats.norm.ppf(0.975)) * SD / math.sqrt(max(1, prompts)),
        told[0], told[1], detect, needed,
    )  # fmt: skip


def more_needed(sd: float, effect: float, level: float) -> int:
    """Prompts that show ``effect``, now that the spread of the differences has been seen."""
    return pairs_for(effect, max(sd, 1e-3), Comparison(alpha=level))
