"""What simple rules would have earned and cost on what was drawn, and what drawing itself cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.errors import CannotSay, ExperimentError
from experiments.offline.savings import ALL, DrawnRequests, foretold, paired
from experiments.statistics.comparison import ALPHA, footing
from experiments.statistics.inputs import Floats
from experiments.statistics.moments import Interval
from experiments.statistics.off_policy import LIMITS, Limits


@dataclass(frozen=True, slots=True)
class Change:
    """A rule less what was done, of a task (``ALL``: of all): cost of a draw with what its session
    held, in US dollars; quality and reward of a rated answer. ``ess``: the effective sample of the
    cost.
    """

    rule: str
    task: str
    draws: int
    rated: int
    ess: float
    cost_usd: Interval | CannotSay
    quality: Interval | CannotSay
    reward: Interval | CannotSay


def best_expected(log: DrawnRequests) -> Floats:
    """Shares [n, K] of taking whom the policy expected most reward of: no exploration at all. Where
    it told no expectation all stays as it was.
    """
    hopes = np.where(log.propensities > 0.0, log.expected_reward, np.nan)
    told = np.isfinite(hopes).any(1)
    target = log.propensities.copy()
    target[told] = 0.0
    rows = np.flatnonzero(told)
    target[rows, np.nanargmax(hopes[told], axis=1)] = 1.0
    return target


def evenly(log: DrawnRequests) -> Floats:
    """Shares [n, K] alike for all that had a chance."""
    had = log.propensities > 0.0
    shares: Floats = had / had.sum(1, keepdims=True)
    return shares


def always(log: DrawnRequests, name: str) -> Floats:
    """Shares [n, K] of one deployment wherever it had a chance; elsewhere all stays as it was."""
    if name not in log.names:
        raise ExperimentError(f"no draw knows {name!r}; there are {', '.join(log.names)}")
    at = log.names.index(name)
    had = log.propensities[:, at] > 0.0
    target = log.propensities.copy()
    target[had] = 0.0
    target[had, at] = 1.0
    return target


def blended(log: DrawnRequests, target: Floats, part: float) -> Floats:
    """Shares [n, K] of following ``target`` in that part of the requests, else what was done."""
    if not 0.0 <= part <= 1.0:
        raise ExperimentError(f"part is {part!r}: give a share from 0 to 1")
    shares: Floats = part * target + (1.0 - part) * log.propensities
    return shares


def changes(
    log: DrawnRequests,
    rules: Mapping[str, Floats],
    limits: Limits = LIMITS,
    alpha: float = ALPHA,
    by_task: bool = False,
) -> list[Change]:
    """Each rule (its shares [n, K]) beside what was done, by paired doubly robust terms.

    The intervals of one figure and task hold for all rules at once (Bonferroni), for one look.
    """
    parts = {ALL: np.ones(len(log), dtype=np.bool_)}
    if by_task:
        parts |= {task: log.task == task for task in sorted({str(each) for each in log.task})}
    level = alpha / max(len(rules), 1)
    return [
        _change(log, (name, target), (task, rows), (limits, level))
        for task, rows in parts.items()
        for name, target in rules.items()
    ]


def forgone(log: DrawnRequests) -> Floats:
    """What each draw gave up [n], in reward, as the policy itself saw it: the greatest expected
    reward of those that had a chance, less the mean by the propensities; NaN where it told none.
    """
    had = log.propensities > 0.0
    known = np.isfinite(log.expected_reward).all(1, where=had)
    hopes = np.where(had, log.expected_reward, -np.inf)
    drawn = np.where(had, log.propensities * log.expected_reward, 0.0).sum(1)
    lost: Floats = np.where(known, hopes.max(1, initial=-np.inf) - drawn, np.nan)
    return lost


def _change(
    log: DrawnRequests, rule: tuple[str, Floats], part: tuple[str, NDArray[np.bool_]],
    how: tuple[Limits, float],
) -> Change:  # fmt: skip
    task, rows = part
    rated = rows & np.isfinite(log.quality) & np.isfinite(log.reward)
    base = footing(log.drawn[rows], log.propensities[rows], rule[1][rows])

    def less(which: NDArray[np.bool_], values: tuple[Floats, Floats]) -> Interval | CannotSay:
        return _less(log, which, values, rule[1], how)

    return Change(
        rule[0], task, int(rows.sum()), int(rated.sum()), base.ess,
        less(rows, (log.cost_usd, log.expected_cost_usd)),
        less(rated, (log.quality, log.expected_quality)),
        less(rated, (log.reward, log.expected_reward)),
    )  # fmt: skip


def _less(
    drawn: DrawnRequests, rows: NDArray[np.bool_], values: tuple[Floats, Floats], target: Floats,
    how: tuple[Limits, float],
) -> Interval | CannotSay:  # fmt: skip
    limits, alpha = how
    asked = target[rows]
    refused = footing(drawn.drawn[rows], drawn.propensities[rows], asked).refusal(limits)
    if refused is not None:
        return refused
    log = foretold(drawn, rows, values)
    return paired(log, asked - log.propensities, alpha)
