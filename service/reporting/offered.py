"""What could be saved in the weeks to a review's end, read small enough to stand beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from experiments.opportunities.listing import opportunities
from experiments.reviewing import offering
from experiments.reviewing.finding import Finding, Review
from experiments.reviewing.weekly import KINDS
from service.reporting.periods import DAY_US, Period
from service.reporting.queries import within
from service.storage.drawn import Asked
from service.storage.errors import StorageError
from service.storage.long_look import LongLook

DAYS, FEWER = 28, 14  # the fewer where the days hold more than MUCH
MUCH = 2_000_000  # requests
MOST = 150_000  # of them, about, are read: of more, those of one session in so many


def with_opportunities(review: Review, look: LongLook, period: Period) -> Review:
    """The review with what could be saved, by the days to the period's end; or with why not."""
    try:
        look.widen("rounds")  # the week's, in memory
        span = _ending(period, DAYS)
        if _count(look, span) > MUCH:
            span = _ending(period, FEWER)
        read = look.requests(Asked(span.until_us - span.days * DAY_US, span.until_us), MOST)
    except StorageError as error:
        said = f"what could be saved cannot be read: {str(error).splitlines()[0][:300]}"
        return replace(review, missing=(*review.missing, said))
    if not len(read):
        return review
    made = opportunities(read)
    why = offering.cannot_say(made)
    told = {
        "days": made.joint.days, "requests": len(read), "one_in": read.one_in,
        "spent_usd": made.joint.before_micro_usd / 1e6, "found": len(made.found),
        "unsaid": [{"change": each.change.text, "why": str(each.refusal or each.saved)}
                   for each in made.unsaid],
    }  # fmt: skip
    missing = () if why is None else (f"what could be saved cannot be said: {why}",)
    found = offering.as_findings(made, offering.Offer(span.since, span.until))
    return replace(
        review,
        findings=_placed(review.findings, found),
        missing=(*review.missing, *missing),
        figures={**review.figures, "opportunities": told},
    )


def _ending(period: Period, days: int) -> Period:
    return Period("", period.last - timedelta(days=days - 1), period.last)


def _count(look: LongLook, span: Period) -> int:
    sql = "SELECT count(*) AS number FROM decisions WHERE ts >= '<<since>>' AND ts < '<<until>>'"
    return int(look.columns(within(sql, span.since, span.until))["number"][0])


def _placed(before: Sequence[Finding], found: Sequence[Finding]) -> tuple[Finding, ...]:
    """By kind; within a kind as they stand."""
    return tuple(sorted((*before, *found), key=lambda each: KINDS.index(each.kind)))
