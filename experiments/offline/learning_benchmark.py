"""Policies beside one another on recorded outcomes: seeds, intervals, references, a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.errors import CannotSay
from experiments.offline.outcomes import Outcomes
from experiments.offline.play import Played, Wanted, known_before, measure, play
from experiments.offline.references import References, references
from experiments.offline.streams import UNSCORED, focus_of, make, scored_only
from experiments.statistics.moments import Interval, Moments
from learning.policies import registry

FIRST_SEED = 1000
CURVE_POINTS = 60
ALIASES: Mapping[str, str] = {"default": "linear", "random": "uniform"}
LEAST_GAP = 1e-3  # between mix and ridge, for a part of it to be told
WITHIN = 0.005  # a gain of routing below this is not worth routing for


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of every policy. ``warm``: they are told all outcomes of the unscored prompts
    and begin at the first scored one; else they play the unscored ones and see what they chose.
    """

    scenario: str
    budget_usd: float | None
    features: str
    focus: int | None
    warm: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One policy, one seed."""

    policy: str
    seed: int


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of a job, its curve of mean reward [points], and the stream's references."""

    job: Job
    figures: dict[str, float]
    curve: tuple[float, ...]
    references: References


@dataclass(frozen=True)
class Bench:
    """Runs jobs; it can be sent to another process."""

    outcomes: Outcomes
    features: NDArray[np.float32]
    question: Question
    parameters: Mapping[str, Mapping[str, Any]]

    def run(self, job: Job) -> Result:
        """Play one policy through one seed's stream."""
        q = self.question
        stream = make(self.outcomes, q.scenario, job.seed, q.focus)
        kind = ALIASES.get(job.policy, job.policy)
        wanted = Wanted(kind, self.parameters.get(job.policy, {}), q.budget_usd)
        refs = references(stream, self.features, self.outcomes.names, q.budget_usd)
        if q.warm:
            told = known_before(self.outcomes, self.features, stream)
            wanted, stream = replace(wanted, evidence=told), scored_only(stream)
        played = play(self.outcomes, self.features, stream, wanted, job.seed)
        figures = measure(stream, played, q.budget_usd)
        return Result(job, figures, curve_of(played, stream.phase != UNSCORED), refs)


def curve_of(played: Played, scored: NDArray[np.bool_]) -> tuple[float, ...]:
    """Mean reward in equal parts of the scored requests."""
    parts = np.array_split(played.reward[scored], CURVE_POINTS)
    return tuple(float(part.mean()) for part in parts if len(part))


def question(
    outcomes: Outcomes,
    scenario: str,
    budget_usd: float | None,
    features: str,
    focus: str = "",
    warm: bool = False,
) -> Question:
    """The question, with whom the scenario is about found when nobody is named."""
    if focus and focus not in outcomes.names:
        raise CannotSay(f"no deployment {focus!r}; there are: {', '.join(outcomes.names)}")
    at = outcomes.names.index(focus) if focus else focus_of(outcomes, scenario, budget_usd)
    return Question(scenario, budget_usd, features, at, warm)


def check_policies(policies: Sequence[str]) -> None:
    """Raises CannotSay for a name that is not registered."""
    known = (*ALIASES, *registry.POLICIES)
    unknown = [name for name in policies if name not in known]
    if unknown:
        raise CannotSay(f"unknown policy {', '.join(unknown)}; known: {', '.join(known)}")


def jobs(policies: Sequence[str], seeds: int) -> list[Job]:
    """All jobs, the policies of one seed side by side, so that a slow phase meets all alike."""
    return [Job(policy, FIRST_SEED + seed) for seed in range(seeds) for policy in policies]


def report(question_: Question, names: Sequence[str], results: Iterable[Result]) -> dict[str, Any]:
    """The report as it is written: JSON values alone."""
    by: dict[str, list[Result]] = {}
    for result in results:
        by.setdefault(result.job.policy, []).append(result)
    everything = next(iter(by.values()))
    means = {
        name: float(np.mean([getattr(r.references, name) for r in everything]))
        for name in ("best_static_mix", "oracle", "full_information_ridge", "random")
    }
    q = question_
    return {
        "scenario": q.scenario,
        "budget_usd": q.budget_usd,
        "features": q.features,
        "warm": q.warm,
        "focus": None if q.focus is None else names[q.focus],
        "seeds": len(everything),
        "deployments": list(names),
        "policies": {name: _row(found, means) for name, found in by.items()},
        "references": means | {"mix": list(everything[0].references.mix)},
        "advice": _advice(means, q.scenario),
    }


def _row(results: Sequence[Result], means: Mapping[str, float]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in results[0].figures:
        values = np.array([r.figures[name] for r in results])
        row[name] = float(values.mean())
        if name == "reward":
            found = interval(values)
            row["reward_ci95"] = [found.low, found.high]
    row["regret"] = means["full_information_ridge"] - row["reward"]
    row["regret_to_oracle"] = means["oracle"] - row["reward"]
    gap = means["full_information_ridge"] - means["best_static_mix"]
    row["gap_closed"] = (
        (row["reward"] - means["best_static_mix"]) / gap if gap > LEAST_GAP else None
    )
    row["false_alarms_in_20000"] = _false_alarms(results)
    row["per_seed"] = [r.figures for r in results]
    row["curve"] = np.mean([r.curve for r in results], axis=0).tolist()
    return row


def _false_alarms(results: Sequence[Result]) -> float:
    decisions = sum(r.figures["still_decisions"] for r in results)
    return 20_000.0 * sum(r.figures["false_alarms"] for r in results) / decisions


def interval(values: NDArray[np.float64]) -> Interval:
    """The mean over seeds with Student's interval; a point for one seed."""
    if len(values) < 2:
        return Interval(float(values[0]), float(values[0]), float(values[0]))
    return Moments.of(values).interval()


def _advice(means: Mapping[str, float], scenario: str) -> str:
    """Whether routing by the request is worth it at all on these outcomes."""
    gain = means["full_information_ridge"] - means["best_static_mix"]
    knowing = "" if scenario == "stationary" else " that knows every change"
    mix = f"the best static mix{knowing}"
    if gain >= WITHIN:
        return f"routing by the request can gain {gain:.3f} over {mix}"
    return f"do not route by the request: even full information gains {gain:.3f} over {mix}"


def run_all(
    bench: Bench, wanted: Sequence[Job], each: Callable[[Result], None] | None = None
) -> list[Result]:
    """All jobs in this process, in order."""
    found = []
    for job in wanted:
        found.append(bench.run(job))
        if each is not None:
            each(found[-1])
    return found
