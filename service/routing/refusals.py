"""Content-policy refusals: logged, told, not sent again, limited, and given to a person."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from learning.features import inspect
from service.domain.acting import Person, Told, act_of
from service.domain.chat import ChatRequest
from service.domain.clock import Clock, new_id
from service.domain.errors import Conflict, ContentRefused, HeadgateError, NotFound, RefusalLimit
from service.domain.expressions import Expression
from service.domain.hashing import keyed_hash
from service.domain.records import Act, Caller, Decision, ErrorKind, Outcome, Usage
from service.domain.refusals import Refusal, Review, ReviewDecision
from service.routing.asked import names_of
from service.routing.offenders import Offenders
from service.storage.event_log import EventLog
from service.storage.refusals import RefusalMemory
from service.storage.reviews import OPEN, Reviewed, ReviewStore
from service.telemetry import Telemetry

log = logging.getLogger("headgate.refusals")

DURABLE_S = 1.0
AGAIN = (
    "the same request was refused before by the provider's content policy; it was not sent again"
)
KNOWN = "the request is refused under the provider's content policy; it was not sent"
LIMITED = (
    "too many requests of this user were refused by providers' content policies within an hour; "
    "none is sent until the hour has passed"
)
_TOLD = {
    OPEN: "; a person will review it",
    "uphold": "; a person has reviewed the refusal and upheld it",
}
# What no model reads: with another of these it is still the same request.
_KNOBS = frozenset({
    "messages", "model", "stream", "stream_options", "user", "metadata", "headgate", "temperature",
    "top_p", "n", "seed", "max_tokens", "max_completion_tokens", "presence_penalty",
    "frequency_penalty", "logprobs", "top_logprobs", "store", "service_tier", "reasoning_effort",
    "verbosity", "parallel_tool_calls", "safety_identifier", "prompt_cache_key",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What to try instead, where the condition holds. ``task`` empty: for every task."""

    condition: Expression | None
    task: str
    text: str


@dataclass(frozen=True, slots=True)
class RefusalRules:
    """The plan's part."""

    suggestions: tuple[Suggestion, ...] = ()
    review_tiers: frozenset[str] = frozenset()
    review_within_s: float = 14_400.0


