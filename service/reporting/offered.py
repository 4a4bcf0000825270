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
from service.storage.drawn import Asked
from service.storage.errors import StorageError
from service.storage.long_look import LongLook

DAYS = 28
MOST = 250_000  # requests, about: of more, those of one session in so many


def with_opportunities(review: Review, look: LongLook, period: Period) -> Review:
    """The review with what could be saved, by the days to the period's end; or with why not."""
    first = period.last - timedelta(days=DAYS - 1)
    span = Period("", first, period.last)
    asked = Asked(span.until_us - DAYS * DAY_US, span.until_us)
    try:
        read = look.requests(asked, MOST)
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


def _placed(before: Sequence[Finding], found: Sequence[Finding]) -> tuple[Finding, ...]:
    """By kind; within a kind as they stand."""
    return tuple(sorted((*before, *found), key=lambda each: KINDS.index(each.kind)))
