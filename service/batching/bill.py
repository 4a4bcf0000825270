"""What came of requests in a parcel: each told, billed and given its line exactly once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from service.batching import lines
from service.batching.reading import request_of
from service.domain.batches import CHAT_ENDPOINT, Batch, BatchLine
from service.domain.chat import ChatRequest
from service.domain.errors import HeadgateError
from service.domain.parcels import Entry, Parcel, Posting, RemoteLine
from service.domain.records import Attempt, ErrorKind, Outcome
from service.providers.base import Answer
from service.routing.batched import STATUS, Batched, Told
from service.storage.batch_known import Known


class Records(Protocol):
    """Where attempts and outcomes go."""

    def attempt(self, attempt: Attempt) -> None:
        """A call has ended."""

    def outcome(self, outcome: Outcome) -> None:
        """A request has ended."""


@dataclass(frozen=True, slots=True)
class BillParts:
    """What the bill stands on. ``record``: where each result is logged and counted; ``durable``:
    what was logged so far is so for good; ``known``: what is logged since a time.
    """

    calls: Batched
    records: Records
    record: Callable[[BatchLine], object]
    durable: Callable[[], Awaitable[None]]
    known: Callable[[int], Awaitable[Known]]
    allowed: Callable[[Posting, str], bool]


@dataclass(frozen=True, slots=True)
class Results:
    """Of some requests: the lines of those that are answered, and the numbers of the others."""

    lines: list[tuple[int, bytes]]
    others: list[int]


class Bill:
    """Tells the log first and the file of batches after it, so that what breaks off between the two
    tells nothing twice: what the log knows already is not told again.
    """

    def __init__(self, parts: BillParts, since_us: int | None) -> None:
        self._parts = parts
        self._since_us = since_us  # of the oldest parcel of an earlier process
        self._known = Known()

    async def came(
        self, parcel: Parcel, batch: Batch | None, entries: Sequence[Entry],
        found: Mapping[int, RemoteLine],
    ) -> Results:  # fmt: skip
        """The provider's batch has ended with these lines. ``batch``: None where nobody waits for
        its answers any more.
        """
        await self._look_back()
        results = Results([], [])
        for entry in entries:
            posted, posting = entry.posted, entry.posted.posting
            request = None if batch is None else _request(batch, entry.body)
            told = self._parts.calls.told(posting, found.get(posted.number), request)
            usable = request is not None and self._parts.allowed(posting, posting.deployment)
            if not usable and told.answer is not None:
                told = _unserved(told)
            self._write(posting, told)
            if told.answer is not None:
                results.lines.append((posted.number, self._line(entry, told, told.answer)))
            else:
                results.others.append(posted.number)
            self._tell(parcel, entry, told)
        await self._parts.durable()
        return results

    async def none(
        self, parcel: Parcel, entries: Sequence[Entry], kind: ErrorKind, called: bool, sent: bool
    ) -> list[int]:
        """Nothing came of these. ``called``: they were submitted; ``sent``: they may be billed."""
        await self._look_back()
        for entry in entries:
            told = self._parts.calls.ended(entry.posted.posting, kind, sent)
            if not called:
                told = replace(told, outcome=replace(told.outcome, attempts=0))
            self._write(entry.posted.posting, told, called)
            self._tell(parcel, entry, told)
        await self._parts.durable()
        return [each.posted.number for each in entries]

    def written(self, parcel: Parcel, entries: Sequence[Entry]) -> None:
        """The file of batches has what came of these: they are never told again."""
        for entry in entries:
            self._known.attempts.discard(entry.posted.posting.decision_id)
            self._known.outcomes.discard(entry.posted.posting.decision_id)
            self._known.lines.discard((parcel.batch_id, entry.posted.number))

    async def _look_back(self) -> None:
        if self._since_us is not None:
            self._known = await self._parts.known(self._since_us)
            self._since_us = None

    def _write(self, posting: Posting, told: Told, called: bool = True) -> None:
        parts, known = self._parts, self._known
        if called and posting.decision_id not in known.attempts:
            parts.records.attempt(told.attempt)
            parts.calls.pay(posting, told.attempt.usage)
            known.attempts.add(posting.decision_id)
        if posting.decision_id not in known.outcomes:
            parts.records.outcome(told.outcome)
            known.outcomes.add(posting.decision_id)
        parts.calls.release(posting)

    @staticmethod
    def _line(entry: Entry, told: Told, answer: Answer) -> bytes:
        cost_usd = told.attempt.usage.cost_micro_usd / 1e6
        how = {**entry.posted.posting.told, "mode": told.outcome.mode.value, "attempts": 1,
               "fallback_from": None, "cost_usd": cost_usd}  # fmt: skip
        return lines.answered(entry.posted.number, entry.custom_id, bytes(answer.body), how)

    def _tell(self, parcel: Parcel, entry: Entry, told: Told) -> None:
        """The line of the log; an answer that is not served has one where it is paid."""
        posted, usage = entry.posted, told.attempt.usage
        served = told.answer is not None
        if (parcel.batch_id, posted.number) in self._known.lines:
            return
        if not served and not usage.cost_micro_usd:
            return
        self._known.lines.add((parcel.batch_id, posted.number))
        who, kind = posted.posting.caller, told.attempt.error_kind
        code = "" if served else kind.value if kind is not None else "not_waited_for"
        self._parts.record(
            BatchLine(
                parcel.batch_id, posted.number, told.attempt.at_us, who.key_id, who.tenant,
                CHAT_ENDPOINT, posted.posting.decision_id, posted.posting.deployment,
                "provider", posted.hours, "completed" if served else "unused", code, posted.tries,
                usage.tokens_in, usage.tokens_out, usage.cost_micro_usd,
                told.list_micro_usd if served else 0,
            )
        )  # fmt: skip


def _unserved(told: Told) -> Told:
    """An answer that nobody gets."""
    kind = ErrorKind.CANCELLED
    outcome = replace(told.outcome, deployment=None, status=STATUS[kind], error_kind=kind)
    return replace(told, answer=None, outcome=outcome)


def _request(batch: Batch, body: bytes) -> ChatRequest | None:
    """The request again; None where it has had its result meanwhile."""
    try:
        return request_of(batch.endpoint, body) if body else None
    except HeadgateError:
        return None
