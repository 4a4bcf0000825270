"""The week's savings beside fixed choices, by off-policy estimates: never by list prices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.errors import CannotSay
from experiments.reviewing.finding import Finding, Rates, Table, scaled, usd_range
from experiments.reviewing.swapping import COST, LIMITS, QUALITY, Drawn, Estimate, foretold
from experiments.statistics.adaptive import LEAST_DRAWS
from experiments.statistics.moments import Interval

Floats = NDArray[np.float64]
Said = tuple[Estimate, Estimate | None, float] | CannotSay
BEST, CHEAPEST, STRONGEST = "best fixed", "cheapest", "strongest"


@dataclass(frozen=True, slots=True)
class Choice:
    """A deployment for each task, chosen from the weeks *before*: on this week's own rows the
    choice would flatter itself.
    """

    slug: str
    words: str
    by_task: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Saving:
    """The totals of always choosing so, less what was: positive cost is money that was saved."""

    choice: Choice
    cost: Estimate
    quality: Estimate | None
    covered: float
    refused: tuple[str, ...]


def always(drawn: Drawn, arm: str) -> Said:
    """Cost and quality of always drawing ``arm`` where it had a chance, less those of what was
    drawn; and on how many decisions. Terms: p_k - sum e p + (1{k} / e_k - 1)(R - p_drawn).
    """
    if arm not in drawn.names:
        return CannotSay(f"{arm} was not eligible in {drawn.task}")
    k = drawn.names.index(arm)
    rows = drawn.propensities[:, k] > 0.0
    number = int(rows.sum())
    e_k = drawn.propensities[rows, k]
    hit = drawn.drawn[rows] == k
    if int(hit.sum()) < LEAST_DRAWS:
        return CannotSay(
            f"{arm} in {drawn.task} was drawn {int(hit.sum())} times, {LEAST_DRAWS} are needed"
        )
    weights = hit / e_k
    ess = min(float(weights.sum() ** 2 / (weights**2).sum()), number**2 / float((1.0 / e_k).sum()))
    needed = max(LIMITS.least_ess, LIMITS.least_ess_share * number)
    if ess < needed or float(weights.max()) > LIMITS.greatest_weight:
        return CannotSay(
            f"{arm} in {drawn.task}: an effective sample of {ess:.0f}, {needed:.0f} are needed"
        )
    cost = _estimate(drawn, COST, (k, rows), weights)
    if cost is None:
        return CannotSay(f"{arm} in {drawn.task}: too few outcomes")
    return cost, _estimate(drawn, QUALITY, (k, rows), weights), float(number)


def _estimate(
    drawn: Drawn, metric: str, of: tuple[int, NDArray[np.bool_]], weights: Floats
) -> Estimate | None:
    k, rows = of
    e = drawn.propensities[rows]
    p = np.column_stack([foretold(drawn, metric, at)[rows] for at in range(len(drawn.names))])
    values = drawn.values[metric][rows]
    at_drawn = p[np.arange(len(p)), drawn.drawn[rows]]
    told = np.isfinite(values)
    if int((told & (weights > 0)).sum()) < LEAST_DRAWS:
        return None
    off = values[told] - at_drawn[told]
    terms = (p[:, k] - (e * p).sum(1))[told] + (weights[told] - 1.0) * off
    # held above what the propensities promise: heavy rows that did not come yet
    held = float(((1.0 / e[told, k] - 1.0) * float((off**2).mean())).mean())
    count = len(terms)
    error = math.sqrt(max(float(terms.var(ddof=1)), held) / count)
    return Estimate(len(p) * float(terms.mean()), len(p) * error, count)


def of_task(drawn: Drawn, choices: Sequence[Choice]) -> list[Said]:
    """Of each choice what it would have been in this task."""
    told: list[Said] = []
    for choice in choices:
        arm = choice.by_task.get(drawn.task)
        if arm is None:
            told.append(CannotSay(f"{drawn.task}: nothing before it to choose by"))
        else:
            told.append(always(drawn, arm))
    return told


def savings(choices: Sequence[Choice], said: Sequence[Sequence[Said]], rows: float) -> list[Saving]:
    """Of each choice its total over the tasks that can be said, and why the others cannot.
    ``said``: by task, then choice; ``rows``: drawn decisions of all tasks.
    """
    told = []
    for at, choice in enumerate(choices):
        found = [each[at] for each in said]
        refused = tuple(str(each) for each in found if isinstance(each, CannotSay))
        known = [each for each in found if not isinstance(each, CannotSay)]
        if not known:
            told.append(Saving(choice, Estimate(0.0, 0.0, 0), None, 0.0, refused))
            continue
        rated = [each[1] for each in known if each[1] is not None]
        quality = added(rated) if len(rated) == len(known) else None
        covered = math.fsum(each[2] for each in known) / (rows or 1.0)
        told.append(Saving(choice, added([each[0] for each in known]), quality, covered, refused))
    return told


def choices_of(before: Table, rates: Rates) -> list[Choice]:
    """The three fixed choices, from the sums by task and deployment of the weeks before."""
    found = _by_pair(before)
    cheapest: dict[str, tuple[float, str]] = {}
    strongest: dict[str, tuple[float, str]] = {}
    worth: dict[str, list[tuple[float, float]]] = {}
    for (task, deployment), (requests, cost, quality, rated) in sorted(found.items()):
        if requests < LEAST_DRAWS:
            continue
        mean_cost = cost / requests
        if task not in cheapest or mean_cost < cheapest[task][0]:
            cheapest[task] = (mean_cost, deployment)
        if rated < LEAST_DRAWS:
            continue
        mean = quality / rated
        if task not in strongest or mean > strongest[task][0]:
            strongest[task] = (mean, deployment)
        value = mean - mean_cost / rates.quality_usd if rates.quality_usd else mean
        worth.setdefault(deployment, []).append((value, requests))
    told = [
        Choice(CHEAPEST, "always the cheapest", {task: each[1] for task, each in cheapest.items()}),
        Choice(STRONGEST, "always the strongest", {t: each[1] for t, each in strongest.items()}),
    ]
    widest = max((len(each) for each in worth.values()), default=0)
    values = {
        deployment: sum(v * n for v, n in each) / sum(n for _, n in each)
        for deployment, each in worth.items() if len(each) == widest
    }  # fmt: skip
    if values:
        best = max(sorted(values), key=lambda name: values[name])
        tasks = {task for task, _ in found}
        told.insert(
            0, Choice(BEST, "the best fixed deployment", dict.fromkeys(sorted(tasks), best))
        )
    return told


def _by_pair(before: Table) -> dict[tuple[str, str], tuple[float, float, float, float]]:
    if not len(before):
        return {}
    tasks, deployments = (before[name].astype(str) for name in ("task", "deployment"))
    pairs = np.char.add(np.char.add(tasks, "\n"), deployments)
    names, place = np.unique(pairs, return_inverse=True)
    sums = [
        np.bincount(place, weights=np.nan_to_num(before.number(name)), minlength=len(names))
        for name in ("requests", "cost_usd", "quality", "rated")
    ]
    return {
        (str(name).split("\n")[0], str(name).split("\n")[1]): (
            float(sums[0][at]), float(sums[1][at]), float(sums[2][at]), float(sums[3][at])
        )
        for at, name in enumerate(names)
    }  # fmt: skip


def added(estimates: Sequence[Estimate]) -> Estimate:
    """Totals of different decisions add; their errors as the root of squares."""
    total = math.fsum(each.total for each in estimates)
    error = math.sqrt(math.fsum(each.error**2 for each in estimates))
    return Estimate(total, error, min(each.rows for each in estimates))


def as_finding(saving: Saving, requests: float, sql: str) -> Finding:
    """In words, with the money."""
    choice = saving.choice
    slug, title = f"savings-{choice.slug.replace(' ', '-')}", f"Beside {choice.words}"
    if not saving.covered:
        why = CannotSay("; ".join(saving.refused) or "there are no drawn decisions")
        words = f"what {choice.words} would have cost cannot be said: {why}"
        short = CannotSay("its draws are too few, or too unlike what was drawn")
        return Finding("savings", slug, title, words, short, None, sql,
                       "raise the floor of exploration, or keep a holdout on it")  # fmt: skip
    money = saving.cost.interval()
    better = "nobody rated enough to tell its quality"
    if saving.quality is not None:
        gap = saving.quality.interval()
        over = requests * saving.covered or 1.0
        better = (
            f"its quality would have been {gap.estimate / over:+.3f} [{gap.low / over:+.3f} to "
            f"{gap.high / over:+.3f}] an answer"
        )
    left = f"; not said: {'; '.join(saving.refused)}" if saving.refused else ""
    arms = ", ".join(f"{task} on {arm}" for task, arm in sorted(choice.by_task.items()))
    words = (
        f"{choice.words} ({arms}) would have cost {_more(money)} than was spent, over "
        f"{saving.covered:.0%} of the drawn decisions; {better}{left}"
    )
    return Finding("savings", slug, title, words, money, None, sql, "none: this is the account")


def _more(money: Interval) -> str:
    if money.estimate >= 0.0:
        return f"{usd_range(money)} more"
    return f"{usd_range(scaled(money, -1.0))} less"
