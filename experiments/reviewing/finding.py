"""What a review says: findings with money and evidence, and the tables that they rest on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.errors import CannotSay, ExperimentError
from experiments.plain import plain
from experiments.statistics.moments import Interval
from experiments.statistics.multiplicity import e_benjamini_hochberg

ALPHA = 0.05  # false discoveries, as a share of what a review reports
CONFIDENCE = 0.95

Column = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns of one length, and the query that they came from."""

    columns: Mapping[str, Column]
    sql: str = ""

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ExperimentError(f"columns differ ({told}): give one entry a row in each")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __getitem__(self, name: str) -> Column:
        if name not in self.columns:
            raise ExperimentError(f"the table lacks {name}: add the column")
        return self.columns[name]

    def number(self, name: str) -> NDArray[np.float64]:
        """A column as floats; NaN where it was null."""
        told: NDArray[np.float64] = np.asarray(self[name], dtype=np.float64)
        return told

    def where(self, rows: NDArray[np.bool_]) -> Table:
        """The rows that are asked for."""
        return replace(self, columns={name: each[rows] for name, each in self.columns.items()})

    def rows(self) -> Iterable[dict[str, Any]]:
        """Row by row, of small tables."""
        names = list(self.columns)
        for values in zip(*self.columns.values(), strict=True):
            yield dict(zip(names, values, strict=True))


@dataclass(frozen=True, slots=True)
class Rates:
    """What the plan says that things are worth, in dollars: a point of quality (from 0 to 1) of
    one answer, and a second of waiting; None where no version tells it.
    """

    quality_usd: float | None = None
    second_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to act on. ``money``: US dollars a week, positive where acting saves them or where
    more was spent; CannotSay tells what is missing. ``evidence``: the logarithm of an e-value,
    None for a plain fact. ``subject``: task, tenant, deployment and the like, by name.
    """

    kind: str
    slug: str
    title: str
    words: str
    money: Interval | CannotSay
    evidence: float | None
    sql: str
    proposal: str
    links: tuple[str, ...] = ()
    subject: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """In plain form for JSON."""
        told: dict[str, Any] = plain(self)
        told["money"] = money_told(self.money)
        return told


@dataclass(frozen=True, slots=True)
class Review:
    """A review of a period. ``looked``: hypotheses that were tested, by kind; ``missing``: data
    that are not there, said plainly; ``figures`` and ``charts``: tables for the page.
    """

    name: str
    title: str
    since: str
    until: str
    through: str
    missing: tuple[str, ...]
    findings: tuple[Finding, ...]
    looked: Mapping[str, int]
    figures: Mapping[str, Any] = field(default_factory=dict)
    charts: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """In plain form for JSON."""
        told: dict[str, Any] = plain(self)
        told["findings"] = [each.to_dict() for each in self.findings]
        return told


def discovered(candidates: Iterable[Finding], alpha: float = ALPHA) -> tuple[Finding, ...]:
    """Plain facts, and of what was tested that which stands with false discoveries bounded over
    all that was looked at (e-BH: under any dependence).
    """
    given = list(candidates)
    tested = [each for each in given if each.evidence is not None]
    flags = e_benjamini_hochberg(np.array([each.evidence for each in tested], float), alpha)
    kept = {id(each) for each, flag in zip(tested, flags.tolist(), strict=True) if flag}
    return tuple(each for each in given if each.evidence is None or id(each) in kept)


def looked_at(candidates: Iterable[Finding]) -> dict[str, int]:
    """How many hypotheses were tested of each kind."""
    counted: dict[str, int] = {}
    for each in candidates:
        if each.evidence is not None:
            counted[each.kind] = counted.get(each.kind, 0) + 1
    return counted


def weight_of(finding: Finding) -> float:
    """By what a finding is sorted: the least that is at stake, where that is known."""
    money = finding.money
    if isinstance(money, CannotSay):
        return -1.0
    if money.low <= 0.0 <= money.high:
        return 0.0
    return min(abs(money.low), abs(money.high))


def money_told(money: Interval | CannotSay) -> dict[str, Any]:
    """Money in plain form; bounds that are infinite are null."""
    if isinstance(money, CannotSay):
        return {"cannot_say": str(money)}
    bounds = {"estimate": money.estimate, "low": money.low, "high": money.high}
    return {name: each if math.isfinite(each) else None for name, each in bounds.items()}


def scaled(interval: Interval, factor: float) -> Interval:
    """The interval times a number, its bounds kept in order."""
    ends = sorted((interval.low * factor, interval.high * factor))
    return Interval(interval.estimate * factor, ends[0], ends[1])


def usd(amount: float) -> str:
    """Dollars as people write them."""
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    if size >= 1_000:
        return f"{sign}${size:,.0f}"
    if size >= 0.995 or size == 0.0:
        return f"{sign}${size:.2f}"
    return f"{sign}${size:.3g}"


def usd_range(money: Interval) -> str:
    """Dollars with their bounds."""
    return f"{usd(money.estimate)} [{usd(money.low)} to {usd(money.high)}]"
