"""The opportunities of a span: each alone, those that go together, money against quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.errors import CannotSay
from experiments.opportunities.by_day import ALPHA
from experiments.opportunities.changes import Batch, Cache, Skip, Tier
from experiments.opportunities.estimating import Estimated, Joint, alone, together
from experiments.opportunities.traffic import Traffic
from experiments.statistics.moments import Interval

LEAST_SHARE = 0.002  # of the spend; less is no opportunity
MOST_LOST = 0.02  # of quality a rated answer, by the interval's end, in what is taken together


@dataclass(frozen=True, slots=True)
class Opportunities:
    """``found``: first those that surely save and surely lose little, each by what it surely saves;
    ``front``: places in ``found`` of those that no other
    beats in money and in risk; ``taken``: places of those in ``joint``; ``unsaid``: what could not
    be estimated, and why.
    """

    found: tuple[Estimated, ...]
    front: tuple[int, ...]
    taken: tuple[int, ...]
    joint: Joint
    unsaid: tuple[Estimated, ...]


def opportunities(traffic: Traffic, alpha: float = ALPHA, ttl_s: float = 86_400.0) -> Opportunities:
    """Every task with every deployment, a cache, a batch and skipped checks.

    The tiers' intervals hold for all of them at once (Bonferroni), so that naming the best does
    not spoil its interval.
    """
    tasks = _tasks(traffic)
    tiers = [Tier(task, name) for task in tasks for name in _names(traffic, task)]
    found: list[Estimated] = []
    for change in tiers:
        found.append(alone(traffic, change, alpha / len(tiers)))
    for task in tasks:
        for other in (Cache(task, ttl_s), Batch(task), Skip(task)):
            found.append(alone(traffic, other, alpha))
    least = LEAST_SHARE * float(traffic.cost.sum() + traffic.checks.cost.sum())
    worth = [each for each in found if each.refusal is None and _low(each) is not None
             and each.saved_micro_usd >= max(least, 1.0)]  # fmt: skip
    worth.sort(key=lambda each: (not _sure(each), -(_low(each) or 0.0), each.change.text))
    taken = _together(worth)
    of_tiers = alpha / max(len(tiers), 1)
    joint = together(traffic, [worth[at].change for at in taken], alpha, of_tiers)
    unsaid = tuple(each for each in found if each.refusal is not None or _low(each) is None)
    return Opportunities(tuple(worth), front(worth), taken, joint, unsaid)


def front(found: Sequence[Estimated]) -> tuple[int, ...]:
    """Places of those that no other beats: none saves as much (by the interval's low end) at as
    little risk. Those whose risk cannot be said are beaten by nothing and beat nothing; they are
    left out.
    """
    known = [(at, _low(each) or 0.0, each.risk) for at, each in enumerate(found)
             if each.risk is not None]  # fmt: skip
    kept = []
    for at, saved, risk in known:
        beaten = any(
            s >= saved and r <= risk and (s > saved or r < risk)
            for other, s, r in known if other != at
        )  # fmt: skip
        if not beaten:
            kept.append(at)
    return tuple(kept)


def _together(found: Sequence[Estimated]) -> tuple[int, ...]:
    """Of those that are sure, of each task the tier that saves most; and all that is no tier."""
    taken: list[int] = []
    settled: set[str] = set()
    for at, each in enumerate(found):
        if not _sure(each):
            continue
        if isinstance(each.change, Tier):
            if each.change.task in settled:
                continue
            settled.add(each.change.task)
        taken.append(at)
    return tuple(taken)


def _sure(each: Estimated) -> bool:
    """Whether it saves by its interval's low end; and, of a tier, loses little by that."""
    if (_low(each) or 0.0) <= 0.0:
        return False
    if not isinstance(each.change, Tier):
        return True
    return isinstance(each.quality, Interval) and each.quality.low >= -MOST_LOST


def _tasks(traffic: Traffic) -> list[str]:
    found = {str(each) for each in np.unique(traffic.task.astype(str))}
    return sorted(found | {str(each) for each in np.unique(traffic.checks.task.astype(str))})


def _names(traffic: Traffic, task: str) -> tuple[str, ...]:
    rows = traffic.draws.task == task
    return traffic.draws.of(rows).names if rows.any() else ()


def _low(each: Estimated) -> float | None:
    return None if isinstance(each.saved, CannotSay) else each.saved.low
