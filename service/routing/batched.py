"""Calls that a provider answers in a batch: which may be, what they reserve, cost and tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest
from service.domain.clock import response_id
from service.domain.errors import BudgetExceeded
from service.domain.parcels import Posting, RemoteLine
from service.domain.records import Attempt, Decision, ErrorKind, Mode, Outcome, Role, Usage
from service.providers.answers import read_answer
from service.providers.base import Answer, Names, ProviderFailure
from service.providers.failures import failure
from service.routing.billing import Seen, seen_before, usage_of
from service.routing.budgets import Hold
from service.routing.dispatch import Dispatcher
from service.routing.eligibility import permitted
from service.routing.purse import Purse, own_cap

STATUS = {None: 200, ErrorKind.TIMEOUT: 504, ErrorKind.CANCELLED: 499}
UNTOLD = {"batch_expired": ErrorKind.TIMEOUT, "batch_cancelled": ErrorKind.CANCELLED}


@dataclass(frozen=True, slots=True)
class Told:
    """What a batch told of one request. ``answer``: None where there is none that may be served;
    ``list_micro_usd``: what the same call alone would have cost.
    """

    attempt: Attempt
    outcome: Outcome
    answer: Answer | None
    list_micro_usd: int


class Batched:
    """The calls of provider batches: decided as all are, and neither dispatched nor retried."""

    def __init__(self, dispatcher: Callable[[], Dispatcher]) -> None:
        self._dispatcher = dispatcher
        self._holds: dict[str, Hold] = {}  # by decision

    def deployment(self, name: str) -> Deployment | None:
        """A deployment of the plan in force that offers batches."""
        for each in self._dispatcher().means.catalog:
            if each.name == name:
                return each if each.batch is not None else None
        return None

    def place(
        self, decision: Decision, request: ChatRequest, slack_s: float
    ) -> tuple[Deployment, int] | None:
        """Who answers a decided request in a batch, and what is reserved for it in its budgets;
        None where it is answered by a call: no batches, too little time, no room for it.
        """
        target = self.deployment(decision.deployment)
        if target is None or target.batch is None or slack_s < target.batch.needs_s:
            return None
        permitted(decision, target, Role.BATCH)
        book = self._dispatcher().means.budgets
        if book is None or (book.idle and own_cap(request) is None):
            return target, 0
        try:
            hold = Purse(book, decision, request, batch=True).reserve(target, False)
        except BudgetExceeded:
            return None  # then there is none for a call either, which says so
        if hold is None:
            return target, 0
        self._holds[decision.id] = hold
        return target, hold.amount

    def resume(self, posting: Posting) -> None:
        """What was reserved before this process is so again."""
        book = self._dispatcher().means.budgets
        if book is None or not posting.amount:
            return
        hold = book.hold(posting.caller, posting.task, posting.deployment, posting.amount)
        if hold is not None:
            self._holds[posting.decision_id] = hold

    def release(self, posting: Posting) -> None:
        """Nothing is reserved for it any more."""
        if (hold := self._holds.pop(posting.decision_id, None)) is not None:
            hold.release()

    def let_go(self) -> None:
        """Nothing is reserved for any; who takes them up again does it anew."""
        for hold in self._holds.values():
            hold.release()
        self._holds.clear()

    def pay(self, posting: Posting, usage: Usage) -> None:
        """It has cost so much."""
        book = self._dispatcher().means.budgets
        if book is not None:
            book.cost(posting.caller, posting.task, posting.deployment, Role.BATCH,
                      usage.cost_micro_usd)  # fmt: skip

    def told(self, posting: Posting, line: RemoteLine | None, request: ChatRequest | None) -> Told:
        """What a line says of a request (None: it has none), as the records tell it. ``request``:
        None where nobody waits for its answer any more.
        """
        if line is None:
            return self.ended(posting, ErrorKind.CUT)
        if not line.status:
            return self.ended(posting, UNTOLD.get(line.code, ErrorKind.SERVER))
        if line.status != 200:
            found = failure(line.status, {}, line.body)
            return self._record(posting, seen_before(found), found.kind, line.status)
        names = Names(response_id(posting.decision_id), posting.deployment)
        try:
            answer, _ = read_answer(line.body, names)
        except ProviderFailure as found:
            return self._record(posting, seen_before(found), found.kind, 200)
        means = self._dispatcher().means
        seen = Seen(True, answer.content_chars, answer.tokens, images=answer.images)
        kind = None
        if request is not None and means.accept(request, answer) < means.bounds.least_score:
            kind = ErrorKind.QUALITY
        return self._record(posting, seen, kind, 200, answer)

    def ended(self, posting: Posting, kind: ErrorKind, sent: bool = False) -> Told:
        """It ended without an answer; ``sent``: the provider may have answered it, so that a bill
        is to be expected.
        """
        return self._record(posting, Seen(sent=sent), kind, 0)

    def _record(
        self, posting: Posting, seen: Seen, kind: ErrorKind | None, status: int,
        answer: Answer | None = None,
    ) -> Told:  # fmt: skip
        means = self._dispatcher().means
        target = next((d for d in means.catalog if d.name == posting.deployment), None)
        at_us = means.clock.wall_us()
        usage = listed = Usage(0, 0, 0, 0, estimated=True)
        if target is not None:
            usage = usage_of(target, posting.tokens_in, seen, kind, at_us, batch=True)
            listed = usage_of(target, posting.tokens_in, seen, kind, at_us)
        took_s = max(at_us - posting.at_us, 0) / 1e6
        attempt = Attempt(
            posting.decision_id, 1, at_us, posting.deployment,
            target.provider if target is not None else "", Role.BATCH, status, kind, None, took_s,
            usage,
        )  # fmt: skip
        outcome = Outcome(
            posting.decision_id, at_us, posting.deployment if kind is None else None, Mode.BATCH,
            STATUS.get(kind, 502), kind, took_s, None, 0.0, 1, usage,
        )  # fmt: skip
        served = answer if kind is None else None
        return Told(attempt, outcome, served, listed.cost_micro_usd)
