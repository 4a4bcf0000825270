"""Kept answers as a whole: a request is answered from them, waits for its like, or leads."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from service.caching.canonical import Uncanonical, canonical, fingerprint, scope_of
from service.caching.flights import Alone, Flight, Flights
from service.caching.keeper import Keeper
from service.caching.passage import CachingParts, Further, Hit, Passage, Ways
from service.caching.rules import CacheRules, kept_out
from service.caching.shelf import ENDLESS, Entry, Shelf, Which
from service.caching.tally import Tally
from service.caching.worth import tail_of, told_again
from service.domain.caching import (
    EXACT,
    SEMANTIC,
    SHARED,
    CachedAnswer,
    wish_of,
)
from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest
from service.domain.clock import new_id, response_id
from service.domain.errors import HeadgateError, UpstreamExhausted
from service.domain.records import (
    Candidates,
    Decision,
    Feedback,
    Key,
    Mode,
    Outcome,
    Usage,
)
from service.domain.will import raised_for
from service.providers.base import Answer
from service.routing.asked import Asked
from service.routing.run import Served

FOUND, WAITED = "cached", "shared_call"  # the reasons of such decisions
NOTHING = Usage(0, 0, 0, 0)
LONG_FORM = 100_000  # bytes of a request from which its form is made beside the event loop
MOST_GIVEN = 20_000  # answers given again whose source is remembered
MOST_TAKEN_BACK = 256  # of what was taken back last, held against calls that were under way then
INVALIDATED, RATED_BAD, CHANGED = "invalidated", "rated", "changed"
NO_RETENTION = "no_retention"


class Caching:
    """Lives on the event loop; nothing here waits for a disk."""

    def __init__(self, parts: CachingParts, rules: CacheRules) -> None:
        self.parts, self.rules = parts, rules
        self.shelf = Shelf(rules.most_bytes)
        self.keep_in(parts.keeper)
        self.flights: Flights[Entry] = Flights()
        self.tally = Tally()
        self.further: Further | None = None
        self._given: OrderedDict[str, str] = OrderedDict()  # decision to its source
        self._takings = 0  # how often something was taken back
        self._taken_back: deque[Which] = deque(maxlen=MOST_TAKEN_BACK)

    # on the way of a request --------------------------------------------------------------------

    async def enter(self, request: ChatRequest, key: Key, session: str) -> Passage:
        """A request comes. It is answered, or leads, or goes on alone; raises HeadgateError."""
        parts, began_s = self.parts, self.parts.clock.monotonic_s()
        ways = parts.ways()
        wish = wish_of(request.options.cache)
        passage = Passage(self, ways.read(request, key, session), self._takings)
        asked, passage.wish = passage.asked, wish
        raised = self._raised(asked)
        passage.rule = self.rules.of(asked.task, raised)
        why = self._kept_out(passage, request)
        if why:
            self.tally.passed(why)
            return passage
        try:
            await self._named(passage, request, key, ways)
        except Uncanonical:
            passage.fingerprint = ""
            self.tally.passed("form")
            return passage
        if not wish.takes:
            self.tally.passed("refresh")
            passage.keeps = True
            return passage
        passage.keeps = wish.keeps
        entry = self._found(passage, ways)
        if entry is not None:
            passage.hit = self._give(passage, entry, EXACT, began_s)
        elif (
            (further := self.further)
            and (other := further.look(passage, self._policy(request, ways)))
            and self._good(passage, other, ways)
        ):
            self.shelf.used(other)
            passage.hit = self._give(passage, other, SEMANTIC, began_s)
            further.gave(passage, passage.hit.decision)
        else:
            await self._lead_or_wait(passage, ways, began_s)
        return passage

    def _raised(self, asked: Asked) -> bool:
        holding = self.parts.holding()
        if not holding or self.rules.raised is None:
            return False
        return raised_for(asked.task, holding, asked.caller.tenant, asked.caller.tier)

    def _kept_out(self, passage: Passage, request: ChatRequest) -> str:
        if not passage.wish.takes and not passage.wish.keeps:
            return "asked"
        unit = passage.asked.caller.unit
        if unit and self.parts.limited(unit):
            return "limited"
        if request.model not in self.parts.ways().kinds:
            return "model"
        if NO_RETENTION in passage.asked.demand.data_policy:
            return "privacy"
        return kept_out(request, passage.rule)

    async def _named(self, passage: Passage, request: ChatRequest, key: Key, ways: Ways) -> None:
        scope = scope_of(key, request, self.rules.within)
        if len(request.fields["messages"]) + len(request.fields.get("tools", b"")) > LONG_FORM:
            form = await asyncio.to_thread(canonical, request)
        else:
            form = canonical(request)
        policy = self._policy(request, ways)
        passage.scope, passage.owner = scope, key.tenant
        passage.fingerprint = fingerprint(self.parts.secret, scope, policy, form)

    def _policy(self, request: ChatRequest, ways: Ways) -> str:
        return f"{self.rules.policy}/{ways.kinds[request.model]}"

    def _found(self, passage: Passage, ways: Ways) -> Entry | None:
        for entry in self.shelf.alike(passage.fingerprint):
            if self._good(passage, entry, ways):
                self.shelf.used(entry)
                return entry
        return None

    def _good(self, passage: Passage, entry: Entry, ways: Ways) -> bool:
        """Whether an entry answers this request now."""
        if entry.scope != passage.scope:
            return False
        age_s = entry.age_s(self.parts.clock.monotonic_s())
        wished = passage.wish.ttl_s
        most_s = min(passage.rule.ttl_s, entry.most_s, ENDLESS if wished is None else wished)
        if age_s >= most_s:
            return False
        if entry.mark != ways.marks.get(entry.deployment):
            return False
        return ways.permitted(passage.asked, entry.deployment)

    async def _lead_or_wait(self, passage: Passage, ways: Ways, began_s: float) -> None:
        """Wait while another asks the same; lead where none does, or none does any more."""
        clock, name = self.parts.clock, passage.fingerprint
        asked_s = passage.asked.request.options.deadline_s
        most_s = min(asked_s or ways.deadline_s, ways.deadline_s)
        while (flight := self.flights.of(name)) is not None:
            left_s = began_s + most_s - clock.monotonic_s()
            try:
                entry = await flight.wait(max(left_s, 0.0))
            except TimeoutError:
                error = UpstreamExhausted(
                    "the same request was under way already, and its answer did not come in time",
                    code="upstream_timeout",
                )
                self._unserved(passage, flight, error, began_s)
                raise error from None
            except asyncio.CancelledError:
                self._unserved(passage, flight, None, began_s)
                raise
            except Alone:
                break
            if entry is None:
                continue  # it failed, or its caller left: the first of us that runs leads
            if self._good(passage, entry, ways):
                passage.hit = self._give(passage, entry, SHARED, began_s)
                return
            break  # by somebody who may not answer this request
        else:
            passage.flight = self.flights.begin(name)
        passage.since = self._takings  # what it waited for is not what it will be told
        self.tally.missed(passage.asked.task)

    def _give(self, passage: Passage, entry: Entry, kind: str, began_s: float) -> Hit:
        clock, ways, asked = self.parts.clock, self.parts.ways(), passage.asked
        now_s = clock.monotonic_s()
        reason = WAITED if kind == SHARED else FOUND
        decision = self._decision(asked, entry.deployment, reason, ways)
        answer = told_again(entry.tail, response_id(decision.id))
        took_s, age_s = now_s - began_s, entry.age_s(now_s)
        served = Served(
            ways.catalog[entry.deployment], Mode.CACHE, 0,
            Usage(entry.tokens_in, entry.tokens_out, 0, 0), took_s, "",
            cache="semantic" if kind == SEMANTIC else "hit",
        )  # fmt: skip
        outcome = Outcome(
            decision.id, clock.wall_us(), entry.deployment, Mode.CACHE, 200, None, took_s, None,
            took_s, 0, NOTHING,
        )  # fmt: skip
        record = CachedAnswer(
            decision.id, decision.at_us, entry.source, entry.deployment, asked.task,
            asked.caller.tenant, kind, age_s, entry.cost_micro_usd, entry.tokens_in,
            entry.tokens_out,
        )  # fmt: skip
        self.parts.record(decision, outcome, record)
        self.tally.gave(asked.task, kind == SHARED, entry.cost_micro_usd)
        self._given[decision.id] = entry.source
        if len(self._given) > MOST_GIVEN:
            self._given.popitem(last=False)
        return Hit(decision, answer, served, age_s)

    def _unserved(
        self, passage: Passage, flight: Flight[Entry], error: HeadgateError | None, began_s: float
    ) -> None:
        """It waited in vain, or its caller left while it did: logged, as every request is."""
        clock, ways = self.parts.clock, self.parts.ways()
        name = flight.deployment or next(iter(ways.catalog))
        decision = self._decision(passage.asked, name, WAITED, ways)
        took_s = clock.monotonic_s() - began_s
        outcome = Outcome(
            decision.id, clock.wall_us(), None, Mode.CACHE, 499 if error is None else error.status,
            None, took_s, None, took_s, 0, NOTHING,
        )  # fmt: skip
        self.parts.record(decision, outcome, None)
        self.tally.missed(passage.asked.task)

    def _decision(self, asked: Asked, deployment: str, reason: str, ways: Ways) -> Decision:
        request = asked.request
        return Decision(
            asked.id or new_id(), self.parts.clock.wall_us(), asked.caller, asked.task,
            asked.confidence, asked.source, request.prompt_hash or ways.prompt_hash(request),
            asked.context.features, asked.context.tokens_in, asked.context.tokens_out_limit,
            asked.context.cost_dial, request.stream, Candidates((deployment,), (1.0,)), (), 0.0,
            deployment, 1.0, Mode.CACHE, reason, ways.mark(),
        )  # fmt: skip

    # what is kept -------------------------------------------------------------------------------

    def take(self, passage: Passage, decision: Decision, answer: Answer, served: Served) -> None:
        """An answer has come: kept where it is worth it, and given to those that wait."""
        rules, why = self.rules, ""
        ways = self.parts.ways()
        tail = tail_of(answer.body, passage.rule.tools)
        if tail is None or len(tail) > rules.entry_bytes:
            why = "form" if tail is None else "size"
        elif served.deployment.name not in ways.catalog:
            why = "changed"
        elif not ways.acceptable(passage.asked.request, answer):
            why = "poor"
        if why or tail is None:
            self.not_kept(passage, why, served)
            return
        entry = self._entry(passage, decision, tail, served, ways)
        if self._is_taken_back(passage, entry):
            self._count_unkept(passage, INVALIDATED, served)
            if passage.flight is not None:
                passage.flight.fail()  # those that wait have it answered anew
            return
        self.tally.cost(passage.asked.task, served.usage.cost_micro_usd)
        if passage.keeps and self.shelf.put(entry):
            self.tally.kept += 1
            if self.parts.keeper is not None:
                self.parts.keeper.put(entry)
        if passage.flight is not None:
            passage.flight.give(entry)
        if self.further is not None:
            self.further.came(passage, decision, entry)

    def not_kept(self, passage: Passage, why: str, served: Served) -> None:
        """An answer that is for nobody else."""
        self._count_unkept(passage, why, served)
        if passage.flight is not None:
            passage.flight.alone()

    def _count_unkept(self, passage: Passage, why: str, served: Served) -> None:
        self.tally.not_kept[why] += 1
        self.tally.cost(passage.asked.task, served.usage.cost_micro_usd)

    def _is_taken_back(self, passage: Passage, entry: Entry) -> bool:
        """Whether it was meant by what was taken back since its request came."""
        missed = self._takings - passage.since
        if missed > len(self._taken_back):
            return True  # more than is remembered: better asked anew than wrong
        since = islice(reversed(self._taken_back), missed)
        return any(which.takes(entry) for which in since)

    def _entry(
        self, passage: Passage, decision: Decision, tail: bytes, served: Served, ways: Ways
    ) -> Entry:
        clock, wish, asked = self.parts.clock, passage.wish, passage.asked
        by, now_s = served.deployment, clock.monotonic_s()
        name = by.name  # of the plan in force, or of the one before, with whose call it came
        mark = ways.marks[name] if ways.catalog[name] is by else mark_of(by)
        most_s = ENDLESS if wish.ttl_s is None else wish.ttl_s
        longest_s = min(self.rules.longest_s(asked.task), most_s)
        tags = dict.fromkeys((*wish.tags, *asked.caller.tags))
        return Entry(
            f"{passage.fingerprint}/{name}", passage.fingerprint, passage.scope, name,
            mark, asked.task, asked.caller.tenant, passage.owner,
            tuple(tags), tail, now_s, clock.wall_us(), now_s + longest_s, most_s, decision.id,
            served.usage.cost_micro_usd, served.usage.tokens_in, served.usage.tokens_out,
        )  # fmt: skip

    # what goes ----------------------------------------------------------------------------------

    async def invalidate(self, which: Which) -> int:
        """Forget what is meant, durably when this returns; how many. Answers of calls that are
        under way are not kept either. Raises StorageError.
        """
        self._takings += 1
        self._taken_back.append(which)
        count = self.shelf.forget(which.takes, INVALIDATED)
        if self.parts.keeper is not None:
            await asyncio.wrap_future(self.parts.keeper.flush())
        return count

    def rated(self, feedback: Feedback) -> bool:
        """A rating has come: of an answer that is kept, or was given again. A bad one throws it
        out, whoever gave it; whether it did.
        """
        if feedback.quality is None or feedback.quality >= self.rules.evict_below:
            return False
        source = self._given.get(feedback.decision_id, feedback.decision_id)
        entry = self.shelf.of_source(source)
        if entry is None:
            return False
        self.shelf.drop(entry, RATED_BAD)
        return True

    async def turn(self) -> None:
        """By the clock: forget what has had its time."""
        self.shelf.expire(self.parts.clock.monotonic_s())
        if self.further is not None:
            await self.further.turn()

    async def stop(self) -> None:
        """Cancel what is under way beside requests, write what is left, let the file go."""
        if self.further is not None:
            await self.further.stop()
        if self.parts.keeper is not None:
            await asyncio.to_thread(self.parts.keeper.stop)

    def take_rules(self, rules: CacheRules) -> None:
        """Another plan is in force: what it makes strangers is forgotten."""
        if rules.policy != self.rules.policy or rules.within != self.rules.within:
            self.shelf.forget(lambda _: True, CHANGED)
        self.rules = rules
        self.shelf.forget(
            lambda entry: entry.mark != self.parts.ways().marks.get(entry.deployment), CHANGED
        )
        self.shelf.bound(rules.most_bytes)

    def keep_in(self, keeper: Keeper | None) -> None:
        """Whoever writes what is kept from now on; None: nobody."""
        self.parts = replace(self.parts, keeper=keeper)
        self.shelf.gone = keeper.gone if keeper is not None else lambda _: None

    def load(self, entries: Iterable[Entry]) -> None:
        """What was kept before the start."""
        for entry in entries:
            self.shelf.put(entry)


def mark_of(deployment: Deployment) -> str:
    """What a deployment is: another model, provider or address makes another one of it."""
    told = json.dumps([
        deployment.name, deployment.provider, deployment.dialect, deployment.model,
        deployment.base_url, [each.base_url for each in deployment.endpoints],
    ])  # fmt: skip
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
