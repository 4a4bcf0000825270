"""How often each test of two arms is fooled by looking, or finds an effect, by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments.errors import ExperimentError
from experiments.metrics import Kind, Metric
from experiments.offline.distributions import Effect, Source, effect_on, usual
from experiments.offline.peeking import Arm, Streams, Verdicts, applicable
from experiments.statistics.inputs import level
from experiments.statistics.response_rate import wilson

AT_ONCE = 2_000_000  # values in memory, a few arrays of them
MOST_UNITS = 2_000_000  # of both arms in one run
MOST_VALUES = 4_000_000_000  # of a whole simulation


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated: ``sims`` runs of ``units`` units in the treatment, at ``looks`` equally
    spaced looks; the control gets as many, or more if ``treatment_share`` is below a half.
    ``effect``: absolute for rates, relative otherwise; 0 is an A/A run.
    """

    effect: float = 0.0
    looks: int = 100
    sims: int = 2_000
    units: int = 2_000
    treatment_share: float = 0.5
    alpha: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        level(self.alpha)
        level(self.treatment_share, "treatment_share")
        for name, most in (("looks", 10_000), ("sims", 1_000_000), ("units", MOST_UNITS)):
            number = getattr(self, name)
            if not 1 <= number <= most:
                raise ExperimentError(f"{name} is {number}: give 1 to {most}")
        if self.units < self.looks:
            raise ExperimentError(f"units is {self.units}: give at least one a look, {self.looks}")
        both = self.looks * sum(self.blocks)
        if both > MOST_UNITS:
            raise ExperimentError(
                f"units are {both} in both arms: give fewer, or a treatment_share nearer to a "
                f"half, at most {MOST_UNITS}"
            )
        if self.sims * both > MOST_VALUES:
            raise ExperimentError(
                f"sims x units are more than {MOST_VALUES:.0e} values: give fewer of either"
            )

    @property
    def blocks(self) -> tuple[int, int]:
        """Units that come between looks: of the treatment and of the control."""
        block = self.units // self.looks
        odds = (1.0 - self.treatment_share) / self.treatment_share
        return block, max(1, round(block * odds))


@dataclass(frozen=True, slots=True)
class Tally:
    """Of one test: runs, those that rejected at some look, those in which it could speak, and
    units of both arms at the first rejection.
    """

    runs: int = 0
    rejected: int = 0
    spoke: int = 0
    units: tuple[int, ...] = field(default=(), repr=False)

    def add(self, verdicts: Verdicts, block: int) -> Tally:
        """With the runs of a batch; ``block`` units of both arms a look."""
        found = np.asarray(verdicts.rejected.any(1))
        first = (verdicts.rejected.argmax(1)[found] + 1) * block
        return Tally(
            self.runs + len(found),
            self.rejected + int(found.sum()),
            self.spoke + int(verdicts.spoke.any(1).sum()),
            (*self.units, *first.tolist()),
        )

    @property
    def share(self) -> float:
        """Of the runs that rejected."""
        return self.rejected / self.runs

    @property
    def median_units(self) -> int | None:
        """Units of both arms by which half of all runs had rejected; None if fewer ever did."""
        half = math.ceil(self.runs / 2)
        return sorted(self.units)[half - 1] if self.rejected >= half else None

    def told(self, effect: float) -> dict[str, Any]:
        """As a report has it, with Wilson's interval."""
        found = wilson(self.rejected, self.runs)
        rate = "power" if effect else "false_positive_rate"
        told = {rate: self.share, "ci95": [found.low, found.high],
                "could_say": self.spoke / self.runs}  # fmt: skip
        return told | ({"median_units": self.median_units} if effect else {})


def simulate(
    metric: Metric,
    plan: Plan,
    source: Source | None = None,
    advance: Callable[[int], None] = lambda runs: None,
) -> dict[str, Tally]:
    """Of every test that applies to the metric what came of it; ``advance`` hears of runs done.

    Without a source, the metric's usual distribution.
    """
    source = source or usual(metric)
    effect = effect_on(metric, source, plan.effect)
    tests = applicable(metric, plan.treatment_share)
    found = {name: Tally() for name in tests}
    rng, both = np.random.default_rng(plan.seed), sum(plan.blocks)
    least = 400 if metric.kind is Kind.QUANTILE else 1  # its candidates are counted for each look
    batch = max(1, AT_ONCE // (plan.looks * max(both, least)))
    for start in range(0, plan.sims, batch):
        paths = min(batch, plan.sims - start)
        streams = _streams(metric, plan, (source, effect), (rng, paths))
        for name, test in tests.items():
            found[name] = found[name].add(test(streams), both)
        advance(paths)
    return found


def report(metric: Metric, plan: Plan, source: str, found: dict[str, Tally]) -> dict[str, Any]:
    """What a simulation says, as JSON has it."""
    ours, theirs = plan.blocks
    return {
        "metric": metric.slug,
        "kind": str(metric.kind),
        "effect": plan.effect,
        "effect_is": "absolute" if metric.kind is Kind.RATE else "relative",
        "looks": plan.looks,
        "sims": plan.sims,
        "distribution": source,
        "units": {"treatment": ours * plan.looks, "control": theirs * plan.looks},
        "alpha": plan.alpha,
        "seed": plan.seed,
        "methods": {name: tally.told(plan.effect) for name, tally in found.items()},
    }


def _streams(
    metric: Metric,
    plan: Plan,
    drawn_from: tuple[Source, Effect],
    drawn_by: tuple[np.random.Generator, int],
) -> Streams:
    (source, effect), (rng, paths) = drawn_from, drawn_by
    treated, per = source.draw(rng, (paths, plan.looks, plan.blocks[0]))
    treatment = Arm(effect.on(treated, rng), per)
    control = Arm(*source.draw(rng, (paths, plan.looks, plan.blocks[1])))
    return Streams(metric, treatment, control, plan.alpha)
