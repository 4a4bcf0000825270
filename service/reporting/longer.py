"""What the monthly and the quarterly review take from the published history."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from experiments.design import BUCKETS
from experiments.design_json import from_json
from experiments.errors import ExperimentError
from experiments.reviewing import monthly, quarterly
from experiments.reviewing.finding import Review, Table
from experiments.reviewing.scheduling import Held
from experiments.reviewing.swapping import Drawn
from experiments.statistics.moments import Interval
from service.reporting import queries
from service.reporting.periods import Period, month, month_of, quarter, quarter_of
from service.reporting.reading import Reader, known, rates_of
from service.storage.long_look import LongLook

LAYER = "main"
RESTS_ON = 7  # days, the month's last: what an estimate of next month is from
WEEKS = 4  # of the quarter, its last: what its off-policy estimates are from
FOREVER = 10_000


@dataclass(slots=True)
class _Opened:
    """A reader, and how far its history goes in a period."""

    reader: Reader
    period: Period
    last: date
    through: str

    def ending(self, days: int, back: int = 0) -> Period:
        """So many days that end ``back`` days before the last with decisions."""
        last = self.last - timedelta(days=back)
        first = max(self.period.first, last - timedelta(days=days - 1))
        return Period("", first, last)


def monthly_review(look: LongLook, name: str | None) -> tuple[Review, Period] | None:
    """And the days that its estimates rest on; None where the history holds no decision."""
    opened = _open(look, month(name) if name else None, month_of)
    if opened is None:
        return None
    reader, period = opened.reader, opened.ending(RESTS_ON)
    opened.reader.narrowed(period)
    rates, flow = rates_of(reader, period), _flow(reader, period)
    standing = _standing(reader)
    after = month_of(opened.period.last + timedelta(days=1))
    about = monthly.Month(
        opened.period.name, opened.period.since, opened.period.last.isoformat(),
        f"{period.since} to {period.last.isoformat()}", opened.through, after.name, after.days,
    )  # fmt: skip
    made = monthly.review(about, reader.tasks(period), rates, standing, flow, reader.missing)
    return made, period


def quarterly_review(look: LongLook, name: str | None) -> tuple[Review, Period] | None:
    """And the days that its estimates rest on; None where the history holds no decision."""
    opened = _open(look, quarter(name) if name else None, quarter_of)
    if opened is None:
        return None
    reader, period = opened.reader, opened.period
    tables = {
        slug: table
        for slug, sql in (("qualities", queries.QUALITIES), ("prices", queries.MONTHLY_PRICES))
        if (table := reader.table(slug, sql, period)) is not None
    }
    rates = rates_of(reader, opened.ending(RESTS_ON))
    whole = opened.ending(7 * WEEKS)
    about = quarterly.Quarter(
        period.name, period.since, period.last.isoformat(),
        f"{whole.since} to {whole.last.isoformat()}", opened.through,
    )  # fmt: skip
    return quarterly.review(about, _weeks(opened), rates, tables, reader.missing), whole


def _open(look: LongLook, asked: Period | None, of: Callable[[date], Period]) -> _Opened | None:
    held = known(look)
    if held is None:
        return None
    period = asked or of(held.last)
    last = min(max(held.last, period.first), period.last)
    return _Opened(Reader(look, list(look.damage)), period, last, held.through)


def _weeks(opened: _Opened) -> Iterator[Drawn]:
    for back in range(WEEKS - 1, -1, -1):
        period = opened.ending(7, 7 * back)
        if period.last >= period.first:
            opened.reader.narrowed(period)
            yield from opened.reader.tasks(period)


def _flow(reader: Reader, period: Period) -> monthly.Flow:
    found = reader.table("traffic", queries.FLOW, period)
    rated = reader.table("ratings", queries.RATED, period)
    if found is None or not len(found) or not found.number("days")[0]:
        return monthly.Flow(0.0, 0.0, 0.0)
    days = float(found.number("days")[0])
    share = float(rated.number("share")[0]) if rated is not None and len(rated) else 0.0
    units, requests = (float(found.number(name)[0]) / days for name in ("units", "requests"))
    return monthly.Flow(units, requests, share)


def _standing(reader: Reader) -> monthly.Standing:
    """What holds buckets, on the safe side: whatever has not ended holds them all the month."""
    period = Period("", date(1970, 1, 1), date(1970, 1, 1))
    held = reader.table("experiments", queries.HELD, period)
    passed = reader.table("evaluations", queries.PASSED, period)
    layer, taken = LAYER, []
    for row in held.rows() if held is not None else ():
        if _by_session(str(row["design"])) and row["state"] == "running":
            layer = str(row["layer"])  # deciders of two layers cannot both run
            break
    for row in held.rows() if held is not None else ():
        if str(row["layer"]) == layer:
            whole = not _by_session(str(row["design"]))
            first, stop = (0, BUCKETS) if whole else (int(row["first"]), int(row["stop"]))
            taken.append(Held(str(row["id"]), first, stop, 1, FOREVER))
    versions = [] if passed is None else _versions(passed)
    return monthly.Standing(layer, taken, versions)


def _by_session(design: str) -> bool:
    try:
        return str(from_json(design).unit) == "session"
    except ExperimentError:
        return False


def _versions(passed: Table) -> Sequence[tuple[str, str, Interval]]:
    told = []
    for row in passed.rows():
        try:
            said = json.loads(str(row["report"]))["metrics"]["reward"]["difference"]
            ends = [float(said[name]) for name in ("estimate", "low", "high")]
        except (ValueError, KeyError, TypeError):
            continue  # nothing was said of its reward
        if np.isfinite(ends).all():
            told.append((str(row["id"]), str(row["kind"]), Interval(ends[0], ends[1], ends[2])))
    return told
