"""What routing saved and gained against one deployment for everything, from what was drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from experiments.errors import CannotSay
from experiments.statistics.adaptive import (
    LoggedDecisions,
    doubly_robust_terms,
    running_predictions,
    variance_terms,
)
from experiments.statistics.comparison import ALPHA, footing, foreseen
from experiments.statistics.inputs import Floats, Ints, alike, arms, distributions, finite
from experiments.statistics.moments import Interval
from experiments.statistics.off_policy import LIMITS, Limits

ALL = ""  # the task that stands for all of them together
LEAST_WHERE = 0.5  # of the requests, in which a deployment must have had a chance


class Baseline(StrEnum):
    """One deployment for all requests of a task."""

    CHEAPEST = "cheapest"  # the one whose requests cost least
    STRONGEST = "strongest"  # the one whose answers are rated best
    BEST_FIXED = "best fixed"  # the one with the greatest reward


@dataclass(frozen=True, slots=True, eq=False)
class DrawnRequests:
    """Randomised decisions in the order of the log, with what came of them.

    ``names`` [K]; ``task`` [n]; ``drawn`` [n]: the arm; ``propensities`` [n, K]: as logged, 0 where
    it could not be drawn; ``requests`` and ``cost_usd`` [n]: how many requests the draw decided
    (its own and those that the session held) and what they cost together; ``quality`` and
    ``reward`` [n]: of its own answer, NaN where it was not rated; ``expected_quality``,
    ``expected_reward`` and ``expected_cost_usd`` [n, K]: by the policy before the draw, NaN where
    it was not asked.
    """

    names: tuple[str, ...]
    task: NDArray[np.object_]
    drawn: Ints
    propensities: Floats
    requests: Floats
    cost_usd: Floats
    quality: Floats
    reward: Floats
    expected_quality: Floats
    expected_reward: Floats
    expected_cost_usd: Floats

    def __post_init__(self) -> None:
        distributions(self.propensities, "propensities")
        arms(self.drawn, "drawn", len(self.names))
        for name in ("requests", "cost_usd"):
            finite(getattr(self, name), name)
        alike({name: len(getattr(self, name)) for name in self.__slots__ if name != "names"})

    def __len__(self) -> int:
        return len(self.drawn)

    def of(self, rows: NDArray[np.bool_]) -> DrawnRequests:
        """Some of the rows; arms that had no chance in any of them are left out."""
        e = self.propensities[rows]
        kept = np.flatnonzero((e > 0.0).any(0)) if len(e) else np.arange(len(self.names))
        place = np.zeros(len(self.names), dtype=np.int64)
        place[kept] = np.arange(len(kept))
        return DrawnRequests(
            tuple(self.names[at] for at in kept), self.task[rows], place[self.drawn[rows]],
            e[:, kept], self.requests[rows], self.cost_usd[rows], self.quality[rows],
            self.reward[rows], self.expected_quality[rows][:, kept],
            self.expected_reward[rows][:, kept], self.expected_cost_usd[rows][:, kept],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Saving:
    """Routing beside one deployment for all requests of a task (``ALL``: of all tasks).

    The deployment answers wherever it had a chance (``where``, a share of the draws); elsewhere all
    stays as it was. ``saved_usd``: in all, above zero where routing spent less. ``quality_gained``
    and ``reward_gained``: of a rated answer, above zero where routing answers better. ``ess``: the
    effective sample of the cost. ``unsaid``: the deployments of which nothing can be said, and why:
    one of them might be the one that is asked for. Where none can be named, ``deployment`` is empty
    and the figures say why.
    """

    task: str
    baseline: Baseline
    deployment: str
    draws: int
    requests: int
    rated: int
    spent_usd: float
    where: float
    ess: float
    saved_usd: Interval | CannotSay
    quality_gained: Interval | CannotSay
    reward_gained: Interval | CannotSay
    unsaid: Mapping[str, str]


def savings(
    log: DrawnRequests, limits: Limits = LIMITS, alpha: float = ALPHA
) -> tuple[Saving, ...]:
    """Against the cheapest, the strongest and the best fixed deployment: of all tasks together, and
    of each.

    Doubly robust estimates of what the same requests would have cost and earned, from the draws
    alone; no list price and no assumption enters. Within a task all intervals of a figure hold
    together with a chance of 1 - ``alpha``, for every deployment at once (Bonferroni), so that
    naming the best one afterwards does not spoil its interval. They are for one look. ``limits``
    as in ``off_policy_value``: below them nothing is said.
    """
    tasks = sorted({str(task) for task in log.task})
    found = list(_of_task(log, ALL, limits, alpha))
    for task in tasks if len(tasks) > 1 else ():
        found += _of_task(log.of(log.task == task), task, limits, alpha)
    if len(tasks) == 1:
        found += [replace(each, task=tasks[0]) for each in found]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Arm:
    """Of one deployment: what routing gained over it, a draw; ``level`` is its own value."""

    gained: Interval
    level: float
    ess: float


_Said = Mapping[str, _Arm | CannotSay]


def _of_task(log: DrawnRequests, task: str, limits: Limits, alpha: float) -> tuple[Saving, ...]:
    rated = np.isfinite(log.quality) & np.isfinite(log.reward)
    every = np.ones(len(log), dtype=np.bool_)
    cost = _against_each(log, every, (log.cost_usd, log.expected_cost_usd), limits, alpha)
    quality = _against_each(log, rated, (log.quality, log.expected_quality), limits, alpha)
    reward = _against_each(log, rated, (log.reward, log.expected_reward), limits, alpha)
    chosen: tuple[tuple[Baseline, _Said, Callable[[float], float]], ...] = (
        (Baseline.CHEAPEST, cost, lambda level: -level),
        (Baseline.STRONGEST, quality, lambda level: level),
        (Baseline.BEST_FIXED, reward, lambda level: level),
    )
    found = []
    for baseline, by, worth in chosen:
        sure = {name: arm for name, arm in by.items() if isinstance(arm, _Arm)}
        unsaid = {name: str(arm) for name, arm in by.items() if isinstance(arm, CannotSay)}
        name = max(sure, key=lambda each: worth(sure[each].level)) if sure else ""
        none = CannotSay("of no deployment can it be said which one that is")
        spent = cost.get(name, none)
        found.append(
            Saving(
                task=task,
                baseline=baseline,
                deployment=name,
                draws=len(log),
                requests=int(log.requests.sum()),
                rated=int(rated.sum()),
                spent_usd=float(log.cost_usd.sum()),
                where=_where(log, name),
                ess=spent.ess if isinstance(spent, _Arm) else 0.0,
                saved_usd=_times(spent, -float(len(log))),
                quality_gained=_times(quality.get(name, none), 1.0),
                reward_gained=_times(reward.get(name, none), 1.0),
                unsaid=unsaid,
            )
        )
    return tuple(found)


def _where(log: DrawnRequests, name: str) -> float:
    """The share of the draws in which a deployment had a chance."""
    if not name:
        return 0.0
    return float((log.propensities[:, log.names.index(name)] > 0.0).mean())


def _times(arm: _Arm | CannotSay, factor: float) -> Interval | CannotSay:
    if isinstance(arm, CannotSay):
        return arm
    ends = sorted((arm.gained.low * factor, arm.gained.high * factor))
    return Interval(arm.gained.estimate * factor, *ends)


def _against_each(
    drawn: DrawnRequests,
    rows: NDArray[np.bool_],
    values: tuple[Floats, Floats],
    limits: Limits,
    alpha: float,
) -> _Said:
    """Routing's mean of a figure less that of each deployment; ``values``: the figure [n], and as
    the policy expected it [n, K].
    """
    if int(rows.sum()) < 2:
        few = CannotSay(f"two rows are needed, there are {int(rows.sum())}")
        return dict.fromkeys(drawn.names, few)
    log = foretold(drawn, rows, values)
    return {
        name: _against(log, at, limits, alpha / len(drawn.names))
        for at, name in enumerate(drawn.names)
    }


def foretold(
    drawn: DrawnRequests, rows: NDArray[np.bool_], values: tuple[Floats, Floats]
) -> LoggedDecisions:
    """Some of the rows with a figure of theirs and predictions of it that only look back;
    ``values`` as above.
    """
    e, arm, told = drawn.propensities[rows], drawn.drawn[rows], values[0][rows]
    log = LoggedDecisions(arm, e, told, np.zeros_like(e))
    running = _running(drawn.task[rows], arm, told, len(drawn.names))
    expected = values[1][rows]
    candidates = [running]
    if np.isfinite(expected).any():
        candidates.append(np.where(np.isfinite(expected), expected, running))
    return replace(log, predictions=foreseen(log, candidates))


def _running(task: NDArray[np.object_], arm: Ints, values: Floats, number: int) -> Floats:
    """Each arm's mean so far in the row's task, one value of 0 before the first."""
    found = np.zeros((len(arm), number))
    for each in np.unique(task.astype(str)):
        rows = task == each
        found[rows] = running_predictions(arm[rows], values[rows], number, prior=0.0)
    return found


def _against(log: LoggedDecisions, arm: int, limits: Limits, alpha: float) -> _Arm | CannotSay:
    """As it was less the arm wherever it had a chance."""
    had = log.propensities[:, arm] > 0.0
    if had.mean() < LEAST_WHERE:
        return CannotSay(f"it had a chance in {had.mean():.1%} of the draws only")
    target = log.propensities.copy()
    target[had] = 0.0
    target[had, arm] = 1.0
    base = footing(log.drawn, log.propensities, target)
    refused = base.refusal(limits)
    if refused is not None:
        return refused
    gained = paired(log, log.propensities - target, alpha)
    return _Arm(gained, float(log.rewards.mean()) - gained.estimate, base.ess)


def paired(log: LoggedDecisions, change: Floats, alpha: float) -> Interval:
    """The mean of what a change of the probabilities [n, K] brings a draw, doubly robust, for one
    look.
    """
    terms = doubly_robust_terms(log, change)
    held = float(variance_terms(log, change).mean())
    count, mean = len(terms), float(terms.mean())
    error = math.sqrt(max(float(terms.var(ddof=1)), held) / count)
    reach = float(stats.t.ppf(1.0 - alpha / 2.0, count - 1)) * error
    return Interval(mean, mean - reach, mean + reach)
