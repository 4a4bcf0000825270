"""What follows from a ruling: a label, a request allowed again, a rating of an answer."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from service.domain.errors import Gone, Unprocessable
from service.domain.records import Key
from service.domain.refusals import VERDICTS
from service.domain.reviews import DISMISS, LEAVE, ReviewItem, ReviewTurn
from service.feedback.intake import Given, Intake
from service.people.asked import Ruled, act_ending
from service.routing.refusals import Refusals, Ruling
from service.storage.cases import Case
from service.storage.event_log import EventLog

REVIEWER = "review:"  # before the name of whoever rated in a review, as an author


def refuse(said: str) -> Unprocessable:
    """A verdict that cannot be."""
    return Unprocessable(f"verdict {said}", param="verdict")


@dataclass(frozen=True, slots=True)
class Labelling:
    """Of which task a request is. Left alone, it stays what it was served as, without a label."""

    log: EventLog
    tasks: Callable[[], tuple[str, ...]]

    def check(self, item: ReviewItem, verdict: str) -> None:
        """A task of the plan in force, or the one it was served as."""
        known = self.tasks()
        if verdict not in (*known, item.task, DISMISS):
            raise refuse(f"must be a task of the plan ({', '.join(known)}) or {DISMISS}")

    def default(self, item: ReviewItem) -> str | None:
        """What it was served as, without a label."""
        return LEAVE

    async def rule(self, item: ReviewItem, ruled: Ruled, turn: ReviewTurn) -> None:
        """The turn is the label."""
        ack = self.log.append_durable(turn, act_ending(item, turn, ruled.who))
        await asyncio.shield(asyncio.wrap_future(ack))

    def left(self, item: ReviewItem, verdict: str) -> tuple[object, ...]:
        """Nothing beside the turn."""
        return ()

    def took(self, item: ReviewItem, turn: ReviewTurn) -> None:
        """Nothing acts on a label by itself."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Whether a refused request may be sent again. Left alone, it waits on: the caller has been
    answered long ago.
    """

    refusals: Refusals

    def check(self, item: ReviewItem, verdict: str) -> None:
        """One of three words."""
        if verdict not in VERDICTS:
            raise refuse(f"must be one of {', '.join(VERDICTS)}")

    def default(self, item: ReviewItem) -> str | None:
        """None."""
        return None

    async def rule(self, item: ReviewItem, ruled: Ruled, turn: ReviewTurn) -> None:
        """As the refusals have it, the turn with it."""
        ruling = Ruling(ruled.verdict, ruled.reviewer, ruled.note, ruled.key.id, ruled.who)
        await self.refusals.decide(item.id, ruling, ruled.key.tenant, (turn,))

    def left(self, item: ReviewItem, verdict: str) -> tuple[object, ...]:
        """Never asked."""
        return ()

    def took(self, item: ReviewItem, turn: ReviewTurn) -> None:
        """The refusals have done it."""


@dataclass(frozen=True, slots=True)
class Rating:
    """How good the answer is over which a judge is at odds: a person's rating of it, which teaches
    as every rating does. Left alone, what the judge said stands.
    """

    log: EventLog
    intake: Callable[[], Intake]
    case: Callable[[str], Awaitable[Case | None]]
    metric: Callable[[], str]

    def check(self, item: ReviewItem, verdict: str) -> None:
        """A number, or that it cannot be said."""
        try:
            number = float(verdict)
        except ValueError:
            number = math.nan
        if verdict != DISMISS and not math.isfinite(number):
            raise refuse(f"must be a rating of the answer, as a number, or {DISMISS}")

    def default(self, item: ReviewItem) -> str | None:
        """What the judge said."""
        return LEAVE

    async def rule(self, item: ReviewItem, ruled: Ruled, turn: ReviewTurn) -> None:
        """A rating by that person, durable together with the turn."""
        records = turn, act_ending(item, turn, ruled.who)
        if ruled.verdict == DISMISS:
            await asyncio.shield(asyncio.wrap_future(self.log.append_durable(*records)))
            return
        case = await self.case(item.decision_id or "")
        if case is None:
            raise Gone(f"its answer is known no more; only {DISMISS} is left")
        metric = str(json.loads(item.detail).get("metric") or self.metric())
        given = Given(metric, float(ruled.verdict), "user", item.id, ruled.note,
                      ("review", item.why))  # fmt: skip
        await self.intake().take(case, given, author(ruled.key, ruled.reviewer), records)

    def left(self, item: ReviewItem, verdict: str) -> tuple[object, ...]:
        """Nothing beside the turn."""
        return ()

    def took(self, item: ReviewItem, turn: ReviewTurn) -> None:
        """The learner has it."""


def author(key: Key, reviewer: str) -> Key:
    """The key, as the author of a rating in a review: it revises no rating that came in by it."""
    return replace(key, id=f"{REVIEWER}{reviewer}")
