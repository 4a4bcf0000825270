"""A week of the published history as the tables that a review takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.reviewing.finding import Rates, Table
from experiments.reviewing.swapping import METRICS, Drawn
from experiments.reviewing.weekly import Span, Tables
from service.reporting import queries
from service.reporting.periods import Period, week, week_of
from service.storage.errors import StorageError
from service.storage.long_look import LongLook, joined

WEEKS = 4  # before, that a week is compared with

OF_THE_WEEK = {
    "latencies": queries.LATENCIES,
    "served": queries.SERVED,
    "repeats": queries.REPEATS,
    "prices": queries.PRICES,
    "judged": queries.JUDGED,
    "judge_pairs": queries.JUDGE_PAIRS,
    "responses": queries.RESPONSES,
    "overrides": queries.OVERRIDES,
    "under": queries.UNDER,
    "beside": queries.BESIDE,
    "steps": queries.STEPS,
    "exposed": queries.EXPOSED,
    "promotions": queries.PROMOTIONS,
    "qualities": queries.QUALITIES,
    "weights": queries.WEIGHTS,
    "shares": queries.SHARES,
}


@dataclass(frozen=True, slots=True)
class Known:
    """From when to when there are decisions; ``through``: the newest of them, in words."""

    first: date
    last: date
    through: str


def known(look: LongLook) -> Known | None:
    """What days the history holds; None without a decision."""
    found = look.columns(queries.SPAN)
    if str(found["first"][0]) in ("NaT", ""):
        return None
    first, last = (
        date.fromisoformat(str(found[name][0].astype("datetime64[D]")))
        for name in ("first", "last")
    )
    newest = str(found["newest"][0].astype("datetime64[s]")).replace("T", " ")
    return Known(first, last, f"{newest} UTC (row {look.through_seq})")


@dataclass(slots=True)
class Reader:
    """Reads tables one by one; what fails is told in ``missing`` and the rest goes on."""

    look: LongLook
    missing: list[str] = field(default_factory=list)

    def table(self, name: str, sql: str, period: Period) -> Table | None:
        """A query's table over a period, with its text."""
        text = queries.within(sql, period.since, period.until)
        try:
            return Table(self.look.columns(text), text)
        except StorageError as error:
            self.missing.append(f"{name} cannot be read: {_brief(error)}")
            return None

    def narrowed(self, period: Period) -> None:
        """Rounds of a period alone from now on; where that fails the view stays as it is."""
        try:
            sql = queries.within(queries.ROUNDS, period.since, period.until)
            self.look.narrow("rounds", sql)
        except StorageError as error:
            self.missing.append(f"the rounds of the week cannot be read: {_brief(error)}")

    def days(self, period: Period, weeks: int) -> Table | None:
        """Sums by day of a week and of those before it, a week at a time: a join of all of them at
        once would not fit.
        """
        frames, text = [], queries.within(
            queries.DAYS, period.before(7 * weeks).since, period.until
        )  # fmt: skip
        for at in range(weeks, -1, -1):
            part = week_of(date.fromordinal(period.first.toordinal() - 7 * at))
            found = self.table("days", queries.DAYS, part)
            if found is not None:
                frames.append(dict(found.columns))
        return Table(joined(frames), text) if frames else None

    def tasks(self, period: Period) -> Iterator[Drawn]:
        """The drawn decisions, a task at a time."""
        try:
            text = queries.within(queries.NAMES, period.since, period.until)
            names = [str(each) for each in self.look.columns(text)["name"]]
            if not names:
                return
            text = queries.within(queries.drawn(names), period.since, period.until)
            self.look.narrow("drawn", text)
            tasks = self.look.columns("SELECT DISTINCT task FROM drawn ORDER BY task")["task"]
            for task in tasks:
                found = self.look.columns(
                    f"SELECT * EXCLUDE (task) FROM drawn WHERE task = {queries.text(str(task))}"
                )
                yield as_drawn(str(task), names, found)
            self.look.widen("drawn")
        except StorageError as error:
            self.missing.append(f"drawn decisions cannot be read: {_brief(error)}")


def as_drawn(task: str, names: list[str], found: dict[str, NDArray[Any]]) -> Drawn:
    """The columns as matrices, in the order of the log."""
    order = np.argsort(found["log_seq"], kind="stable")

    def wide(letter: str) -> NDArray[Any]:
        return np.column_stack([found[f"{letter}{at}"][order] for at in range(len(names))])

    tenants, cell = np.unique(found["tenant"][order].astype(str), return_inverse=True)
    foretold = dict(zip(METRICS, (wide("c"), wide("q"), wide("l")), strict=True))
    return Drawn(
        task=task,
        names=tuple(names),
        drawn=found["arm"][order].astype(np.int64),
        propensities=wide("e").astype(np.float64),
        values={name: found[name][order].astype(np.float64) for name in METRICS},
        foretold=foretold,
        cell=cell.astype(np.int64),
        cells=tuple(str(each) for each in tenants),
    )


def read_week(look: LongLook, name: str | None) -> tuple[Span, Tables] | None:
    """A week's tables; of the last with decisions where none is named, None where none is."""
    held = known(look)
    if name is None and held is None:
        return None
    period = week(name) if name else week_of(held.last)  # type: ignore[union-attr]
    through = held.through if held else "nothing: it has no decisions"
    span = Span(
        period.name, period.since, period.last.isoformat(), period.last_number, through, WEEKS
    )
    reader = Reader(look, list(look.damage))
    tables: dict[str, Table | None] = {"days": reader.days(period, WEEKS)}
    tables["latencies_before"] = _latencies_before(reader, period)
    reader.narrowed(period)
    for slug, sql in OF_THE_WEEK.items():
        tables[slug] = reader.table(slug, sql, period)
    rates = rates_of(reader, period)
    found = {slug: each for slug, each in tables.items() if each is not None}
    sql = queries.within(queries.drawn(["NAME"]), period.since, period.until)
    return span, Tables(found, reader.tasks(period), rates, reader.missing, sql)


def _latencies_before(reader: Reader, period: Period) -> Table | None:
    text = queries.LATENCIES.replace(
        "isodow(ts) - 1 AS day, hour(ts) AS hour,", ""
    )  # fmt: skip
    frames = []
    for at in range(WEEKS, 0, -1):
        part = week_of(date.fromordinal(period.first.toordinal() - 7 * at))
        found = reader.table("latencies of the weeks before", text, part)
        if found is not None:
            frames.append(dict(found.columns))
    return Table(joined(frames)) if frames else None


def rates_of(reader: Reader, period: Period) -> Rates:
    """What the version that decided most of the period says that things are worth."""
    found = reader.table("the worth of quality", queries.RATES, period)
    if found is None or not len(found):
        return Rates()
    worth, patience = (float(found.number(name)[0]) for name in ("worth_usd", "patience_s"))
    if not np.isfinite(worth) or worth <= 0.0:
        return Rates()
    second = worth / patience if np.isfinite(patience) and patience > 0.0 else None
    return Rates(worth, second)


def _brief(error: StorageError) -> str:
    return str(error).splitlines()[0][:300]
