"""Candidate questions for next month: what to try on everybody, and what it may be worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from experiments.errors import CannotSay
from experiments.reviewing import saving
from experiments.reviewing.finding import Rates
from experiments.reviewing.swapping import (
    COST,
    LATENCY,
    LIMITS,
    METRICS,
    QUALITY,
    Drawn,
    Estimate,
    foretold,
)
from experiments.statistics.adaptive import LEAST_DRAWS
from experiments.statistics.moments import Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A setting for a variant, and by metric what it would change over the week's decisions;
    ``value`` in dollars a week, all counted at the plan's rates.
    """

    slug: str
    hypothesis: str
    settings: Mapping[str, str]
    changes: Mapping[str, Estimate]
    value: Interval | CannotSay
    covered: float = 1.0


@dataclass(slots=True)
class Gathering:
    """The changes of each candidate as tasks go by, and what the traffic is like."""

    rates: Rates
    changes: dict[tuple[str, str], dict[str, list[Estimate]]] = field(default_factory=dict)
    refused: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    covered: dict[tuple[str, str], float] = field(default_factory=dict)
    rows: float = 0.0
    costs: list[Floats] = field(default_factory=list)
    qualities: list[Floats] = field(default_factory=list)
    number: int = 0

    def add(self, drawn: Drawn) -> None:
        """One task."""
        self.rows += len(drawn)
        self.number = max(self.number, 2 * len(drawn.names))
        costs, rated = drawn.values[COST], drawn.values[QUALITY]
        self.costs.append(costs[np.isfinite(costs)])
        self.qualities.append(rated[np.isfinite(rated)])
        for at, name in enumerate(drawn.names):
            self._take(("exclude", name), without(drawn, at))
            found = saving.always(drawn, name)
            if isinstance(found, CannotSay):
                self._take(("deployment", name), found)
            else:
                parts = {COST: found[0]} | ({QUALITY: found[1]} if found[1] else {})
                self._take(("deployment", name), (parts, found[2]))

    def _take(
        self, key: tuple[str, str], found: tuple[dict[str, Estimate], float] | CannotSay
    ) -> None:
        if isinstance(found, CannotSay):
            self.refused.setdefault(key, []).append(str(found))
            return
        parts, rows = found
        self.covered[key] = self.covered.get(key, 0.0) + rows
        for metric, estimate in parts.items():
            self.changes.setdefault(key, {}).setdefault(metric, []).append(estimate)

    def candidates(self) -> list[Candidate]:
        """All of them, those that promise most first; what cannot be said is after those."""
        told = []
        for key in sorted({*self.changes, *self.refused}):
            kind, name = key
            parts = {
                metric: saving.added(each) for metric, each in self.changes.get(key, {}).items()
            }
            hypothesis = (
                f"without {name} everybody is served as well or better for the money"
                if kind == "exclude" else f"{name} serves everybody better for its money"
            )  # fmt: skip
            share = self.covered.get(key, 0.0) / (self.rows or 1.0)
            told.append(Candidate(
                f"{'without' if kind == 'exclude' else 'all-on'}-{_slug(name)}", hypothesis,
                {kind: name}, parts, self._value(key, parts), share,
            ))  # fmt: skip
        return sorted(told, key=lambda each: (-_estimate(each.value), each.slug))

    def _value(self, key: tuple[str, str], parts: Mapping[str, Estimate]) -> Interval | CannotSay:
        if self.refused.get(key):
            return CannotSay("; ".join(self.refused[key][:3]))
        return value_of(parts, self.rates, 0.05 / max(1, self.number))


def value_of(
    parts: Mapping[str, Estimate], rates: Rates, alpha: float = 0.05
) -> Interval | CannotSay:
    """Dollars a week of a change, all counted; errors as if they always erred together. ``alpha``
    is of this one: shared by all that the best is chosen from, or the best flatters itself.
    """
    if COST not in parts:
        return CannotSay("too few outcomes")
    if QUALITY not in parts:
        return CannotSay("too few ratings to tell its quality")
    if rates.quality_usd is None:
        return CannotSay("no version says what a point of quality is worth")
    worth = [(COST, -1.0), (QUALITY, rates.quality_usd)]
    if rates.second_usd is not None and LATENCY in parts:
        worth.append((LATENCY, -rates.second_usd))
    total = math.fsum(each * parts[name].total for name, each in worth)
    error = math.fsum(abs(each) * parts[name].error for name, each in worth)
    return Estimate(total, error, min(parts[name].rows for name, _ in worth)).interval(1.0 - alpha)


def without(drawn: Drawn, at: int) -> tuple[dict[str, Estimate], float] | CannotSay:
    """What taking a deployment out would change: the others take its chance in proportion.

    Terms: sum (pi - e) p + (w - 1)(R - p_drawn), w = 1 / (1 - e_d) where another was drawn, else 0.
    """
    e_d = drawn.propensities[:, at]
    rows = (e_d > 0.0) & (e_d < 1.0)
    number = int(rows.sum())
    if number < LEAST_DRAWS:
        return CannotSay(f"{drawn.names[at]} had a choice in {number} decisions of {drawn.task}")
    rest = 1.0 - e_d[rows]
    mine = drawn.drawn[rows] == at
    weights = np.where(mine, 0.0, 1.0 / rest)
    ess = min(float(weights.sum() ** 2 / max(1e-300, (weights**2).sum())),
              number**2 / float((1.0 / rest).sum()))  # fmt: skip
    needed = max(LIMITS.least_ess, LIMITS.least_ess_share * number)
    if ess < needed or float(weights.max()) > LIMITS.greatest_weight:
        return CannotSay(f"{drawn.task}: an effective sample of {ess:.0f}, {needed:.0f} are needed")
    told = {}
    e = drawn.propensities[rows]
    change = np.where(np.arange(len(drawn.names)) == at, -e, e * (1.0 / rest - 1.0)[:, None])
    for metric in METRICS:
        values = drawn.values[metric][rows]
        known = np.isfinite(values)
        if int((known & ~mine).sum()) < LEAST_DRAWS:
            continue
        p = np.column_stack([foretold(drawn, metric, k)[rows] for k in range(len(drawn.names))])
        off = values[known] - p[np.arange(number), drawn.drawn[rows]][known]
        terms = (change * p).sum(1)[known] + (weights[known] - 1.0) * off
        held = float((1.0 / rest[known] - 1.0).mean() * (off**2).mean())
        error = math.sqrt(max(float(terms.var(ddof=1)), held) / len(terms))
        told[metric] = Estimate(number * float(terms.mean()), number * error, len(terms))
    return told, float(number)


def _estimate(value: Interval | CannotSay) -> float:
    return -math.inf if isinstance(value, CannotSay) else value.estimate


def _slug(name: str) -> str:
    kept = "".join(each if each.isalnum() else "-" for each in name.lower()).strip("-")
    return kept[:40] or "it"


def spread_of(parts: Sequence[Floats]) -> tuple[float, float, int]:
    """Mean, standard deviation and number of all values."""
    values = np.concatenate(list(parts)) if parts else np.zeros(0)
    if len(values) < 2:
        return 0.0, 0.0, len(values)
    return float(values.mean()), float(values.std(ddof=1)), len(values)
