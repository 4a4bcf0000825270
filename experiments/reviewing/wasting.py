"""Money that quality does not follow: dominated deployments, and dear ones that earn too little."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from experiments.reviewing import ratios
from experiments.reviewing.finding import Finding, Rates, usd, usd_range
from experiments.reviewing.swapping import COST, LATENCY, QUALITY, Estimate, Swap
from experiments.statistics.moments import Interval


@dataclass(frozen=True, slots=True)
class Net:
    """What a swap would earn in dollars a week, all counted; ``counted``: what is in it."""

    value: Estimate
    counted: tuple[str, ...]


def net_of(swap: Swap, rates: Rates) -> Net | None:
    """Money saved, plus quality gained and waiting saved at the plan's rates.

    The errors are added as if they always erred together, which is never too little.
    """
    if COST not in swap.changes or QUALITY not in swap.changes or rates.quality_usd is None:
        return None
    parts = [(COST, -1.0), (QUALITY, rates.quality_usd)]
    if rates.second_usd is not None and LATENCY in swap.changes:
        parts.append((LATENCY, -rates.second_usd))
    total = math.fsum(worth * swap.changes[name].total for name, worth in parts)
    error = math.fsum(abs(worth) * swap.changes[name].error for name, worth in parts)
    rows = min(swap.changes[name].rows for name, _ in parts)
    return Net(Estimate(total, error, rows), tuple(name for name, _ in parts))


def dominated(found: Iterable[Swap]) -> list[Finding]:
    """Of each pair in a task: is the one worse and dearer than the other?

    The evidence is the lesser of the two one-sided ones: both must be shown.
    """
    told = []
    for swap in found:
        if swap.tenant or swap.refused or COST not in swap.changes or QUALITY not in swap.changes:
            continue
        cost, quality = swap.changes[COST], swap.changes[QUALITY]
        log_e = min(ratios.above(-cost.ratio), ratios.above(quality.ratio))
        gain = per_request(quality, swap)
        words = (
            f"in {swap.task}, {swap.deployment} is dearer and worse than {swap.other}: on its "
            f"{swap.moved:,.0f} requests the other would have cost {usd_range(_saved(cost))} less "
            f"and earned {gain.estimate:+.3f} [{gain.low:+.3f} to {gain.high:+.3f}] of quality an "
            f"answer ({swap.ess:,.0f} effective draws of it)"
        )
        told.append(Finding(
            "dominated", f"dominated-{swap.task}-{swap.deployment}-{swap.other}",
            f"{swap.deployment} is dominated by {swap.other} in {swap.task}", words, _saved(cost),
            log_e, sql_of(swap),
            f"take {swap.deployment} out of {swap.task} (an experiment that excludes it there "
            f"shows it; or an override while one runs)", (), _subject(swap),
        ))  # fmt: skip
    return told


def high_cost_low_value(found: Iterable[Swap], rates: Rates) -> list[Finding]:
    """Of each pair in a task, and in the tenants that spend most: is the dearer one worth it?"""
    told = []
    for swap in found:
        net = None if swap.refused else net_of(swap, rates)
        if net is None or COST not in swap.changes:
            continue
        cost, quality = swap.changes[COST], swap.changes[QUALITY]
        if cost.total >= 0.0:
            continue  # the other is no cheaper: not a matter of money
        log_e = min(ratios.above(net.value.ratio), ratios.above(-cost.ratio))
        where = f"{swap.task} of {swap.tenant}" if swap.tenant else swap.task
        price = dollars_a_point(cost, quality)
        earned = net.value.interval()
        words = (
            f"in {where}, {swap.deployment} took {usd(swap.spent_usd)} for {swap.moved:,.0f} "
            f"requests; on {swap.other} they would have cost {usd_range(_saved(cost))} less. "
            f"{price}; the plan values a point at {usd((rates.quality_usd or 0.0) / 100.0)} an "
            f"answer. All counted the other earns {usd_range(earned)} more a week "
            f"({swap.ess:,.0f} effective draws of it)"
        )
        told.append(Finding(
            "waste", "-".join(["waste", swap.task, *([swap.tenant] if swap.tenant else []),
                               swap.deployment, swap.other]),
            f"{swap.deployment} costs more than it earns in {where}", words, _saved(cost), log_e,
            sql_of(swap),
            f"try {swap.other} for {where}: an experiment with a variant that excludes "
            f"{swap.deployment}, or a thriftier dial there", (), _subject(swap),
        ))  # fmt: skip
    return told


def best_of(found: Iterable[Finding]) -> list[Finding]:
    """Of findings that stand, for each task, tenant and deployment that of the other which saves
    most; what is dominated is not told again as merely dear, and a tenant's is told only where the
    whole task's is not.
    """
    kept: dict[tuple[str, str, str], Finding] = {}
    order = sorted(found, key=lambda each: (each.kind != "dominated", -_least(each), each.slug))
    for each in order:
        of = each.subject
        kept.setdefault((of["deployment"], of["task"], of["tenant"]), each)
    return [
        each for (deployment, task, tenant), each in kept.items()
        if not tenant or (deployment, task, "") not in kept
    ]  # fmt: skip


def per_request(quality: Estimate, swap: Swap) -> Interval:
    """A change of a total as that of one moved request."""
    over = swap.moved or 1.0
    told = quality.interval()
    return Interval(told.estimate / over, told.low / over, told.high / over)


def dollars_a_point(cost: Estimate, quality: Estimate) -> str:
    """What a point of quality (a hundredth) costs where the dearer one is better."""
    lost = quality.interval()
    if lost.estimate >= 0.0:
        return "It buys no quality: the other is as good or better by the estimate"
    points = -lost.estimate * 100.0
    price = usd(-cost.total / points)
    least = usd(-cost.interval().high / (-lost.low * 100.0)) if lost.low < 0.0 else None
    bound = f" (at least {least})" if least and cost.interval().high < 0.0 else ""
    return f"A point of quality costs {price} an answer there{bound}"


def _saved(cost: Estimate) -> Interval:
    told = cost.interval()
    return Interval(-told.estimate, -told.high, -told.low)


def _least(finding: Finding) -> float:
    return finding.money.low if isinstance(finding.money, Interval) else -math.inf


def sql_of(swap: Swap) -> str:
    """The same estimate as a query; the period is put in by whoever knows it."""
    tenant = f" AND d.tenant = {_text(swap.tenant)}" if swap.tenant else ""
    return _SQL.format(
        d=_text(swap.deployment), b=_text(swap.other), task=_text(swap.task), tenant=tenant
    )


def _subject(swap: Swap) -> dict[str, str]:
    return {"task": swap.task, "tenant": swap.tenant, "deployment": swap.deployment,
            "other": swap.other}  # fmt: skip


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


_SQL = """\
WITH chances AS (
    SELECT r.drawn, r.cost_usd, r.quality,
           list_extract(d.propensities, list_position(d.eligible, {d})) AS e_d,
           list_extract(d.propensities, list_position(d.eligible, {b})) AS e_b,
           coalesce(list_extract(d.cost_usd, list_position(d.eligible, {d})), 0) AS c_d,
           coalesce(list_extract(d.cost_usd, list_position(d.eligible, {b})), 0) AS c_b,
           coalesce(list_extract(d.quality, list_position(d.eligible, {d})), 0) AS q_d,
           coalesce(list_extract(d.quality, list_position(d.eligible, {b})), 0) AS q_b
    FROM decisions d JOIN rounds r ON r.id = d.id
    WHERE d.ts >= '<<since>>' AND d.ts < '<<until>>' AND d.mode = 'randomised'
      AND d.task = {task}{tenant} AND r.status IS NOT NULL)
SELECT count(*) AS rows, sum(e_d) AS moved,
       sum(e_d * (c_b - c_d) + CASE drawn WHEN {b} THEN e_d / e_b * (cost_usd - c_b)
           WHEN {d} THEN c_d - cost_usd ELSE 0 END) AS cost_change_usd,
       count(quality) AS rated,
       count(*) * avg(CASE WHEN quality IS NOT NULL THEN e_d * (q_b - q_d)
           + CASE drawn WHEN {b} THEN e_d / e_b * (quality - q_b)
             WHEN {d} THEN q_d - quality ELSE 0 END END) AS quality_change
FROM chances WHERE e_d > 0 AND e_b > 0"""
