"""The weekly review: every question asked of a week's tables, and what stands of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments.reviewing import (
    conduct,
    decomposing,
    moving,
    pictures,
    rating,
    saving,
    serving,
    swapping,
    wasting,
)
from experiments.reviewing.finding import (
    Finding,
    Rates,
    Review,
    Table,
    discovered,
    looked_at,
    weight_of,
)

TENANTS = 5  # of a task, those that spend most, looked at on their own
KINDS = (
    "moved", "opportunity", "waste", "dominated", "mispriced", "slow", "fallback", "cache", "judge",
    "responses", "savings", "override", "experiment", "promotion",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """The week: its name and days as people write them; ``last_day`` counted from a Monday."""

    name: str
    since: str
    until: str
    last_day: int
    through: str
    weeks: int = 4


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """What was read, by name; a table that could not be read is not there, and ``missing`` says
    why, at the end also of ``tasks``: the drawn decisions, read a task at a time while the review
    is made, so that only one is held.
    """

    tables: Mapping[str, Table]
    tasks: Iterable[swapping.Drawn]
    rates: Rates
    missing: Sequence[str] = ()
    drawn_sql: str = ""


@dataclass(slots=True)
class _Making:
    """The review in the making."""

    span: Span
    given: Tables
    candidates: list[Finding] = field(default_factory=list)

    def with_table(self, names: tuple[str, ...], ask: Callable[..., list[Finding]]) -> None:
        """Ask where all tables are there and hold rows."""
        tables = [self.given.tables.get(name) for name in names]
        if all(each is not None for each in tables):
            self.candidates += ask(*tables)


def review(span: Span, given: Tables) -> Review:
    """All findings of the week: facts, and what was tested and stands with false discoveries
    bounded over all that was looked at.
    """
    making = _Making(span, given)
    rates = given.rates
    days = given.tables.get("days")
    if days is not None and len(days):
        making.candidates += moving.as_findings(days, span.last_day, rates, span.weeks)
        if _has_before(days, span):
            parts = decomposing.of_week(days, span.last_day, "cost_usd", "requests", span.weeks)
            making.candidates.append(decomposing.as_finding(parts, days.sql))
    _served(making)
    making.with_table(("overrides", "under", "beside"), conduct.overrides)
    making.with_table(("steps", "exposed"), conduct.steps)
    making.with_table(("promotions",), conduct.promotions)
    _rated(making)
    accounts = _drawn(making, days)
    stands = discovered(making.candidates)
    kept = [each for each in stands if each.kind not in ("waste", "dominated", "moved")]
    kept += moving.folded([each for each in stands if each.kind == "moved"])
    kept += wasting.best_of(each for each in stands if each.kind in ("waste", "dominated"))
    kept.sort(key=lambda each: (KINDS.index(each.kind), -weight_of(each), each.slug))
    return Review(
        name=f"weekly-{span.name}",
        title=f"Week {span.name}",
        since=span.since,
        until=span.until,
        through=span.through,
        missing=(*given.missing, *_missing(days, span)),
        findings=tuple(kept),
        looked=looked_at(making.candidates),
        figures=_figures(making, accounts),
        charts=_charts(given.tables, span),
    )


def _served(making: _Making) -> None:
    rates = making.given.rates
    making.with_table(("latencies", "latencies_before"), lambda a, b: serving.slow(a, b, rates))
    making.with_table(("served",), lambda each: serving.fallbacks(each, rates))
    making.with_table(("repeats",), serving.cache)
    making.with_table(("prices",), serving.mispriced)


def _rated(making: _Making) -> None:
    making.with_table(("judged",), rating.judgements)
    making.with_table(("judge_pairs",), rating.judges_and_people)
    making.with_table(("responses",), lambda each: rating.responses(each)[0])


def _drawn(making: _Making, days: Table | None) -> list[saving.Saving]:
    """Off-policy: a task at a time."""
    span, rates = making.span, making.given.rates
    choices: list[saving.Choice] = []
    if days is not None:
        before = days.where(days["day"] <= span.last_day - moving.WEEK)
        choices = saving.choices_of(before, rates)
    said, rows = [], 0.0
    for drawn in making.given.tasks:
        found = list(swapping.swaps(drawn, _dearest(drawn)))
        making.candidates += wasting.dominated(found)
        making.candidates += wasting.high_cost_low_value(found, rates)
        said.append(saving.of_task(drawn, choices))
        rows += len(drawn)
    if not said:
        return []
    told = saving.savings(choices, said, rows)
    sql = making.given.drawn_sql
    making.candidates += [saving.as_finding(each, rows, sql) for each in told]
    return told


def _dearest(drawn: swapping.Drawn) -> tuple[str, ...]:
    if len(drawn.cells) < 2:
        return ()
    spent = np.bincount(
        drawn.cell, weights=np.nan_to_num(drawn.values[swapping.COST]), minlength=len(drawn.cells)
    )
    return tuple(drawn.cells[at] for at in np.argsort(-spent, kind="stable")[:TENANTS])


def _has_before(days: Table, span: Span) -> bool:
    return bool((days["day"] <= span.last_day - moving.WEEK).any())


def _missing(days: Table | None, span: Span) -> tuple[str, ...]:
    """What the week lacks, in words."""
    if days is None:
        return ()
    told = []
    seen = set(days["day"].astype(np.int64).tolist())
    week = range(span.last_day - moving.WEEK + 1, span.last_day + 1)
    gone = [serving.DAYS[day % 7] for day in week if day not in seen]
    if len(gone) == moving.WEEK:
        return ("the week has no decisions: nothing was routed, or its files are missing",)
    if gone:
        told.append(f"no decisions on {', '.join(gone)}: figures are of the other days")
    base = range(span.last_day - moving.WEEK * (span.weeks + 1) + 1, week[0])
    lacking = sum(day not in seen for day in base)
    if lacking == len(base):
        told.append("no weeks before it: nothing can be said of what moved")
    elif lacking:
        told.append(f"{lacking} of the {len(base)} days before have no decisions")
    rows = days["day"] > span.last_day - moving.WEEK
    if not days.number("rated")[rows].sum():
        told.append("nothing was rated: quality, waste and savings in quality cannot be said")
    return tuple(told)


def _figures(making: _Making, accounts: list[saving.Saving]) -> dict[str, Any]:
    days, span = making.given.tables.get("days"), making.span
    told: dict[str, Any] = {}
    if days is not None:
        rows = days["day"] > span.last_day - moving.WEEK
        sums = {name: float(np.nan_to_num(days.number(name)[rows]).sum()) for name in moving.SUMS}
        told |= {
            "requests": int(sums["requests"]),
            "spend_usd": round(sums["cost_usd"], 6),
            "rated": int(sums["rated"]),
            "mean_quality": round(sums["quality"] / sums["rated"], 4) if sums["rated"] else None,
            "failed": int(sums["failed"]),
            "fallbacks": int(sums["fallbacks"]),
        }
        if _has_before(days, span):
            parts = decomposing.of_week(days, span.last_day, "quality", "rated", span.weeks)
            told["quality_change"] = _quality_change(parts, sums["rated"])
    told["savings_covered"] = {each.choice.slug: round(each.covered, 4) for each in accounts}
    responses = making.given.tables.get("responses")
    if responses is not None:
        told["responses"] = pictures.responses(responses)
    return told


def _quality_change(parts: decomposing.Decomposition, rated: float) -> dict[str, float] | None:
    """The change of the mean rating as mix and within; None without ratings."""
    if not rated:
        return None
    return {"mix": round(parts.mix / rated, 5), "within": round(parts.within / rated, 5)}


def _charts(tables: Mapping[str, Table], span: Span) -> dict[str, Any]:
    told: dict[str, Any] = {}
    weights = tables.get("weights")
    if weights is None or not len(weights):
        weights = tables.get("shares")
    if weights is not None and len(weights):
        told["weights"] = pictures.weights(weights, 56)
    if (days := tables.get("days")) is not None:
        told["spend"] = pictures.spend(days, span.last_day)
    if (rated := tables.get("qualities")) is not None:
        told["quality"] = pictures.quality(rated)
    if (latencies := tables.get("latencies")) is not None:
        told["latency"] = pictures.latency(latencies)
    return told
