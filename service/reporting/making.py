"""A review made from a state directory, by its kind and period."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from experiments.reviewing import weekly
from experiments.reviewing.finding import Review
from service.domain.errors import Unprocessable
from service.reporting.citing import with_citations
from service.reporting.longer import monthly_review, quarterly_review
from service.reporting.offered import with_opportunities
from service.reporting.periods import Period, month, quarter, week
from service.reporting.queries import within
from service.reporting.reading import known, read_week
from service.reporting.shelf import keep
from service.storage.errors import StorageError
from service.storage.long_look import LongLook


def make(state_dir: Path, kind: str, period: str | None = None) -> Review:
    """The review; of the last period with decisions where none is named. Blocks for long.

    Raises StorageError where there is no history, Unprocessable where the period is none.
    """
    if kind not in KINDS:
        raise Unprocessable(f"kind: {kind!r} is none of {', '.join(KINDS)}", param="kind")
    with LongLook(state_dir) as look:
        return KINDS[kind](look, period)


def _weekly(look: LongLook, period: str | None) -> Review:
    if period is not None:
        week(period)
    read = read_week(look, period)
    if read is None:
        return empty(look, "weekly", "no week")
    span, tables = read
    made = weekly.review(span, tables)
    asked = week(span.name)
    return _dated(with_opportunities(made, look, asked), asked, look)


def _dated(review: Review, period: Period, look: LongLook) -> Review:
    """With its days in the queries that estimates wrote, and damage that showed in reading."""
    findings = tuple(
        replace(each, sql=within(each.sql, period.since, period.until)) for each in review.findings
    )
    told = [*look.damage, *review.missing]
    try:
        tried = look.knowledge()
    except StorageError as error:
        tried = []
        told.append(f"the knowledge base cannot be read: {error}")
    made = replace(review, findings=findings, missing=tuple(dict.fromkeys(told)))
    return with_citations(made, tried, period.until_us)


def empty(look: LongLook, kind: str, title: str) -> Review:
    """Of a history without a decision: it says so."""
    missing = (*look.damage, "the history holds no decision yet")
    return Review(f"{kind}-none", f"Nothing to review: {title} has decisions", "-", "-",
                  "nothing", missing, (), {})  # fmt: skip


def _monthly(look: LongLook, period: str | None) -> Review:
    made = monthly_review(look, period)
    return _dated(made[0], made[1], look) if made else empty(look, "monthly", "no month")


def _quarterly(look: LongLook, period: str | None) -> Review:
    made = quarterly_review(look, period)
    return _dated(made[0], made[1], look) if made else empty(look, "quarterly", "no quarter")


KINDS: Mapping[str, Callable[[LongLook, str | None], Review]] = {
    "weekly": _weekly,
    "monthly": _monthly,
    "quarterly": _quarterly,
}


PERIODS: Mapping[str, Callable[[str], Period]] = {
    "weekly": week,
    "monthly": month,
    "quarterly": quarter,
}


def main(arguments: list[str]) -> None:
    """As a child process of the service: make a review and keep it, where its period, or one
    before, has decisions. It yields to whoever serves requests.
    """
    os.nice(10)
    state_dir, kind, name = Path(arguments[0]), arguments[1], arguments[2]
    with LongLook(state_dir) as look:
        held = known(look)
        if held is None or held.first > PERIODS[kind](name).last:
            return
        made = KINDS[kind](look, name)
    keep(state_dir, made)


if __name__ == "__main__":
    main(sys.argv[1:])
