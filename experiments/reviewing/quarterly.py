"""The quarterly review: deployments to retire, candidates that earn their place, prices moved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.errors import CannotSay
from experiments.reviewing import pictures, ratios, saving, wasting
from experiments.reviewing.finding import (
    Finding,
    Rates,
    Review,
    Table,
    discovered,
    looked_at,
    scaled,
    usd_range,
    weight_of,
)
from experiments.reviewing.swapping import COST, QUALITY, Drawn, Estimate, Swap, swaps
from experiments.statistics.moments import Interval

NO_SHARE = 0.01  # of a task's draws: below, a deployment has none to speak of
MOVED_PRICE = 0.02
KINDS = ("retire", "candidate", "capability", "price")


@dataclass(frozen=True, slots=True)
class Quarter:
    """The quarter, the weeks that its off-policy estimates rest on, and until when the log goes."""

    name: str
    since: str
    until: str
    rests_on: str
    through: str
    weeks: int = 4


def review(
    quarter: Quarter, tasks: Iterable[Drawn], rates: Rates, tables: dict[str, Table],
    missing: Sequence[str],
) -> Review:  # fmt: skip
    """``tasks``: of each week, a task at a time. ``tables``: ``qualities`` as the weekly's, and
    ``prices`` with the sums by deployment and month that give its prices.
    """
    found, draws = _gather(tasks)
    candidates = [*retired(found, draws, quarter.weeks)]
    candidates += earning(found, draws, (rates, quarter.weeks))
    if (prices := tables.get("prices")) is not None:
        candidates += moved_prices(prices)
    capability: list[dict[str, Any]] = []
    if (qualities := tables.get("qualities")) is not None:
        capability = pictures.quality(qualities)
        candidates += capabilities(capability, qualities.sql)
    stands = list(discovered(candidates))
    stands.sort(key=lambda each: (KINDS.index(each.kind), -weight_of(each), each.slug))
    told = list(missing)
    if not found:
        told.append("no drawn decisions to estimate from: nothing can be retired or preferred")
    figures = {"tiles": {
        "off-policy estimates rest on": quarter.rests_on,
        "pairs compared": f"{len(found):,}",
        "tasks": str(len({task for task, _ in draws})),
    }}  # fmt: skip
    return Review(
        f"quarterly-{quarter.name}", f"Quarter {quarter.name}", quarter.since, quarter.until,
        quarter.through, tuple(told), tuple(stands), looked_at(candidates), figures,
        {"quality": capability},
    )  # fmt: skip


def _gather(tasks: Iterable[Drawn]) -> tuple[list[Swap], dict[tuple[str, str], float]]:
    """Each pair of a task with its weeks added, and the draws of each deployment."""
    parts: dict[tuple[str, str, str], list[Swap]] = {}
    draws: dict[tuple[str, str], float] = {}
    for drawn in tasks:
        counts = np.bincount(drawn.drawn, minlength=len(drawn.names))
        for name, count in zip(drawn.names, counts.tolist(), strict=True):
            draws[drawn.task, name] = draws.get((drawn.task, name), 0.0) + count
        for swap in swaps(drawn):
            parts.setdefault((swap.task, swap.deployment, swap.other), []).append(swap)
    return [added(each) for each in parts.values()], draws


def added(weeks: Sequence[Swap]) -> Swap:
    """A pair over weeks: of those that can be said; refused where none can."""
    said = [each for each in weeks if each.refused is None]
    if not said:
        return weeks[-1]
    metrics = {name for each in said for name in each.changes}
    changes: dict[str, Estimate] = {}
    for metric in sorted(metrics):
        known = [each.changes[metric] for each in said if metric in each.changes]
        whole = saving.added(known)
        changes[metric] = Estimate(whole.total, whole.error, sum(each.rows for each in known))
    first = said[0]
    return Swap(
        first.task, first.tenant, first.deployment, first.other,
        math.fsum(each.moved for each in said), math.fsum(each.spent_usd for each in said),
        math.fsum(each.ess for each in said), changes,
    )  # fmt: skip


def retired(
    found: Sequence[Swap], draws: dict[tuple[str, str], float], weeks: int = 4
) -> list[Finding]:
    """Is there, in every task where it was drawn, another that is better and cheaper?

    The evidence is the least over its tasks of the greatest over the others divided by their
    number: all tasks must be shown, and it does not matter which other shows it.
    """
    told = []
    for name in sorted({deployment for _, deployment in draws}):
        tasks = sorted(task for (task, each), count in draws.items() if each == name and count)
        evidence: list[float] = []
        lines: list[str] = []
        saved: list[Estimate] = []
        for task in tasks:
            mine = [each for each in found if (each.task, each.deployment) == (task, name)]
            best = _dominators(mine)
            if best is None:
                evidence = []
                break
            log_e, swap = best
            evidence.append(log_e)
            saved.append(swap.changes[COST])
            lines.append(f"{task}: {swap.other}")
        if not evidence:
            continue
        money = scaled(saving.added(saved).interval(), -1.0 / weeks)
        words = (
            f"in every task where {name} was drawn another is better and cheaper "
            f"({'; '.join(lines)}); they would have cost {usd_range(money)} less a week"
        )
        told.append(Finding(
            "retire", f"retire-{name}", f"{name} is dominated everywhere", words, money,
            min(evidence), "", f"drain {name} and take it out of the plan; its holdout first, if "
            "it is one", (), {"deployment": name},
        ))  # fmt: skip
    return [*told, *_unused(draws)]


def _dominators(mine: Sequence[Swap]) -> tuple[float, Swap] | None:
    shown = []
    for swap in mine:
        if swap.refused or COST not in swap.changes or QUALITY not in swap.changes:
            continue
        cost, quality = swap.changes[COST], swap.changes[QUALITY]
        log_e = min(ratios.above(-cost.ratio), ratios.above(quality.ratio))
        shown.append((log_e - math.log(max(1, len(mine))), swap.other, swap))
    if not shown:
        return None
    log_e, _, swap = max(shown, key=lambda each: (each[0], each[1]))
    return log_e, swap


def _unused(draws: dict[tuple[str, str], float]) -> list[Finding]:
    """Deployments that have no share of any task: a fact. What they could do is not known."""
    told = []
    totals: dict[str, float] = {}
    for (task, _), count in draws.items():
        totals[task] = totals.get(task, 0.0) + count
    for name in sorted({deployment for _, deployment in draws}):
        shares = {task: count / totals[task] for (task, each), count in draws.items()
                  if each == name and totals[task]}  # fmt: skip
        if shares and max(shares.values()) < NO_SHARE:
            most = max(shares, key=lambda task: shares[task])
            told.append(Finding(
                "retire", f"unused-{name}", f"{name} has no share of any task",
                f"{name} was drawn for at most {shares[most]:.2%} of a task ({most}): the policy "
                "keeps it for exploration alone",
                CannotSay("what it could earn is not in so few draws"), None, "",
                f"retire {name}, or give it an experiment that says what it can do", (),
                {"deployment": name},
            ))  # fmt: skip
    return told


def earning(
    found: Sequence[Swap], draws: dict[tuple[str, str], float], over: tuple[Rates, int]
) -> list[Finding]:
    """Where the deployment that is drawn most of a task would better give its share to another."""
    told = []
    rates, weeks = over
    for swap in found:
        task = swap.task
        shares = {name: count for (each, name), count in draws.items() if each == task}
        lead = max(sorted(shares), key=lambda name: shares[name])
        net = None if swap.refused else wasting.net_of(swap, rates)
        if swap.deployment != lead or net is None:
            continue
        money = scaled(net.value.interval(), 1.0 / weeks)
        words = (
            f"on the {swap.moved:,.0f} requests of {task} that {lead} got in those weeks, "
            f"{swap.other} would have earned {usd_range(money)} more a week, cost, quality and "
            f"waiting counted ({swap.ess:,.0f} effective draws of it)"
        )
        told.append(Finding(
            "candidate", f"candidate-{task}-{swap.other}", f"{swap.other} earns a place in {task}",
            words, money, ratios.above(net.value.ratio), wasting.sql_of(swap),
            f"let the policy have it (a lower floor for {lead}, a longer trial for {swap.other}), "
            "or decide by an experiment", (), {"task": task, "deployment": swap.other},
        ))  # fmt: skip
    return told


def capabilities(capability: Sequence[dict[str, Any]], sql: str) -> list[Finding]:
    """Of each task the ratings of its deployments; those whose intervals meet are tied."""
    told = []
    for task in sorted({str(each["task"]) for each in capability}):
        rows = sorted((each for each in capability if each["task"] == task),
                      key=lambda each: (-each["mean"], each["deployment"]))  # fmt: skip
        tied = [each["deployment"] for each in rows if each["high"] >= rows[0]["low"]]
        listed = ", ".join(
            f"{each['deployment']} {each['mean']:.3f} [{each['low']:.3f} to {each['high']:.3f}] of "
            f"{each['rated']:,}" for each in rows
        )  # fmt: skip
        first = " and ".join(tied) if len(tied) > 1 else f"{tied[0]} alone"
        told.append(Finding(
            "capability", f"capability-{task}", f"{task}: {first} in front", listed,
            CannotSay("a rating has no price; see the candidates"), None, sql,
            "none: raters choose what they rate, see who rates", (), {"task": task},
        ))  # fmt: skip
    return told


def moved_prices(prices: Table) -> list[Finding]:
    """Prices a million tokens, solved from what calls cost, at the quarter's start and end.

    ``prices``: deployment, month, calls, and the sums of products ``ii``, ``io``, ``oo``, ``ic``,
    ``oc`` of tokens in (i) and out (o) and the cost in micro-dollars (c).
    """
    told = []
    names = prices["deployment"].astype(str)
    for name in np.unique(names):
        rows = list(prices.where(names == name).rows())
        solved = [(str(row["month"]), each) for row in rows if (each := _solve(row)) is not None]
        if len(solved) < 2:
            continue
        (since, (in0, out0)), (until, (in1, out1)) = solved[0], solved[-1]
        changes = [new / old - 1.0 for new, old in ((in1, in0), (out1, out0)) if old > 0.0]
        if not changes or max(abs(each) for each in changes) < MOVED_PRICE:
            continue
        last = next(row for row in rows if str(row["month"]) == until)
        usage = float(last["tokens_in"]) * (in1 - in0) + float(last["tokens_out"]) * (out1 - out0)
        month = usage / 1e6 * 7.0 / max(1.0, float(last["days"]))
        told.append(Finding(
            "price", f"price-{name}", f"The prices of {name} moved",
            f"a million tokens in cost ${in0:.4g} in {since} and ${in1:.4g} in {until}, out "
            f"${out0:.4g} and ${out1:.4g}", Interval(month, month, month), None, prices.sql,
            "see that the plan says so too; a price that fell may earn it a larger share", (),
            {"deployment": str(name)},
        ))  # fmt: skip
    return told


def _solve(row: dict[str, Any]) -> tuple[float, float] | None:
    """Dollars a million tokens in and out, by least squares; None where they are not apart."""
    ii, io, oo, ic, oc = (float(row[name]) for name in ("ii", "io", "oo", "ic", "oc"))
    determinant = ii * oo - io * io
    if float(row["calls"]) < 100 or determinant <= 1e-9 * ii * oo:
        return None
    return (ic * oo - oc * io) / determinant, (oc * ii - ic * io) / determinant
