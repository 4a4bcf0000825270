"""Our ledger beside a provider's export, by day and model: what differs, by how much, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from service.reporting.exported import COUNTS, Export, Sum

TOLERANCE = Decimal("0.001")
_SNAPSHOT = re.compile(r"[-@]\d{4}-?\d{2}-?\d{2}$")


class Difference(StrEnum):
    """Why a day of a model differs."""

    NONE = "none"
    ROUNDING = "rounding"
    TOKENS = "tokens"
    PRICE = "price"
    MISSING_HERE = "missing here"
    MISSING_THERE = "missing there"


@dataclass(frozen=True, slots=True)
class Line:
    """A day of a model: theirs and ours, None where there is none. ``off``: micro-dollars that we
    have more than they; None where the export has no costs.
    """

    day: str
    model: str
    theirs: Mapping[str, int | None] | None
    ours: Mapping[str, int] | None
    their_micro_usd: Decimal | None
    our_micro_usd: int
    why: Difference
    words: str

    @property
    def off(self) -> Decimal | None:
        """What we have more."""
        if self.theirs is not None and self.their_micro_usd is None:
            return None
        return self.our_micro_usd - (self.their_micro_usd or Decimal(0))


@dataclass(frozen=True, slots=True)
class Reconciled:
    """All lines; ``gross``: the sum of what each is off, so that nothing is made up for elsewhere,
    as a share of theirs; None where nothing can be compared.
    """

    lines: Sequence[Line]
    measured: str  # cost, or tokens where the export has no costs
    theirs: Decimal
    ours: Decimal
    gross: Decimal | None

    @property
    def within(self) -> bool:
        """Whether all that is off is at most a thousandth."""
        return self.gross is not None and self.gross <= TOLERANCE


def reconcile(
    export: Export, rows: Sequence[Mapping[str, Any]], renamed: Mapping[str, str],
    provider: str | None = None,
) -> Reconciled:  # fmt: skip
    """Hold an export against our rows by day, deployment, model and provider.

    A name of theirs is one of our models or deployments, also with a date behind it, or what
    ``renamed`` says that it is. Of ours count the days that the export spans, at the providers of
    the names that are found there, unless one is given.
    """
    ours_named = {str(r[name]) for r in rows for name in ("model", "deployment")}
    deployments = {str(r["deployment"]) for r in rows}
    theirs: dict[tuple[str, str], Sum] = {}
    for (day, name), each in export.sums.items():
        _join(theirs, (day, _ours(name, ours_named, renamed)), each)
    used = {name for _, name in theirs}
    first, last = (f(day for day, _ in theirs) if theirs else "" for f in (min, max))
    providers = {provider} if provider else {
        r["provider"] for r in rows if {r["model"], r["deployment"]} & used
    }  # fmt: skip
    ours: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows:
        if not first <= row["day"] <= last or row["provider"] not in providers:
            continue
        by_deployment = row["deployment"] in used and row["deployment"] in deployments
        name = row["deployment"] if by_deployment else row["model"]
        sums = ours.setdefault((row["day"], name), dict.fromkeys((*COUNTS, "cost", "calls"), 0))
        for field, of in (("tokens_in", "tokens_in"), ("tokens_out", "tokens_out"),
                          ("cached", "cached_tokens"), ("requests", "calls"), ("calls", "calls"),
                          ("cost", "cost_micro_usd")):  # fmt: skip
            sums[field] += int(row[of])
    lines = [
        _line(day, name, theirs.get((day, name)), ours.get((day, name)))
        for day, name in sorted({*theirs, *(key for key, each in ours.items() if _any(each))})
    ]
    return _whole(lines, "cost" in export.columns)


def _any(sums: Mapping[str, int]) -> bool:
    return bool(sums["cost"] or sums["tokens_in"] or sums["tokens_out"])


def _ours(name: str, known: set[str], renamed: Mapping[str, str]) -> str:
    if name in renamed:
        return renamed[name]
    if name in known:
        return name
    plain = _SNAPSHOT.sub("", name)
    if plain in known:
        return plain
    return next((each for each in sorted(known) if each == name.rsplit("/", 1)[-1]), name)


def _join(sums: dict[tuple[str, str], Sum], key: tuple[str, str], each: Sum) -> None:
    one = sums.setdefault(key, Sum())
    one.rows += each.rows
    one.grain += each.grain
    for name in (*COUNTS, "cost_micro_usd"):
        value = getattr(each, name)
        if value is not None:
            setattr(one, name, (getattr(one, name) or 0) + value)


def _line(day: str, model: str, theirs: Sum | None, ours: dict[str, int] | None) -> Line:
    counts = None if theirs is None else {name: getattr(theirs, name) for name in COUNTS}
    cost = ours["cost"] if ours else 0
    told = theirs.cost_micro_usd if theirs is not None else None
    why, words = _why(theirs, ours)
    shown = None if ours is None else {name: ours[name] for name in COUNTS}
    return Line(day, model, counts, shown, told, cost, why, words)


def _why(theirs: Sum | None, ours: dict[str, int] | None) -> tuple[Difference, str]:
    if theirs is None:
        return Difference.MISSING_THERE, "we have calls, the export has none"
    if ours is None:
        return Difference.MISSING_HERE, "the export has usage, we have no calls"
    apart = [
        f"{name} {ours[name] - told:+d}"
        for name in COUNTS
        if (told := getattr(theirs, name)) is not None and told != ours[name]
    ]
    if theirs.cost_micro_usd is None:
        if apart:
            return Difference.TOKENS, ", ".join(apart)
        return Difference.NONE, ""
    off = ours["cost"] - theirs.cost_micro_usd
    if off == 0 and not apart:
        return Difference.NONE, ""
    if abs(off) <= theirs.grain + Decimal(ours["calls"]) / 2 and not apart:
        return Difference.ROUNDING, "no more than rounding gives"
    if apart:
        return Difference.TOKENS, ", ".join(apart)
    return Difference.PRICE, "the counts agree, the costs do not: another price"


def _whole(lines: Sequence[Line], has_costs: bool) -> Reconciled:
    if not lines:  # no row could be read
        return Reconciled(lines, "cost" if has_costs else "tokens", Decimal(0), Decimal(0), None)
    if has_costs:
        theirs = sum((each.their_micro_usd or Decimal(0) for each in lines), Decimal(0))
        ours = Decimal(sum(each.our_micro_usd for each in lines))
        off = sum((abs(each.off or Decimal(0)) for each in lines), Decimal(0))
        return Reconciled(lines, "cost", theirs, ours, _share(off, theirs, ours))
    pairs = [(_tokens(each.theirs), _tokens(each.ours)) for each in lines]
    theirs, ours = (Decimal(sum(pair[i] for pair in pairs)) for i in (0, 1))
    off = Decimal(sum(abs(a - b) for a, b in pairs))
    return Reconciled(lines, "tokens", theirs, ours, _share(off, theirs, ours))


def _tokens(counts: Mapping[str, int | None] | Mapping[str, int] | None) -> int:
    if counts is None:
        return 0
    return (counts["tokens_in"] or 0) + (counts["tokens_out"] or 0)


def _share(off: Decimal, theirs: Decimal, ours: Decimal) -> Decimal | None:
    if theirs:
        return off / abs(theirs)
    return Decimal(0) if not ours and not off else None