@dataclass(frozen=True, slots=True)
class RefusalParts:
    """What it stands on. ``ended``: where the outcome of a request goes that is not sent."""

    memory: RefusalMemory
    reviews: ReviewStore
    offenders: Offenders
    log: EventLog
    telemetry: Telemetry
    clock: Clock
    secret: bytes
    ended: Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a reviewer decides, and with which key."""

    verdict: str
    reviewer: str
    note: str
    key_id: str
    who: Person | None = None


class Refusals:
    """Asked before a request is sent, and told when one was refused."""

    def __init__(self, rules: RefusalRules, parts: RefusalParts) -> None:
        self.rules, self._parts = rules, parts
        self.reviews = parts.reviews

    # before and after the call ----------------------------------------------------------------

    def limited(self, unit: str) -> bool:
        """Whether a unit was refused too often lately."""
        return self._parts.offenders.wait_s(unit, self._parts.clock.monotonic_s()) > 0.0

    async def check(self, decision: Decision, request: ChatRequest, incident: str) -> None:
        """Raises, with the request's outcome logged, where it is not to be sent at all."""
        parts, unit = self._parts, decision.caller.unit
        if unit and (wait_s := parts.offenders.wait_s(unit, parts.clock.monotonic_s())):
            error = RefusalLimit(LIMITED, param="user", retry_after_s=wait_s)
            self._unsent(decision, error)
            raise error
        if not parts.memory.knows_prompt(decision.prompt_hash):
            return
        earlier = parts.memory.find(self._request_hash(decision, request))
        if earlier is not None:
            raise await self._repeated(decision, request, incident, earlier)

    async def take(
        self, refused: ContentRefused, decision: Decision, request: ChatRequest, incident: str
    ) -> ContentRefused:
        """A provider has refused: kept, counted, and what the caller is to be told."""
        parts = self._parts
        refusal = self._refusal(decision, request, incident, refused)
        parts.memory.add(refusal)
        parts.telemetry.refusal(refused.deployment)
        log.info("incident %s: refused by %s (%s)", incident, refused.deployment, refused.word)
        records: list[Any] = [refusal]
        if parts.offenders.add(refusal.unit, parts.clock.monotonic_s()):
            records.append(self._limited(refusal))
        review = self._opened(refusal)
        durable = await self._keep(records, review)
        refused.message += self._told(refusal) if durable else ""
        refused.suggestion = self._suggestion(decision, request)
        return refused

    async def _repeated(
        self, decision: Decision, request: ChatRequest, incident: str, earlier: Refusal
    ) -> ContentRefused:
        own = _same_party(decision.caller, earlier)
        error = ContentRefused(
            AGAIN if own else KNOWN,
            deployment=earlier.deployment,
            provider=earlier.provider,
            word=earlier.word,
        )
        self._unsent(decision, error)
        made = self._refusal(decision, request, incident, error)
        refusal = replace(made, repeat_of=earlier.id)
        durable = await self._keep([refusal], self._opened(refusal))
        if durable and (own or refusal.tier in self.rules.review_tiers):
            error.message += self._told(refusal)
        error.earlier = earlier.id if own else ""
        error.suggestion = self._suggestion(decision, request)
        return error

    def _unsent(self, decision: Decision, error: HeadgateError) -> None:
        """The outcome of a request for which no call was made."""
        self._parts.ended(
            Outcome(
                decision_id=decision.id,
                at_us=self._parts.clock.wall_us(),
                deployment=None,
                mode=decision.mode,
                status=error.status,
                error_kind=ErrorKind.POLICY,
                latency_s=0.0,
                ttft_s=None,
                overhead_s=0.0,
                attempts=0,
                usage=Usage(0, 0, 0, 0),
            )
        )

    def _refusal(
        self, decision: Decision, request: ChatRequest, incident: str, refused: ContentRefused
    ) -> Refusal:
        caller = decision.caller
        return Refusal(
            id=incident,
            at_us=self._parts.clock.wall_us(),
            decision_id=decision.id,
            prompt_hash=decision.prompt_hash,
            request_hash=self._request_hash(decision, request),
            key_id=caller.key_id,
            tenant=caller.tenant,
            tier=caller.tier,
            unit=caller.unit,
            task=decision.task,
            deployment=refused.deployment,
            provider=refused.provider,
            word=refused.word,
        )

    def _request_hash(self, decision: Decision, request: ChatRequest) -> str:
        """Of all that a model reads: were it the messages alone, a foreign tool's text could get
        somebody's harmless messages refused for everybody.
        """
        rest = sorted(request.fields.keys() - _KNOBS)
        named = [part for name in rest for part in (name, bytes(request.fields[name]))]
        return keyed_hash(self._parts.secret, "refused", decision.prompt_hash, *named)

    def _limited(self, refusal: Refusal) -> Act:
        reason = f"more than {self._parts.offenders.most} refusals within an hour"
        detail = json.dumps({"key": refusal.key_id, "incident": refusal.id})
        return Act(
            new_id(), refusal.at_us, "headgate", "refusals.limited", refusal.unit, reason, detail
        )

    def _suggestion(self, decision: Decision, request: ChatRequest) -> str:
        if not self.rules.suggestions:
            return ""
        names = names_of(request, inspect(request.shape), decision.caller)
        for each in self.rules.suggestions:
            fits = not each.task or each.task == decision.task
            if fits and (each.condition is None or each.condition(names)):
                return each.text
        return ""

    # review -----------------------------------------------------------------------------------

    def _opened(self, refusal: Refusal) -> Review | None:
        """A new review where the tier is to have one and the request has none yet."""
        standing = self.reviews.standing(refusal.request_hash)
        if refusal.tier not in self.rules.review_tiers or standing == OPEN:
            return None
        if standing and refusal.repeat_of:
            return None  # a person has already looked at what is remembered
        review = Review(
            id=new_id(),
            at_us=refusal.at_us,
            incident=refusal.id,
            decision_id=refusal.decision_id,
            request_hash=refusal.request_hash,
            key_id=refusal.key_id,
            tenant=refusal.tenant,
            tier=refusal.tier,
            unit=refusal.unit,
            task=refusal.task,
            deployment=refusal.deployment,
            provider=refusal.provider,
            word=refusal.word,
            due_us=refusal.at_us + int(self.rules.review_within_s * 1e6),
        )
        if not self.reviews.put(review):
            log.warning("the review queue is full: incident %s is in none", refusal.id)
            self._parts.telemetry.review("refusal", "passed_over")
            return None
        self._parts.telemetry.review("refusal", "opened")
        return review

    def _told(self, refusal: Refusal) -> str:
        return _TOLD.get(self.reviews.standing(refusal.request_hash), "")

    async def _keep(self, records: Sequence[Any], review: Review | None) -> bool:
        """Log; with a review, wait until that is durable. Whether it may be told of.

        Where storage fails, all is queued again, to be written when it can be.
        """
        event_log = self._parts.log
        if review is None:
            for record in records:
                event_log.append(record)
            return True
        kept = (*records, review)
        loop = asyncio.get_running_loop()
        # Not the writer's own future: a caller who leaves would cancel that.
        told: asyncio.Future[bool] = loop.create_future()

        def tell(done: Future[int]) -> None:
            failed = done.exception() is not None
            if failed:
                for record in kept:
                    event_log.append(record)
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(_settle, told, not failed)

        event_log.append_durable(*kept).add_done_callback(tell)
        await asyncio.wait({told}, timeout=DURABLE_S)
        return told.done() and told.result()

    async def decide(
        self, review_id: str, ruling: Ruling, tenant: str, along: Sequence[object] = ()
    ) -> Reviewed:
        """Close a review; durable when this returns, and what comes ``along`` with it. ``tenant``:
        of the key, empty for all.
        """
        found = await asyncio.to_thread(self.reviews.find, review_id)
        if found is None or (tenant and found.review.tenant != tenant):
            raise NotFound("no review of that id")
        review = self.reviews.claim(review_id)
        if review is None:
            raise Conflict("this review is decided already; a new refusal opens a new one")
        now_us, verdict = self._parts.clock.wall_us(), None
        decision = ReviewDecision(review_id, now_us, ruling.verdict, ruling.reviewer, ruling.note)
        told = Told(
            f"review.{ruling.verdict}", review_id, ruling.note, ruling.reviewer,
            {"key": ruling.key_id, "incident": review.incident},
            {"state": "open"}, {"state": "decided", "verdict": ruling.verdict},
        )  # fmt: skip
        act = act_of(ruling.who, now_us, told)
        try:
            ack = self._parts.log.append_durable(*along, decision, act)
            await asyncio.shield(asyncio.wrap_future(ack))
            verdict = ruling.verdict
        finally:
            self.reviews.settle(review_id, verdict)
        if verdict == "allow":
            self._parts.memory.forget(review.request_hash)
        return Reviewed(review, decision)

    def warnings(self) -> list[str]:
        """What an operator should know: reviews beyond their time."""
        overdue = self.reviews.counts()[1]
        return [f"{overdue} refused requests wait for review beyond their time"] if overdue else []


def _settle(told: asyncio.Future[bool], durable: bool) -> None:
    if not told.done():
        told.set_result(durable)


def _same_party(caller: Caller, refusal: Refusal) -> bool:
    same_tenant = bool(caller.tenant) and caller.tenant == refusal.tenant
    return caller.key_id == refusal.key_id or same_tenant
