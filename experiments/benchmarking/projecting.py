"""What ways to route would cost and be worth at a mix of tasks, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from experiments.benchmarking.trials import Tables
from experiments.statistics.inputs import Floats
from experiments.statistics.moments import Interval, Moments

Shares = Mapping[str, Mapping[str, float]]  # of each deployment by task, summing to 1


@dataclass(frozen=True, slots=True)
class Projected:
    """A way to route: cost and quality a request at the mix, and cost less that of the way that is
    compared with; None where that cannot be said. ``scored``: the part of the mix whose quality was
    scored, which is all that ``quality`` tells of.
    """

    name: str
    cost_usd: Interval | None
    quality: Interval | None
    against_usd: Interval | None
    scored: float


@dataclass(frozen=True, slots=True)
class Mix:
    """How much of the traffic each task is. ``covered``: the part whose tasks were measured."""

    weights: Mapping[str, float]
    covered: float
    requests_per_day: float | None = None


def mix_of(requests: Mapping[str, float], measured: Sequence[str], days: float | None) -> Mix:
    """The mix of what was measured, from requests by task; ``days`` that they took, if known."""
    whole = math.fsum(requests.values())
    known = {task: count for task, count in requests.items() if task in measured and count > 0}
    inside = math.fsum(known.values())
    weights = {task: count / inside for task, count in known.items()} if inside else {}
    per_day = whole / days if days and whole else None
    return Mix(weights, inside / whole if whole else 0.0, per_day)


def projected(
    found: Tables, ways: Mapping[str, Shares], mix: Mix, beside: str | None = None
) -> tuple[Projected, ...]:
    """Each way by name, beside that of the name ``beside``.

    A task's mean is over its prompts, each a mixture of what the deployments cost it; means are
    weighed by the mix, and their variances, which are of different prompts, add up.
    """
    made = []
    scored = _scored(found, mix)
    part = math.fsum(scored.weights.values())
    for name, shares in ways.items():
        other = ways.get(beside) if beside is not None and beside != name else None
        made.append(
            Projected(
                name,
                _weighed(found, found.cost_usd, mix, shares, None),
                _weighed(found, found.quality, _whole(scored), shares, None),
                None if other is None else _weighed(found, found.cost_usd, mix, shares, other),
                part,
            )
        )
    return tuple(made)


def _scored(found: Tables, mix: Mix) -> Mix:
    """The part of a mix whose tasks have two scored prompts of every arm."""
    kept = {
        task: weight
        for task, weight in mix.weights.items()
        if (np.isfinite(found.quality[found.rows(task)]).sum(0) >= 2).all()
    }
    return Mix(kept, mix.covered, mix.requests_per_day)


def _whole(mix: Mix) -> Mix:
    """The same with weights that sum to 1."""
    total = math.fsum(mix.weights.values())
    weights = {task: weight / total for task, weight in mix.weights.items()}
    return Mix(weights, mix.covered, mix.requests_per_day)


def _weighed(
    found: Tables, table: Floats, mix: Mix, shares: Shares, less: Shares | None
) -> Interval | None:
    mean = variance = 0.0
    degrees = math.inf
    for task, weight in mix.weights.items():
        values = _by_prompt(found, table, task, shares)
        if less is not None:
            values = values - _by_prompt(found, table, task, less)
        values = values[np.isfinite(values)]
        if len(values) < 2:
            return None
        moments = Moments.of(values)
        mean += weight * moments.mean
        variance += weight * weight * moments.variance / moments.count
        degrees = min(degrees, moments.count - 1)
    if not mix.weights:
        return None
    reach = float(stats.t.ppf(0.975, degrees)) * math.sqrt(variance)
    return Interval(mean, mean - reach, mean + reach)


def _by_prompt(found: Tables, table: Floats, task: str, shares: Shares) -> Floats:
    rows = found.rows(task)
    total = np.zeros(len(rows))
    for arm, share in shares.get(task, {}).items():
        if share > 0.0:
            total += share * table[rows, found.column(arm)]
    return total
