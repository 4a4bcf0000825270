"""What a person is asked and says: an item as it stands, a ruling, and what a kind makes of one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

from service.domain.acting import Person, Told, act_of
from service.domain.records import Act, Key
from service.domain.refusals import Review
from service.domain.reviews import HEADGATE, Holder, Kind, ReviewItem, ReviewTurn, Turn
from service.people.leases import Lease
from service.storage.reviews import Reviewed


@dataclass(frozen=True, slots=True)
class Found:
    """An item: how it ended (None while open), who works on it, and what was refused, if it is
    about that. ``left_s``: until it is due; of an open one.
    """

    item: ReviewItem
    end: ReviewTurn | None = None
    lease: Lease | None = None
    review: Review | None = None
    left_s: float = 0.0

    @property
    def state(self) -> str:
        """open, claimed, decided or defaulted."""
        if self.end is not None:
            return self.end.turn
        return "claimed" if self.lease is not None else "open"


@dataclass(frozen=True, slots=True)
class Ruled:
    """What somebody decides, and with which key."""

    verdict: str
    reviewer: str
    note: str
    key: Key
    idempotency_key: str | None = None
    who: Person | None = None

    @property
    def holder(self) -> Holder:
        """Who decides."""
        return Holder(self.key.id, self.reviewer)


class Effect(Protocol):
    """What follows from rulings of one kind."""

    def check(self, item: ReviewItem, verdict: str) -> None:
        """Raises Unprocessable for a verdict that cannot be."""

    def default(self, item: ReviewItem) -> str | None:
        """The verdict that holds when the time is over; None: it waits on."""

    async def rule(self, item: ReviewItem, ruled: Ruled, turn: ReviewTurn) -> None:
        """Make the ruling durable, with all that follows from it."""

    def left(self, item: ReviewItem, verdict: str) -> tuple[object, ...]:
        """Its time is over: what is to be durable with that turn."""

    def took(self, item: ReviewItem, turn: ReviewTurn) -> None:
        """The end is durable: let it act."""


def turn_of(item: ReviewItem, ruled: Ruled, at_us: int) -> ReviewTurn:
    """The turn that ends an item by a ruling."""
    return ReviewTurn(
        item.id, at_us, Turn.DECIDED, ruled.key.id, ruled.reviewer, None, ruled.verdict,
        ruled.note, ruled.idempotency_key,
    )  # fmt: skip


def act_ending(item: ReviewItem, turn: ReviewTurn, who: Person | None = None) -> Act:
    """The end of an item, for the operators' history; ``who`` has ended it, or nobody."""
    detail = {"kind": item.kind, "subject": item.subject, "verdict": turn.verdict,
              "key": turn.key_id}  # fmt: skip
    note = turn.note or "nobody came in time"
    told = Told(f"review.{item.kind}", item.id, note, turn.reviewer or HEADGATE, detail)
    return act_of(who, turn.at_us, told)


def refused(review: Review) -> ReviewItem:
    """A refusal as an item."""
    detail = json.dumps({"provider": review.provider, "unit": review.unit})
    return ReviewItem(
        review.id, review.at_us, Kind.REFUSAL, review.incident, review.word, review.decision_id,
        review.key_id, review.tenant, review.tier, review.task, review.deployment, None, 1.0,
        review.due_us, detail,
    )  # fmt: skip


def found_refusal(reviewed: Reviewed, lease: Lease | None, left_s: float) -> Found:
    """A refusal, open or decided."""
    item, ruling = refused(reviewed.review), reviewed.decision
    if ruling is None:
        return Found(item, None, lease, reviewed.review, left_s)
    end = ReviewTurn(
        item.id, ruling.at_us, Turn.DECIDED, "", ruling.reviewer, None, ruling.verdict, ruling.note
    )
    return Found(item, end, None, reviewed.review)
